"""One round of Algorithm 2 as a step of a chain of scalars.

With label noise, unlike clients, participation, privacy noise, and either b-step.

In the frame (a, u, out of plane), `a* = c·a + s·u`, ‖b̄*‖ = 1, κ = 2η. b-step, given `|X_i a|²`:
`b̄ = c·mean b_i* + s·N(0, Σ b_i*b_i*ᵀ/|X_i a|²)/n + N(0, (σ²Σ|X_i a|⁻²/n² + σ_p²/n) I)`.
a-step, `y_i = X_i q_i − σ‖b̄‖ e_i`, `q_i = a‖b̄‖² − a* (b_i*·b̄)`: a moves by `−(κ/M) Σ X_iᵀy_i`, whose part out
of the plane is `−(κ/M) N(0, Σ‖y_i‖² I)`; with q_i = q for all, so is the whole part across q. Privacy adds
N(0, σ_p²/n I).
Exact in law for one local step; several are in `steps.local_steps`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from linear_model.prediction.law import Law, Sums, chi2
from linear_model.prediction.steps import local_steps, own_fits
from linear_model.prediction.steps.turning import Moved, blurred, turned


class Fit(NamedTuple):
    """The b-step's result, all (T,) unless said: b̄ itself where clients differ, else what matters of it.

    Attributes:
        lead: b̄·b̄* − c, without cancellation.
        along: b̄·b̄*.
        beside: what ‖b̄‖² has beside along².
        vector: b̄ (T, p), or None if all targets are one.
    """

    lead: np.ndarray
    along: np.ndarray
    beside: np.ndarray
    vector: np.ndarray | None


def fit(rng: np.random.Generator, law: Law, c: np.ndarray, s: np.ndarray, sums: Sums) -> Fit:
    """b̄ as the server has it."""
    blur = np.sqrt(np.square(law.noise * sums.scale) + law.privacy**2 / law.active)
    if sums.mean is None:
        normal = rng.standard_normal((2, c.size))
        lead = s * sums.scale * normal[0] + blur * normal[1]
        beside = np.square(blur) * chi2(rng, law.outputs - 1, c.size)
        return Fit(lead, c + lead, beside, None)
    assert sums.root is not None
    assert law.targets is not None
    normal = rng.standard_normal((2, c.size, law.outputs))
    b = c[:, None] * sums.mean + blur[:, None] * normal[1]
    b += s[:, None] * (sums.root @ normal[0, ..., None])[..., 0]
    centre = law.targets.mean(axis=0)
    along = b @ centre
    beside = np.square(b - along[:, None] * centre).sum(axis=1)
    return Fit(along - c, along, beside, b)


def step(
    rng: np.random.Generator, law: Law, c: np.ndarray, s: np.ndarray, sums: Sums
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosine and sine after a round, and the excess risk ‖a⁺b̄ᵀ − a*b̄*ᵀ‖² then, each (T,)."""
    if law.own:
        return own_fits.step(rng, law, c, s, sums.people)
    b = fit(rng, law, c, s, sums)
    if law.frozen:
        return c, s, np.square(b.lead) + b.beside + np.square(s)
    # q of the mean target, in (a, u): ‖b̄‖² − c b̄·b̄* without cancellation
    q = np.stack([b.along * b.lead + b.beside, -s * b.along])
    length = np.square(b.along) + b.beside
    if law.local_steps > 1:
        pulls = _own_pulls(law, q, b, (c, s), sums.people)
        moved = Moved(*local_steps.moved(rng, law, pulls, length[:, None]))
    elif sums.gram is None:
        moved = _moved_alike(rng, law, q, np.sqrt(length))
    else:
        moved = _moved_apart(rng, law, q, np.sqrt(length), b, (c, s), sums.gram)
    c_next, s_next, drop = turned(c, s, blurred(rng, law, moved))
    return c_next, s_next, np.square(b.lead + drop) + b.beside + np.square(s_next)


def _own_pulls(
    law: Law,
    q: np.ndarray,
    b: Fit,
    angle: tuple[np.ndarray, np.ndarray],
    people: np.ndarray | None,
) -> np.ndarray:
    """The q_i in (a, u), (2, T, n), or one for all clients, (2, T, 1)."""
    if people is None or b.vector is None or law.targets is None:
        return q[..., None]
    apart = law.targets[people] - law.targets.mean(axis=0)
    pulls = np.einsum("tnp,tp->tn", apart, b.vector)
    return q[..., None] - np.stack(angle)[..., None] * pulls


def _moved_alike(rng: np.random.Generator, law: Law, q: np.ndarray, length: np.ndarray) -> Moved:
    """All clients pull along one q: X q/|q| is M normal numbers, what is across isotropic given y."""
    size = np.hypot(*q)
    unit = np.where(size > 0.0, q / np.where(size > 0.0, size, 1.0), np.array([[1.0], [0.0]]))
    M, noise = law.everything, law.noise * length
    pulled = chi2(rng, M, size.size)
    z, across = rng.standard_normal((2, size.size))
    mixed = noise * np.sqrt(pulled) * z
    along = size * pulled - mixed
    rest = np.square(noise) * chi2(rng, M - 1, size.size) if law.noise else 0.0
    y = np.sqrt(np.square(size * np.sqrt(pulled) - noise * z) + rest)
    gain = -law.kappa / M
    a, u = gain * (along * unit + y * across * np.stack([-unit[1], unit[0]]))
    return Moved(a, u, np.square(gain * y) * chi2(rng, law.d - 2, size.size))


def _moved_apart(
    rng: np.random.Generator,
    law: Law,
    q: np.ndarray,
    length: np.ndarray,
    b: Fit,
    angle: tuple[np.ndarray, np.ndarray],
    gram: np.ndarray,
) -> Moved:
    """Each client pulls along its own q_i in the plane: `q_i = q − ((b_i* − b̄*)·b̄) (c, s)`."""
    assert b.vector is not None
    once, twice = gram[:, :, 0, 1:], gram[:, :, 1:, 1:]
    S = [
        gram[:, :, 0, 0].T,
        np.einsum("tap,tp->at", once, b.vector),
        np.einsum("tapq,tp,tq->at", twice, b.vector, b.vector),
    ]
    f = np.stack(angle)
    pull = _times(S[0], q) - _times(S[1], f)
    square = _dot(q, _times(S[0], q)) - 2.0 * _dot(q, _times(S[1], f)) + _dot(f, _times(S[2], f))
    square = np.maximum(square, 0.0)
    if law.noise:
        pull, square = _with_noise(rng, law, S[0], pull, square, law.noise * length)
    gain = -law.kappa / law.everything
    a, u = gain * pull
    return Moved(a, u, gain**2 * square * chi2(rng, law.d - 2, length.size))


def _with_noise(
    rng: np.random.Generator,
    law: Law,
    S: np.ndarray,
    pull: np.ndarray,
    square: np.ndarray,
    noise: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Dᵀy and |y|² for y = r − noise·e from S = DᵀD, Dᵀr and |r|²: e meets the columns of D and r alone."""
    normal = rng.standard_normal((3, noise.size))
    normal[law.everything :] = 0.0  # e has no more entries than that
    first = np.sqrt(S[0])
    corner = np.sqrt(np.maximum(S[2] - np.square(S[1]) / S[0], 0.0))
    De = np.stack([first * normal[0], S[1] / first * normal[0] + corner * normal[1]])
    # r = D x + what is across D's columns
    solved = np.stack([pull[0] / first, np.zeros_like(first)])
    solved[1] = np.divide(
        pull[1] - S[1] / first * solved[0], corner, out=solved[1], where=corner > 0.0
    )
    across = np.sqrt(np.maximum(square - np.square(solved).sum(axis=0), 0.0))
    re = _dot(solved, normal[:2]) + across * normal[2]
    ee = np.square(normal).sum(axis=0) + chi2(rng, law.everything - 3, noise.size)
    return pull - noise * De, np.maximum(square - 2.0 * noise * re + np.square(noise) * ee, 0.0)


def _times(S: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.stack([S[0] * x[0] + S[1] * x[1], S[1] * x[0] + S[2] * x[1]])


def _dot(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    product: np.ndarray = (x * y).sum(axis=0)
    return product
