"""Sampling noise helps a random start out of the worst region.

Fresh samples, v = Var ρ̄ = 1/(N(m − 2)), κ = 2 η ||b*||². While c = cos θ is small a round is `c⁺ = (1 +
κ)c + κρ̄` up to relative terms of order c², v d/M and 1/√M: so from a random direction `E c_t² = (1 +
κ)^(2t) (1/d + κv(1 − (1 + κ)^(−2t))/(2 + κ))`, as if the start were nearer to a* than it is.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from theory.samples import finite_sample
from verification.finding import ProofStep
from verification.proof.identities import identity, induction


def mean_square_cosine(rounds: Any, kappa: Any, d: Any, v: Any) -> Any:
    """E c_t² after so many rounds, to leading order in c², v and 1/M."""
    grown = (1 + kappa) ** (2 * rounds)
    return grown / d + noise_share(kappa, v) * (grown - 1)


def noise_share(kappa: Any, v: Any) -> Any:
    """What noise is worth in the long run, added to the start's mean square cosine 1/d: κv/(2 + κ)."""
    return kappa * v / (2 + kappa)


def rounds_spared(kappa: Any, d: Any, v: Any, *, log: Any = sp.log) -> Any:
    """Rounds by which the noise shortens the escape: log(1 + dκv/(2 + κ))/(2 log(1 + κ))."""
    return log(1 + d * noise_share(kappa, v)) / (2 * log(1 + kappa))


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The linear recursion from the literal round, its second moment, and the rounds it is worth.

    Args:
        stretch: multiplies the stated noise; 1 for the true statement.
    """
    kappa, d, v, e = sp.symbols("kappa d v epsilon", positive=True)
    c, rho, gamma, w, h, k = sp.symbols("c rho gamma w h k", real=True)
    t = sp.Symbol("t", integer=True, nonnegative=True)
    # c, ρ̄, γ − 1 and w of order e: s is 1 − O(e²), and so is the moved factor's length for h = O(1)
    small = {c: e * c, rho: e * rho, gamma: 1 + e * k, w: e * w}
    pull = finite_sample.pull_of_new_batch(rho, gamma, w, h)
    s = sp.Symbol("s", positive=True)
    ahead, inside, beside = finite_sample.next_direction(c, s, kappa, rho, pull)
    first = [part.subs(small, simultaneous=True) for part in (ahead, inside, beside)]
    kept = {s: 1, e: 0}
    total = mean_square_cosine(t, kappa, d, stretch * v)
    return (
        identity("to first order the moved factor has (1 + κ)c + κρ̄ along a* …",
            sp.Matrix([sp.Derivative(first[0], e), first[0]]), sp.Matrix([(1 + kappa) * c + kappa * rho, 0]),
            where=kept),
        identity("… and keeps its length 1 across it, what leaks out of the plane being of that order",
            sp.Matrix([first[1], first[2]]), sp.Matrix([1, 0]), where=kept),
        induction("so E c_(t+1)² = (1 + κ)²E c_t² + κ²v from 1/d: the stated sum less its first term",
            total - 1 / d, t, ((1 + kappa) ** 2 - 1) * total + kappa**2 * v),
        identity("in the long run E c_t²/(1 + κ)^(2t) exceeds 1/d by κv/(2 + κ)",
            (total + stretch * noise_share(kappa, v)) / (1 + kappa) ** (2 * t) - 1 / d,
            kappa * v / (2 + kappa)),
        identity("worth so many rounds: 2 log(1 + κ) times them is log(1 + dκv/(2 + κ))",
            2 * sp.log(1 + kappa) * s, sp.log(1 + d * kappa * v / (2 + kappa)),
            where={s: rounds_spared(kappa, d, v)}),
    )  # fmt: skip
