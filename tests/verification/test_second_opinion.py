"""Engines beside SymPy: each agrees with a true step, tells a 2 % mutant, and says where it cannot decide."""

import pytest
import sympy as sp
import z3

from verification.finding import Says
from verification.proof import flint_engine, identities, smt
from verification.proof.means import average
from verification.proof.obligations import Reader, plain_name
from verification.proof.trees import UnreadableError

x, y = sp.symbols("x y", positive=True)
c, s = sp.symbols("c s", real=True)
n, k = sp.symbols("n k", integer=True, positive=True)
M, S, K = sp.MatrixSymbol("M", n, k), sp.MatrixSymbol("S", k, k), sp.MatrixSymbol("K", k, k)
OFF = sp.Rational(51, 50)
CIRCLE = (c**2 + s**2 - 1,)
HALF = {x: (0, 3), y: (0, sp.oo)}
equal = identities.identity
TRUE_AND_MUTANT = {
    "polynomial": lambda off: equal("", (x + y) ** 2, x**2 + 2 * off * x * y + y**2),
    "quotient": lambda off: identities.rational_identity(
        "", 1 / (1 + x) + 1 / (1 - x), 2 * off / (1 - x**2)),
    "matrix": lambda off: equal("", sp.Matrix([[x, y]]) * 2, sp.Matrix([[2 * x, y * 2 * off]])),
    "root": lambda off: equal("", 1 / (sp.sqrt(x + 1) - 1), (sp.sqrt(x + 1) * off + 1) / x),
    "size of a number": lambda off: equal("", abs(c - s) ** 2, off * (c - s) ** 2),
    "logarithm": lambda off: equal("", sp.log(x / 12), sp.log(x) - 2 * off * sp.log(2) - sp.log(3)),
    "exponential": lambda off: equal("", sp.exp((x + 3 * y) / 2) * sp.pi, sp.exp(x / 2) * off * sp.pi
        * sp.exp(y * sp.Rational(3, 2))),
    "error function": lambda off: equal("", sp.erfc(x) + sp.erfc(y), sp.erfc(y) + off * sp.erfc(x)),
    "symbolic power": lambda off: equal("", x ** (2 * n + 3), off * x**n * x**n * x**3),
    "circle": lambda off: equal("", c**2, 1 - off * s**2, vanishing=CIRCLE),
    "every size": lambda off: identities.sized_identity("", M * (S + K) * M.T, M * S * M.T + off * M * M.T,
        where={K: sp.Identity(k)}),
    "letters": lambda off: equal("", *_letters(off)),
    "sign on a box": lambda off: identities.nonnegative_on_box("", x * y + 3 - x * off, HALF),
    "sign everywhere": lambda off: identities.positive("", (101 - 100 * off) * (x + sp.sqrt(y))),
    "half-line": lambda off: identities.positive_on_half_line(
        "", x**2 - 2 * off * x + sp.Rational(101, 100), x),
    "number": lambda off: identities.positive("", 3 - off**2 * sp.Rational(108, 100) * sp.E),
    "put in": lambda off: equal("", x**2 - 2 * x, off, where={x: 1 + sp.sqrt(2)}),
    "derivative": lambda off: equal("", sp.Derivative(x**n * sp.exp(-x * y) / sp.sqrt(1 + x), x),
        (off * n / x - y - 1 / (2 + 2 * x)) * x**n * sp.exp(-x * y) / sp.sqrt(1 + x)),
    "slope of logarithm and tail": lambda off: equal("", sp.Derivative(sp.log(1 + x**2) + sp.erfc(x), x),
        off * 2 * x / (1 + x**2) - 2 * sp.exp(-(x**2)) / sp.sqrt(sp.pi)),
    "mean": lambda off: equal("", average((c - average(c, {c: "c"})) ** 2 / y, {c: "c"}),
        (average(c**2, {c: "c"}) - off * average(c, {c: "c"}) ** 2) / y),
    "gamma": lambda off: equal("", sp.gamma(x + sp.Rational(5, 2)) / sp.gamma(x + sp.Rational(1, 2)),
        (x + off / 2) * (x + sp.Rational(3, 2))),
    "whole gamma": lambda off: equal("", sp.gamma(x), 24 * off, where={x: 5}),
    "power of a sum": lambda off: equal("", x**k, off * x**5 * (x**n) ** 2, where={k: 2 * n + 5}),
    "induction": lambda off: identities.induction("", off * n * (n - 1) / 2, n, n),
    "sum of hypotheses": lambda off: identities.follows("", x * y + x**2, (x, y), (x, off * x)),
}  # fmt: skip


def _letters(off):
    A, B = sp.symbols("A B", commutative=False)
    return (A + B) ** 2, A**2 + A * B + off * B * A + B**2


@pytest.mark.parametrize("kind", TRUE_AND_MUTANT)
def test_both_engines_agree_with_the_true_step_and_tell_a_mutant(kind):
    true = TRUE_AND_MUTANT[kind](sp.Integer(1))
    assert true.holds
    assert [o.engine for o in true.opinions] == ["python-flint", "Z3"]
    assert {o.says for o in true.opinions} == {Says.AGREES}
    false = TRUE_AND_MUTANT[kind](OFF)
    assert not false.holds
    assert {o.says for o in false.opinions} == {Says.DISAGREES}


@pytest.mark.parametrize("kind", TRUE_AND_MUTANT)
def test_the_files_are_unsatisfiable_for_the_true_step_alone(kind):
    def answers(step):
        found = []
        for text in step.smt2:
            solver = z3.Solver(ctx=z3.Context())
            solver.set("rlimit", smt.RESOURCES)
            solver.add(z3.parse_smt2_string(text, ctx=solver.ctx))
            found.append(str(solver.check()))
            assert "(set-info :status unsat)" in text
        return found

    assert set(answers(TRUE_AND_MUTANT[kind](sp.Integer(1)))) == {"unsat"}
    assert "sat" in answers(TRUE_AND_MUTANT[kind](OFF))


def opinions(step):
    return {o.engine: o for o in step.opinions}


def test_a_wrong_verdict_of_sympy_is_caught(monkeypatch):
    monkeypatch.setattr(identities, "_reduced", lambda *a, **k: sp.Integer(0))
    monkeypatch.setattr(identities, "_apart", lambda _entries: "")
    step = equal("caught", (x + y) ** 2, x**2 + OFF * 2 * x * y + y**2)
    assert not step.holds
    assert (
        "SymPy: difference simplifies to 0; python-flint disagrees: left − right is"
        in step.certificate
    )


def test_an_engine_outside_its_reach_has_no_opinion():
    found = opinions(equal("", sp.tan(x) * sp.cos(x), sp.sin(x)))
    assert {o.says for o in found.values()} == {Says.NOTHING}
    assert "tan has no algebraic tree" in found["Z3"].detail
    # Three roots whose product one square relates: no rule of a single root tells.
    found = opinions(equal("", sp.sqrt(x + 2) * sp.sqrt(x + 1), sp.sqrt(x**2 + 3 * x + 2)))
    assert (found["python-flint"].says, found["Z3"].says) == (Says.NOTHING, Says.AGREES)
    touching = Reader().obligation(
        [(sp.exp(x), 1 + x)], "≥", {x: (0, 1)}
    )  # equal at 0: no ball shows it
    assert (flint_engine.opinion(touching)[0], smt.opinion(touching)[0]) == (None, None)


@pytest.mark.parametrize(
    ("sides", "why"),
    [
        ((sp.Derivative(sp.gamma(x), x), 1), "gamma has no algebraic derivative"),
        ((average(x / (1 + x), {x: "x"}), 1), "x is in a denominator that is no product"),
        ((average(sp.sqrt(x), {x: "x"}), 1), "root is no quotient of polynomials"),
    ],
)
def test_what_a_tree_cannot_say_is_said_so(sides, why):
    with pytest.raises(UnreadableError, match=why):
        Reader().obligation([sides])


@pytest.mark.parametrize(
    "nowhere", [sp.root(-1 - x, 4), sp.log(-x), 1 / ((x + 1) ** 2 - x**2 - 2 * x - 1)]
)
def test_a_step_about_nothing_has_no_agreement(nowhere):
    about = Reader().obligation([(nowhere, nowhere)])
    assert (flint_engine.opinion(about)[0], smt.opinion(about)[0]) == (None, None)


@pytest.mark.parametrize(("slack", "truth"), [(1, True), (-1, False)])
def test_balls_decide_functions_on_a_bounded_box(slack, truth):
    gap = sp.exp(x) - 1 - x + sp.Rational(slack, 100)
    assert flint_engine.opinion(Reader().obligation([(gap, 0)], "≥", {x: (0, 1)}))[0] is truth


def test_a_model_is_believed_only_at_a_point_of_the_domain():
    # Z3 knows of the logarithm that it is some number: its model is not one.
    about = Reader().obligation([(sp.log(1 + x), 0)], ">", {x: (1, 2)})
    assert (flint_engine.opinion(about)[0], smt.opinion(about)[0]) == (True, None)


@pytest.mark.parametrize(
    ("name", "plain"), [("kappa", "kappa"), ("Ā", "A_"), ("κ", "kappa"), ("x′", "x_"), ("0", "x0")]
)
def test_names_become_plain(name, plain):
    assert plain_name(name) == plain
