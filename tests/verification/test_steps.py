"""Steps made of others: by slope, by a sum of hypotheses, by induction; and what each refuses."""

import sympy as sp

from verification.proof.identities import by_slope, follows, induction

x, h, k = sp.symbols("x h k", real=True)
p = sp.Symbol("p", positive=True)
n = sp.Symbol("n", integer=True, nonnegative=True)
FROM_ZERO = {x: (0, sp.oo)}


def test_by_slope_needs_the_start_and_the_slope():
    assert all(step.holds for step in by_slope("", x - sp.log(1 + x), x, FROM_ZERO))
    off_start, flat = by_slope("", x - sp.log(2 + x), x, FROM_ZERO)
    assert (off_start.holds, flat.holds) == (False, True)
    start, falling = by_slope("", x - 2 * sp.log(1 + x), x, FROM_ZERO)
    assert (start.holds, falling.holds) == (True, False)


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
