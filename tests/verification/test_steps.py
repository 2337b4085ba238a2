"""Steps made of others: by slope, by a sum of hypotheses, by induction; and what each refuses."""

import numpy as np
import pytest
import sympy as sp

from verification.budget import Budget
from verification.evidence import Evidence
from verification.proof import identities
from verification.proof.identities import (
    by_slope,
    follows,
    identity,
    induction,
    nonnegative_on_box,
    positive,
)
from verification.proof.means import Average
from verification.verdict import Verdict

HALF = sp.Rational(1, 2)

x, h, k = sp.symbols("x h k", real=True)
p = sp.Symbol("p", positive=True)
n = sp.Symbol("n", integer=True, nonnegative=True)
q = sp.Symbol("q", integer=True, nonpositive=True)
M = sp.MatrixSymbol("M", n, n)
FROM_ZERO = {x: (0, sp.oo)}


def test_by_slope_needs_the_start_and_the_slope():
    assert all(step.holds for step in by_slope("", x - sp.log(1 + x), x, FROM_ZERO))
    off_start, flat = by_slope("", x - sp.log(2 + x), x, FROM_ZERO)
    assert (off_start.holds, flat.holds) == (False, True)
    start, falling = by_slope("", x - 2 * sp.log(1 + x), x, FROM_ZERO)
    assert (start.holds, falling.holds) == (True, False)


def test_a_step_is_looked_up_only_where_it_says_the_same():
    true = identity("", p * h, h * p)
    assert identity("", p * h, h * p) is true
    means = [lambda _: p, lambda _: 1.02 * p]
    pairs = [
        [identity("", p * h, share * h * p) for share in (1, sp.Rational(51, 50))],
        [identity("", p + h, 2 * p, where={h: value}) for value in (p, 1.02 * p)],
        [identity("", p**2, 1, vanishing=(p**2 - one,)) for one in (1, sp.Rational(51, 50))],
        [identity("", Average(h, (h,), mean, mean), p) for mean in means],
        [nonnegative_on_box("", h, {h: (low, 1)}) for low in (0, -HALF)],
        [positive("", sp.Symbol("h", **of)) for of in ({"positive": True}, {"real": True})],
        [follows("", p * h, (factor, h)) for factor in (p, p + HALF)],
        [induction("", n**2, n, 2 * n + one) for one in (1, 2)],
    ]
    assert [[step.holds for step in pair] for pair in pairs] == [[True, False]] * len(pairs)


def test_what_follows_is_the_sum_with_multipliers_of_known_sign():
    assert follows("", p * h + 2 * k, (p, h), (2, k)).holds
    assert not follows("", p * h + 2 * k, (p, h), (1, k)).holds
    assert not follows("", k * h, (k, h)).holds


def test_induction_needs_the_start_and_the_step():
    a = sp.Symbol("a", positive=True)
    assert induction("", n**2, n, 2 * n + 1).holds
    assert induction("", (a**n - 1) / (a - 1), n, a**n).holds
    assert not induction("", n**2, n, 2 * n).holds
    assert not induction("", n**2 + 1, n, 2 * n + 1).holds


@pytest.mark.parametrize(
    ("step", "verdict"),
    [
        # True, but its polynomial has coefficients of mixed sign: no proof, and no disproof.
        (identities.nonnegative_on_box("", (x - HALF) ** 2, {x: (0, 1)}), Verdict.UNDECIDED),
        (identities.nonnegative_on_box("", x - HALF, {x: (0, 1)}), Verdict.REFUTED),
        (identities.follows("", 3 * x, (2, x)), Verdict.UNDECIDED),
        (identities.identity("", 3 * x, 2 * x), Verdict.REFUTED),
        # True, and beyond what SymPy simplifies.
        (
            identities.identity("", sp.sqrt(p + 2 * sp.sqrt(p) + 1), 1 + sp.sqrt(p)),
            Verdict.UNDECIDED,
        ),
        (identities.identity("", sp.atan(p) + sp.atan(1 / p), sp.pi / 2), Verdict.UNDECIDED),
        (
            identities.identity(
                "", sp.Matrix([sp.atan(p) + sp.atan(1 / p)]), sp.Matrix([sp.pi / 2])
            ),
            Verdict.UNDECIDED,
        ),
        (identities.identity("", sp.atan(p) + sp.atan(1 / p), sp.pi / 3), Verdict.REFUTED),
        (identities.sized_identity("", 2 * M, 3 * M), Verdict.REFUTED),
        (induction("", n * (sp.atan(p) + sp.atan(1 / p)), n, sp.pi / 2), Verdict.UNDECIDED),
        (induction("", n**2, n, 2 * n), Verdict.REFUTED),
        # A tenth is no point of the whole numbers, and neither is anything next to it.
        (identities.positive("", (n + 1) * (5 * n - 1) * (5 * n - 2) + 1), Verdict.UNDECIDED),
        (identities.nonnegative_on_box("", n * (n - 1), {n: (0, sp.oo)}), Verdict.UNDECIDED),
        (identities.nonnegative_on_box("", n * (n - 3), {n: (0, sp.oo)}), Verdict.REFUTED),
        (identities.positive("", 1 - q), Verdict.PROVED),
    ],
)
def test_only_a_step_that_is_false_refutes(step, verdict):
    assert step.holds is (verdict is Verdict.PROVED)
    evidence = Evidence("planted", Budget())
    evidence.steps(step)
    assert evidence.conclude(Verdict.PROVED).verdict is verdict


def test_too_few_runs_for_the_design_leave_it_open():
    evidence = Evidence("planted", Budget())
    evidence.precise([evidence.mean("", np.array([1.0, 1.1, 0.9, 1.0]), equals=1.0)])
    finding = evidence.conclude(Verdict.CONSISTENT)
    assert finding.verdict is Verdict.UNDECIDED
    assert finding.missing.startswith("267 runs in place of 4")


def test_a_false_identity_is_told_by_a_point_within_the_assumptions():
    """Before SymPy simplifies what is not 0; a true one is never told apart."""
    step = identities.identity("", n * p, 2 * n * p)
    assert not step.holds
    assert step.certificate == "difference at n = 11, p = 5/13: -4.23077"
    q = sp.Symbol("q", nonpositive=True)
    assert identities.identity("", sp.sqrt(q**2), -q).holds
    assert not identities.identity("", sp.sqrt(q**2), q).holds
    assert identities.identity("", sp.log(p * (1 + p)), sp.log(p) + sp.log(1 + p)).holds
    # Its point is no even number, so that it tells nothing apart; nor does the rounding of a huge 0.
    even, huge = sp.Symbol("m", even=True), sp.exp(1000)
    assert not identities._apart([(-1) ** even - 1, even - 2])
    apart = huge * (sp.sqrt(2) + sp.sqrt(3)) ** 2 - huge * (5 + 2 * sp.sqrt(6))
    assert not identities._apart([apart])
    assert identities._apart([apart + huge])
