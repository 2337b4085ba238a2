"""A round in which every client's a-step uses its own fit of b: FedSA-LoRA, and LA-LoRA's turns.

Client i fits `b_i = c b_i* + (s z_i b_i* + σ ε_i)/|X_i a|` on its samples and takes K steps on its a with it,
on new ones: it is pulled along `q_i = a (b_i·(b_i − c b_i*)) − s (b_i·b_i*) u` by the law of `local_steps`,
with its own ‖b_i‖². FedSA-LoRA keeps the b_i: its error is the clients' mean. LA-LoRA averages them; its
model is the product of the averages, a as it was moved; only then is a made a unit vector. Exact in law.
"""

from __future__ import annotations

import numpy as np

from linear_model.prediction.law import Law, chi2
from linear_model.prediction.steps import local_steps
from linear_model.prediction.steps.turning import Moved, blurred, turned


def step(
    rng: np.random.Generator, law: Law, c: np.ndarray, s: np.ndarray, people: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosine and sine after a round, and the excess risk then, each (T,).

    Args:
        people: who takes part, (T, n); None for everybody, or where all are alike.
    """
    goals = _goals(law, people)
    shape = (c.size, law.active)
    length = np.sqrt(chi2(rng, law.samples, shape))
    off = (s[:, None] * rng.standard_normal(shape) / length)[..., None] * goals  # b_i − c b_i*
    if law.noise:
        noise = rng.standard_normal((*shape, law.outputs))
        off = off + law.noise / length[..., None] * noise
    b = c[:, None, None] * goals + off
    q = np.stack([(b * off).sum(axis=-1), -s[:, None] * (b * goals).sum(axis=-1)])
    moved = Moved(*local_steps.moved(rng, law, q, np.square(b).sum(axis=-1)))
    moved = blurred(rng, law, moved)
    c_next, s_next, drop = turned(c, s, moved)
    if law.own == "kept":
        gaps = off + drop[:, None, None] * goals
        sizes = np.square(goals).sum(axis=-1)
        excess = np.square(gaps).sum(axis=-1) + np.square(s_next)[:, None] * sizes
        return c_next, s_next, excess.mean(axis=1)
    centre = _centre(law)
    mean = b.mean(axis=1)
    if law.privacy:
        mean = mean + law.privacy / np.sqrt(law.active) * rng.standard_normal(mean.shape)
    # ā b̄ᵀ − a* b̄*ᵀ along a*: −s² b̄* + c (b̄ − c b̄*) + (what a moved along a*) b̄
    ahead = c * moved.along + s * moved.aside
    along = c[:, None] * (mean - c[:, None] * centre) - np.square(s)[:, None] * centre
    along += ahead[:, None] * mean
    across = moved.parts(c, s)[1]
    wide = np.square(across) * np.square(mean).sum(axis=1)
    return c_next, s_next, np.square(along).sum(axis=1) + wide


def _goals(law: Law, people: np.ndarray | None) -> np.ndarray:
    """The b_i* of those who take part, (T or 1, n, p)."""
    if law.targets is None:
        return np.broadcast_to(_centre(law), (1, law.active, law.outputs))
    return law.targets[None] if people is None else law.targets[people]


def _centre(law: Law) -> np.ndarray:
    """b̄*, (p,): of alike clients any unit vector."""
    if law.targets is not None:
        mean: np.ndarray = law.targets.mean(axis=0)
        return mean
    return np.eye(1, law.outputs)[0]
