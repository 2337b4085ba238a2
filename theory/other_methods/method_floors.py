"""What a frozen A, or an exact average, settles at: floors in closed form.

Problem: rank 1, one a* for all clients, B = ‖b̄*‖, steps of length η on b alone from a unit a at angle θ,
s = sin θ, c = cos θ; FFA-LoRA, and FedSVD, whose a turns within its own line only.
Exact result: the excess risk is `s²B² + E‖b̄ − c b̄*‖²`. The second part is 0 for clients that differ,
whatever the number of local steps; with n of N clients a round `η/(1 − η) c² V (N − n)/(n(N − 1))`, V the
spread of the b_i*; with noise of deviation σ on every number sent `p σ²/(N(1 − (1 − 2η)²))`; with M fresh
samples and label noise σ `η(s²B² + pσ²)/(M(1 − η(1 + 2/M)))`, one step a round. With covariances S_i
clients' own solutions aᵀS_ia*/(aᵀS_ia) b_i* are averaged with weights `1 − (1 − 2η aᵀS_ia)^K`. An exact
average of products is not unbiased: after one local step on both factors it holds `4η² Cov(gradients)`
besides, which moves FlexLoRA's resting point from b̄* by `(2η/B)(Σb̄* − ½ n nᵀΣb̄*)` at small η, Σ the
covariance of the b_i*, n = b̄*/B; averaging factors adds nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from theory.clients_differ import heterogeneity
from theory.samples.moments import Law, Symmetric, expected
from verification.finding import ProofStep
from verification.proof.identities import identity, rational_identity
from verification.proof.means import average, mean


def of_participation(eta: Any, cosine: Any, spread: Any, clients: Any, active: Any) -> Any:
    """`E‖b̄ − c b̄*‖²` with n of N clients a round, one step; V = mean ‖b_i* − b̄*‖² = `spread`. Ours."""
    drawn = spread * (clients - active) / (active * (clients - 1))
    return eta / (1 - eta) * cosine**2 * drawn


def of_privacy(eta: Any, noise: Any, outputs: Any, clients: Any) -> Any:
    """The same with noise of deviation σ on every number that a client sends, one step. Ours."""
    return outputs * noise**2 / (clients * (1 - (1 - 2 * eta) ** 2))


def of_labels(eta: Any, noise: Any, outputs: Any, lost: Any, pooled: Any) -> Any:
    """The same with M = `pooled` fresh samples and label noise σ, one step; s²B² = `lost`. Ours."""
    return eta * (lost + outputs * noise**2) / (pooled * (1 - eta * (1 + 2 / pooled)))


def shift_weights(eta: Any, squares: Any, steps: Any) -> Any:
    """`1 − (1 − 2η aᵀS_ia)^K`: the share of the way to its own solution that client i goes. Ours."""
    return 1 - (1 - 2 * eta * squares) ** steps


def exact_average_bias(eta: float, targets: Float[np.ndarray, "N p"]) -> Float[np.ndarray, " p"]:
    """How far FlexLoRA's resting product is from b̄* at one local step, to first order in η. Ours."""
    centre = targets.mean(axis=0)
    size = float(np.linalg.norm(centre))
    pull = ((targets - centre) * ((targets - centre) @ centre)[:, None]).mean(axis=0)
    along = centre / size
    return np.asarray(2.0 * eta / size * (pull - 0.5 * along * (along @ pull)))


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """The excess at a frozen a, the resting mean squares, and what an exact average adds.

    Args:
        stretch: multiplies the stated part that a frozen a loses; 1 for the true statement.
    """
    y, t, c, s, b = sp.symbols("y t c s b", real=True)
    return (
        identity("frozen a, any b: an entry's square y² − 2cyt + t² is (y − ct)² and what a loses, s²t²",
            y**2 - 2 * c * y * t + t**2, (y - c * t) ** 2 + stretch * heterogeneity.excess(s, t),
            vanishing=(c**2 + s**2 - 1,)),
        *_derive_rests(),
        *_derive_shift(),
        *_derive_exact_average(b),
    )  # fmt: skip


def _derive_rests() -> list[ProofStep]:
    """Each floor is what its own round leaves as it is."""
    eta, sigma, p, N, n, M = sp.symbols("eta sigma p N n M", positive=True)
    c, spread, lost, gap, s = sp.symbols("c V lost gap s", positive=True)
    g, h, w = sp.symbols("g h w", real=True)
    kept = (1 - 2 * eta) ** 2
    drawn = spread * (N - n) / (n * (N - 1))
    laws: dict[sp.Symbol, Law] = {h: Symmetric(1 / M), w: Symmetric(1 / M)}
    laws |= {g: {1: 1, 2: 1 + 2 / M}.__getitem__}
    along = expected(((1 - 2 * eta * g) * gap + 2 * eta * s * h + 2 * eta * sigma * w) ** 2, laws)
    joint = sp.Symbol("joint", positive=True)
    participation = of_participation(eta, c, spread, N, n)
    privacy, labels = of_privacy(eta, sigma, p, N), of_labels(eta, sigma, p, lost, M)
    return [
        rational_identity("participation: b moves to (1 − 2η)b + 2ηc·(mean of n drawn), whose variance is "
            "V(N − n)/(n(N − 1))", kept * participation + 4 * eta**2 * c**2 * drawn, participation),
        rational_identity("privacy: to (1 − 2η)b + 2ηc b̄* and the mean of N noises",
            kept * privacy + p * sigma**2 / N, privacy),
        identity("labels: the gap along b̄* moves to (1 − 2ηg)gap + 2ηs h + 2ησw, g = aᵀḠa, h = aᵀḠu: E g "
            "= 1, E g² = 1 + 2/M, E h² = E w² = 1/M", along,
            (1 - 4 * eta + 4 * eta**2 * (1 + 2 / M)) * gap**2 + 4 * eta**2 * (s**2 + sigma**2) / M),
        rational_identity("so, summed over the p outputs, the floor rests",
            (1 - 4 * eta + 4 * eta**2 * (1 + 2 / M)) * joint + 4 * eta**2 * (lost + p * sigma**2) / M, joint,
            where={joint: labels}),
    ]  # fmt: skip


def _derive_shift() -> list[ProofStep]:
    x, t, w, total = sp.symbols("x t w total", real=True)
    eta, square = sp.symbols("eta square", positive=True)
    clients = {t: "t", w: "w"}
    rest = mean(w * t, clients) / mean(w, clients)
    return [
        identity("covariances: one step on b multiplies client i's distance from its own solution by "
            "1 − 2ηaᵀS_ia, so that a share 1 − (1 − 2ηaᵀS_ia)^K of the way is gone after K",
            x - 2 * eta * square * (x - t), t + (1 - shift_weights(eta, square, 1)) * (x - t)),
        identity("any N: the mean of the clients' ways is 0 at their solutions' mean with these weights",
            average(w * (total - t), clients), 0, where={total: rest}),
    ]  # fmt: skip


def _derive_exact_average(b: sp.Symbol) -> list[ProofStep]:
    r, g = sp.symbols(
        "r g", real=True
    )  # client i's residual along a* in one output, and its sum with b
    alpha, eta = sp.symbols("alpha eta", positive=True)
    clients = {r: "r", g: "g"}
    after_a, after_b = alpha - 2 * eta * g, b - 2 * eta * alpha * r
    plain = alpha * b - 2 * eta * alpha**2 * mean(r, clients) - 2 * eta * b * mean(g, clients)
    return [
        identity("any N, a = α a*: the mean product after one step on both factors has 4η²α·mean(g_i r_i) "
            "besides …",
            average(after_a * after_b, clients), plain + 4 * eta**2 * alpha * mean(g * r, clients)),
        identity("… where the product of the means has 4η²α·mean(g_i)·mean(r_i): nothing where the mean "
            "residual is 0",
            average(after_a, clients) * average(after_b, clients),
            plain + 4 * eta**2 * alpha * mean(g, clients) * mean(r, clients)),
    ]  # fmt: skip
