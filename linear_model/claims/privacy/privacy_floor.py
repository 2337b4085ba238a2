"""Claim `privacy-floor`: what privacy noise leaves of RoLoRA, FFA-LoRA and FedAvg-LoRA (theory.md §9)."""

from __future__ import annotations

from math import ceil, log
from typing import Any

import numpy as np

from linear_model.claims.literal import Literal, in_blocks, near, tangents
from theory.privacy import privacy_floor as theory
from theory.samples import mean_square_rate as rate
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.evidence import Asked, exactly

LENGTH = 1.5
"""B = ‖b*‖; not 1, so that its powers are tested."""
SMALL = 1e-3
"""σ on every upload: corrections are of relative order dσ²."""
AVERAGED = 20
FACTORS = (7, 5, 2, 0.4)
"""(d_in, d_out, r, σ) of the product of noises; σ so large that its fourth power counts."""
SHARES = (0.25, 1.0, 4.0)
"""σ² of the picture over that at which RoLoRA and FFA-LoRA tie."""
SINE = 0.005
"""FFA-LoRA's s₀ in the picture."""


@claim(
    "privacy-floor",
    "Privacy noise: a floor for each method, and who is ahead",
    statement="With noise σ_b in b̄ and σ_a in the moved a, RoLoRA's angle settles at "
    "E s²_∞ = (d − 1)(κ²σ_b²/(B²M) + σ_a²)/(1 − (1 − κ)² − κ²q) and its excess at B²(1 + v)E s²_∞ + pσ_b²; "
    "FFA-LoRA's is B²(1 + v)s₀² + pσ_b², so RoLoRA is ahead exactly if E s²_∞ < s₀². Noise on both factors "
    "costs FedAvg-LoRA σ²(d_in‖B‖² + d_out‖A‖²) + σ⁴ r d_in d_out.",
    latex=r"\mathbb E\,s_\infty^2\sim\frac{(d-1)\bigl(\kappa^2\sigma_b^2/(B^2M)+\sigma_a^2\bigr)}"
    r"{1-(1-\kappa)^2-\kappa^2q},\quad \mathbb E\|(A+\xi_A)(B+\xi_B)-AB\|^2="
    r"\sigma^2(d_{in}\|B\|^2+d_{out}\|A\|^2)+\sigma^4r\,d_{in}d_{out}",
    source=OURS,
    assumptions=(
        "rank 1, homogeneous clients (any rank for the product)",
        "no label noise, clipping inactive",
        "fresh samples in each half-step",
        "one averaged gradient step on A a round",
        "m > 2 and κ < 2/(1 + q)",
        "first order in the noise's variance for RoLoRA's angle",
        "a stationary law exists, and t → ∞ may be exchanged with σ → 0 (assumed, not proved)",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    control_at={"alone": True},
    says="floors, excess and product 2 % larger",
    exact="with σ on each of N uploads σ_a = σ_b = σ/√N, and RoLoRA is ahead as long as "
    "σ² < N s₀²(1 − (1 − κ)² − κ²q)/((d − 1)(1 + κ²/(B²M)))",
    order=196,
)
def check(
    evidence: Evidence,
    *,
    d: int = 10,
    clients: int = 3,
    samples: int = 10,
    kappa: float = 0.9,
    alone: bool = False,
    stretch: float = 1.0,
) -> None:
    """Derive floors, excess and product; measure literal runs whose clients add noise to what they send.

    Args:
        d: width.
        clients: N.
        samples: m, at least 8: with fewer the tails are too heavy for the intervals.
        kappa: step size, up to 0.8 of the threshold 2/(1 + q).
        alone: whether to leave out noise on one factor only, and the picture.
        stretch: multiplies the stated floors, excess and product; 1 for the true statement.
    """
    between(3, 100, d=d)
    between(1, 100, clients=clients)
    between(8, 1_000, samples=samples)
    largest = 0.8 * float(rate.threshold_kappa(rate.noise_ratio(d, clients, samples)))
    between(0.3, largest, kappa=kappa)
    sizes = (d, clients, samples)
    trials = evidence.pick(4_200, 30_000)
    _stationary(evidence, sizes, kappa, (SMALL, SMALL), trials, stretch)
    _frozen(evidence, sizes, evidence.pick(30_000, 100_000), stretch)
    _product(evidence, evidence.pick(60_000, 400_000), stretch)
    rows: list[tuple[dict[str, Any], Asked]] = []
    if not alone:
        # On b alone: a's noise is so much larger that it would hide it.
        _stationary(evidence, sizes, kappa, (SMALL, 0.0), 2 * trials, stretch)
        rows = _crossing(evidence, sizes, kappa, evidence.pick(1_300, 4_000), stretch)
    evidence.precise()
    evidence.steps(*theory.derive(exactly(stretch)))
    for statement, because in theory.ARGUED:
        evidence.argued(statement, because=because)
    evidence.method(
        "SymPy, any sizes: noisy round, second moment, fixed point, the product's expectation; beside it "
        f"literal runs whose clients add noise of {SMALL:g} to what they send, a time average per run"
    )
    evidence.note(
        "At the same σ a round of Algorithm 2 sends two noisy messages a client, b and a, one of FFA-LoRA "
        "one: at the same privacy budget RoLoRA's σ² is twice as large, or it runs half as many rounds."
    )
    evidence.table(lambda: [row | one.columns() for row, one in rows], PLOT)


PLOT = Plot(
    x="noise",
    series=(
        Series("measured", "RoLoRA, literal runs", Mark.POINTS, low="low", high="high"),
        Series("theory", "RoLoRA, theory", Mark.LINE),
        Series("frozen", f"FFA-LoRA, s₀ = {SINE:g}", Mark.DASHED),
    ),
    xlabel="noise σ on every upload",
    ylabel="excess risk in the long run over σ²",
    caption="Below the σ of the crossing RoLoRA's floor is under the excess that a frozen A leaves FFA-LoRA, "
    "above it is over. Both carry the noise of b̄. Bars: intervals at 1e-6 together.",
    xlog=True,
    ylog=True,
)


def _stationary(
    evidence: Evidence,
    sizes: tuple[int, int, int],
    kappa: float,
    noise: tuple[float, float],
    trials: int,
    stretch: float,
) -> Asked:
    """E s² and the excess risk, which is returned, in the long run, with σ on b and σ on a of each client."""
    d, clients, samples = sizes
    of_b, of_a = (float(np.sqrt(theory.averaged_variance(sigma, clients))) for sigma in noise)
    floor = theory.floor(kappa, of_b, of_a, LENGTH, *sizes)
    kept = float(rate.rate_squared(kappa, rate.noise_ratio(*sizes)))
    burn_in = max(4, ceil(log(1e-4) / log(kept)))
    target = np.outer(np.eye(d)[0], LENGTH * np.array([0.6, 0.8]))
    literal = Literal([target] * clients, samples, blur_b=noise[0], blur_a=noise[1])

    def run(count: int, rng: np.random.Generator) -> np.ndarray:
        A = near(np.sqrt(floor / (d - 1)) * rng.standard_normal((count, d - 1, 1)))
        seen = np.zeros((count, 2))
        for number in range(burn_in + AVERAGED):
            moved, B = literal.round(A, kappa / (2.0 * LENGTH**2), rng)
            if number >= burn_in:
                seen[:, 0] += np.square(tangents(A)).sum(axis=(1, 2)) / AVERAGED
                seen[:, 1] += np.square(A @ B - target).sum(axis=(1, 2)) / AVERAGED
            A = moved
        return seen

    seen = in_blocks(evidence, trials, run, "runs", *(round(1e9 * sigma) for sigma in noise))
    words = (
        f"d = {d}, N = {clients}, m = {samples}, κ = {kappa:g}, σ {noise[0]:.3g} and {noise[1]:.3g}"
    )
    excess = theory.excess(floor, of_b, LENGTH, 2, clients, samples)
    unit = noise[0] ** 2
    evidence.mean(f"E s²_∞/σ², {words}", seen[:, 0] / unit, equals=stretch * floor / unit)
    said = f"excess risk/σ², {words}"
    return evidence.mean(said, seen[:, 1] / unit, equals=stretch * excess / unit)


def _frozen(evidence: Evidence, sizes: tuple[int, int, int], trials: int, stretch: float) -> None:
    """FFA-LoRA's excess risk at an angle of its own, with noise as large as it."""
    d, clients, samples = sizes
    target, sigma = np.outer(np.eye(d)[0], LENGTH * np.array([0.6, 0.8])), 0.5
    literal = Literal([target] * clients, samples, blur_b=sigma)

    def run(count: int, rng: np.random.Generator) -> np.ndarray:
        T = rng.standard_normal((count, d - 1, 1))
        A = near(0.75 * T / np.linalg.norm(T, axis=1, keepdims=True))  # s₀ = 3/5
        _, B = literal.round(A, 0.0, rng)
        return np.asarray(np.square(A @ B - target).sum(axis=(1, 2)))

    of_b = float(np.sqrt(theory.averaged_variance(sigma, clients)))
    stated = stretch * theory.excess(0.36, of_b, LENGTH, 2, clients, samples)
    words = f"FFA-LoRA's excess at s₀ = 0.6, σ = {sigma:g} on b, N = {clients}, m = {samples}"
    evidence.mean(words, in_blocks(evidence, trials, run, "frozen"), equals=stated)


def _product(evidence: Evidence, trials: int, stretch: float) -> None:
    """The product of two noisy factors beside the product of the factors."""
    d_in, d_out, rank, sigma = FACTORS
    rng = evidence.rng("product")
    A, B = rng.standard_normal((d_in, rank)), rng.standard_normal((rank, d_out))
    noisy_A = A + sigma * rng.standard_normal((trials, d_in, rank))
    noisy_B = B + sigma * rng.standard_normal((trials, rank, d_out))
    off = np.square(noisy_A @ noisy_B - A @ B).sum(axis=(1, 2))
    sizes = float(np.square(A).sum()), float(np.square(B).sum())
    stated = stretch * theory.product_noise(sigma, *sizes, d_in, d_out, rank)
    words = (
        f"E‖(A + ξ_A)(B + ξ_B) − AB‖², d_in = {d_in}, d_out = {d_out}, r = {rank}, σ = {sigma:g}"
    )
    evidence.mean(words, off, equals=stated)


def _crossing(
    evidence: Evidence, sizes: tuple[int, int, int], kappa: float, trials: int, stretch: float
) -> list[tuple[dict[str, Any], Asked]]:
    """About the noise at which RoLoRA and FFA-LoRA tie: a row of the table each, and what was asked."""
    _, clients, samples = sizes
    tie = float(theory.largest_noise(SINE, kappa, LENGTH, *sizes))
    rows = []
    for share in evidence.pick(SHARES[::2], SHARES):
        sigma = float(np.sqrt(share * tie))
        of_each = float(np.sqrt(theory.averaged_variance(sigma, clients)))
        floor = theory.floor(kappa, of_each, of_each, LENGTH, *sizes)
        stated, frozen = (
            theory.excess(square, of_each, LENGTH, 2, clients, samples) / sigma**2
            for square in (floor, SINE**2)
        )
        asked = _stationary(evidence, sizes, kappa, (sigma, sigma), trials, stretch)
        if share < 1.0:
            evidence.state("RoLoRA is ahead there", asked, at_most=frozen, certify=True)
        elif share > 1.0:
            evidence.state("FFA-LoRA is ahead there", asked, at_least=frozen, certify=True)
        rows.append(({"noise": sigma, "theory": stated, "frozen": frozen}, asked))
    return rows
