"""For which step sizes the paper's contraction lemma is true (theory.md §4).

Lemma: `δ⁺ ≤ δ·sqrt(1 − η (1 − (δ⁰)²) ||b*||²)`. Population limit, κ = 2 η ||b*||², y = cos²θ.
Exact result: with the factor 2 of the square in the gradient it is true at every angle if and only if
κ ≤ 3/2, that is η ≤ 3/(4 ||b*||²). Without the factor 2 (then κ = η ||b*||² and the lemma reads 1 − κ y) it
is true if and only if κ ≤ 1, that is η ≤ 1/||b*||². From one given start, unless it is one of the countably
many that land on angle 0 exactly, the lemma holds in every round if and only if κ ≤ 2 − cos²θ⁰/2: 3/2 near
the solution, nearly 2 for random starts. With m samples a client, fresh in each half-step, the mean square of
a small angle keeps the lemma if and only if κ ≤ 3/(2(1 + q)), q of theory.md §6.
"""

from typing import Any

import sympy as sp

from theory.population import population_map
from theory.samples import mean_square_rate
from verification.finding import ProofStep
from verification.proof import sign_intervals
from verification.proof.identities import identity, nonnegative_on_box


def lemma_factor(y: Any, kappa: Any) -> Any:
    """The lemma's bound on (δ⁺/δ)², `1 − η ||b*||² y`, κ = 2 η ||b*||², y the cos² of this or the first θ."""
    return 1 - kappa * y / 2


def lemma_factor_without_two(y: Any, kappa: Any) -> Any:
    """The same where ∇ leaves out the factor 2 of the square: then κ = η ||b*||² drives the map."""
    return 1 - kappa * y


def largest_step(norm: Any) -> Any:
    """The largest η for which the lemma holds at every angle, `3/(4 ||b*||²)`. Source: theory.md §4."""
    return 3 / (4 * norm**2)


def largest_step_without_two(norm: Any) -> Any:
    """The largest η if ∇ leaves out the factor 2, `1/||b*||²`. Source: theory.md §4."""
    return 1 / norm**2


def largest_kappa_from(y_0: Any) -> Any:
    """The largest κ for which the lemma holds in every round from one start, `2 − cos²θ⁰/2`.

    Its infimum over all starts, y_0 = cos²θ⁰ in (0, 1), is the 3/2 of `largest_step`.
    """
    return 2 - y_0 / 2


def largest_kappa_at(q: Any) -> Any:
    """The largest κ for which the mean square near the solution keeps the lemma at finite m, `3/(2(1 + q))`.

    With the noise ratio q of theory.md §6, fresh samples, m > 2. As q → 0 it is that of `largest_step`. Ours.
    """
    return sp.Rational(3, 2) / (1 + q) if isinstance(q, sp.Basic) else 1.5 / (1 + q)


def _symbols() -> tuple[sp.Symbol, sp.Symbol]:
    return sp.symbols("y kappa", positive=True)


def _truth(t: Any, kappa: Any) -> Any:
    """(δ⁺/δ)² at tan θ = t: sines from tangents."""
    after = population_map.signed_tangent(t, kappa) ** 2
    return after * (1 + t**2) / (t**2 * (1 + after))


def _slack(factor: Any) -> tuple[Any, Any]:
    """Lemma minus truth as a fraction: `factor(y, κ) − (δ⁺/δ)²` = numerator/denominator.

    Returns:
        Polynomials in the symbols (y, kappa); the denominator is positive for y in [0, 1].
    """
    y, kappa = _symbols()
    t = sp.Symbol("t", positive=True)
    square = sp.Symbol("q", positive=True)
    ratio = sp.cancel(
        sp.expand(sp.cancel(_truth(t, kappa))).subs(t, sp.sqrt(square)).subs(square, (1 - y) / y)
    )
    numerator, denominator = sp.fraction(sp.cancel(sp.together(factor(y, kappa) - ratio)))
    if denominator.subs({y: sp.Rational(1, 2), kappa: 1}) < 0:
        numerator, denominator = -numerator, -denominator
    return sp.expand(numerator), sp.expand(denominator)


def _bracket(factor: Any) -> Any:
    """The numerator of `_slack`, with the factors κ and y that never change sign divided out."""
    y, kappa = _symbols()
    rest = _slack(factor)[0]
    for trivial in (kappa, y):
        while rest != 0 and sp.rem(rest, trivial, trivial) == 0:
            rest = sp.cancel(rest / trivial)
    return sp.expand(rest)


def derive(stretch: Any = 1, start: Any = 1) -> tuple[ProofStep, ...]:
    """The exact range of both readings, from one start, and at finitely many samples.

    Args:
        stretch: multiplies the stated largest step sizes; 1 for the true statement.
        start: cos²θ⁰ of the start whose largest κ is found; 1 for every angle.
    """
    y, kappa = _symbols()
    B = sp.Symbol("B", positive=True)
    x, t = sp.symbols("x t", positive=True)
    truth, at = _truth(t, kappa), {y: 1 / (1 + t**2)}  # y = cos²θ
    limit = sp.cancel(stretch * 2 * largest_step(B) * B**2)
    limit_one = sp.cancel(stretch * largest_step_without_two(B) * B**2)
    rest = sp.Rational(3, 2) + kappa * (1 - 2 * y) - kappa**2 * y * (1 - y) / 2
    rest_one = (1 + kappa * (1 - y)) * (1 - kappa * y)
    foundation = (
        identity("1 − (κ/2) y − (δ⁺/δ)² = κ y [3/2 + κ(1 − 2y) − κ² y(1 − y)/2] / (1 + κ² y(1 − y))",
            lemma_factor(y, kappa) - truth, kappa * y * rest / (1 + kappa**2 * y * (1 - y)), where=at),
        identity("no factor 2 in the gradient: "
            "1 − κ y − (δ⁺/δ)² = κ y (1 + κ(1 − y))(1 − κ y) / (1 + κ² y(1 − y))",
            lemma_factor_without_two(y, kappa) - truth,
            kappa * y * rest_one / (1 + kappa**2 * y * (1 - y)), where=at),
    )  # fmt: skip
    if not all(step.holds for step in foundation):
        return foundation  # every later step builds on these
    return (
        *foundation,
        nonnegative_on_box(f"the bracket is ≥ 0 for every angle and every κ in (0, {limit}]", rest,
            {y: (0, 1), kappa: (0, limit)}),
        nonnegative_on_box("the bracket decreases in y for κ ≤ 4, so θ → 0 binds", -sp.Derivative(rest, y),
            {y: (0, 1), kappa: (0, 4)}),
        nonnegative_on_box(
            f"at θ → 0 the bracket is at most {limit} − κ: no κ above {limit} will do at every angle",
            limit - kappa - rest, {kappa: (limit, sp.oo)}, where={y: 1}),
        nonnegative_on_box(
            "so the lemma fails at every angle with cos²θ ≥ 0.99 for every κ in [8/5, 2]: there the bracket "
            "is at most −1/20", -sp.Rational(1, 20) - rest,
            {y: (sp.Rational(99, 100), 1), kappa: (sp.Rational(8, 5), 2)}),
        nonnegative_on_box(
            "the lemma's factor is at most 1, so angles do not grow: cos²θ_t ≥ cos²θ_0 for all t",
            1 - lemma_factor(y, kappa), {y: (0, 1), kappa: (0, limit)}),
        nonnegative_on_box(
            "the factor shrinks as cos²θ grows, so the round-t factor is at most the one with "
            "1 − (δ⁰)²",
            lemma_factor(y, kappa) - lemma_factor(y + x, kappa),
            {y: (0, 1), x: (0, sp.oo), kappa: (0, limit)}),
        *_from_one_start(),
        nonnegative_on_box(f"no factor 2: the bracket is ≥ 0 for every angle and every κ in (0, {limit_one}]",
            rest_one, {y: (0, 1), kappa: (0, limit_one)}),
        nonnegative_on_box(f"and at θ → 0 it is at most {limit_one} − κ for every κ ≥ {limit_one}",
            limit_one - kappa - rest_one, {kappa: (limit_one, sp.oo)}, where={y: 1}),
        *_at_finite_samples(stretch),
        *_largest(start, stretch),
    )  # fmt: skip


def _at_finite_samples(stretch: Any) -> tuple[ProofStep, ...]:
    """The mean square of the angle near the solution, on fresh samples, against the lemma's factor."""
    kappa, q, B = sp.symbols("kappa q B", positive=True)
    edge = stretch * largest_kappa_at(q)
    return (
        identity("finite m, θ → 0: lemma minus mean square, 1 − κ/2 − (1 − κ)² − κ²q, is κ(1 + q) times "
            "the stated largest κ less κ, so the mean square keeps the lemma exactly up to it",
            lemma_factor(1, kappa) - mean_square_rate.rate_squared(kappa, q),
            kappa * (1 + q) * (edge - kappa)),
        identity("it tends to the population's largest κ as q → 0", largest_kappa_at(q),
            2 * largest_step(B) * B**2, where={q: 0}),
    )  # fmt: skip


def _kept(y_0: Any) -> Any:
    """Polynomial in y and κ, ≥ 0 where the lemma with the first angle's cos²θ⁰ = y_0 holds at y."""
    y, kappa = _symbols()
    numerator, denominator = _slack(lemma_factor)
    scale = sp.cancel(denominator.subs(y, 0))
    room = sp.cancel((lemma_factor(y, kappa) * denominator - numerator) / scale)
    return lemma_factor(y_0, kappa) * sp.cancel(denominator / scale) - room


def _from_one_start() -> tuple[ProofStep, ...]:
    """For a given cos²θ⁰ = y_0, all later y lie in [y_0, 1] and κ in (0, 2 − y_0/2] is the exact range."""
    y, kappa = _symbols()
    y_0, w, k = sp.symbols("y_0 w k", positive=True)
    kept = _kept(y_0)
    on_box = sp.cancel(
        kept.subs(y, y_0 + (1 - y_0) * w).subs(kappa, k * largest_kappa_from(y_0))
        / (k * largest_kappa_from(y_0))
    )
    return (
        nonnegative_on_box(
            "from a start with cos²θ⁰ = y_0 the lemma holds in every round for κ ≤ 2 − y_0/2", on_box,
            {y_0: (0, 1), w: (0, 1), k: (0, 1)}),
        identity("and for no larger κ: as θ_t → 0 truth exceeds bound by κ(κ − (2 − y_0/2))",
            (kappa - 1) ** 2 - lemma_factor(y_0, kappa),
            kappa * (kappa - largest_kappa_from(y_0))),
    )  # fmt: skip


def largest_kappa(factor: Any) -> Any:
    """The largest κ for which `(δ⁺/δ)² ≤ factor(y, κ)` at every angle, found exactly."""
    return sign_intervals.largest(sign_intervals.decide(_bracket(factor), *_symbols()))


def largest_kappa_found(y_0: sp.Rational) -> Any:
    """The largest κ, found exactly, for the lemma at every angle a start with cos²θ⁰ = y_0 can come to."""
    return sign_intervals.largest(sign_intervals.decide(_from(y_0), *_symbols()))


def _from(y_0: sp.Rational) -> Any:
    """The inequality's polynomial at every angle that start can come to, y in [0, 1]."""
    if y_0 == 1:
        return _bracket(lemma_factor)
    y, kappa = _symbols()
    return sp.expand(sp.cancel(_kept(y_0) / kappa).subs(y, y_0 + (1 - y_0) * y))


def _largest(y_0: sp.Rational, stretch: Any) -> tuple[ProofStep, ...]:
    """What is found is what is stated, from that start (y_0 = 1: at every angle) and without factor 2."""
    B = sp.Symbol("B", positive=True)
    edge = 2 * largest_step(B) * B**2 if y_0 == 1 else largest_kappa_from(y_0)
    edges = sp.nsimplify(stretch) * edge, sp.nsimplify(stretch) * largest_step_without_two(B) * B**2
    return (
        sign_intervals.largest_is(
            f"the largest κ from cos²θ⁰ = {y_0} is {edges[0]}, and every greater one near it fails",
            _from(y_0), *_symbols(), edges[0]),
        sign_intervals.largest_is(f"the largest κ without the factor 2 is {edges[1]}, and so there",
            _bracket(lemma_factor_without_two), *_symbols(), edges[1]),
    )  # fmt: skip
