"""The scalar laws a round is made of: what is drawn for the clients' samples, exactly and in O(n) numbers.

A client's samples meet the round only through images of few vectors. b-step: `|X_i a|² ~ χ²_m`, given which
everything is normal. a-step: the 2 × 2 Wishart matrix `W_i` of X_i in the plane of a and a*, given which
what the gradient does out of the plane is isotropic. Both enter as sums over clients, weighted by the
clients' targets, which do not depend on the state: a bank of draws of these sums can serve all rounds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from linear_model.prediction.setting import Setting

BANK_NUMBERS = 1_500_000
"""Client terms drawn at most; beyond them rounds take the sums of a bank again, at random."""
SMALLEST_BANK = 16
LARGEST_BLOCK = 1_000_000


@dataclass(frozen=True, eq=False)
class Law:
    """What fixes the law of a round of Algorithm 2.

    Attributes:
        targets: the b_i* (N, p), or None if all are one.
        active: clients in a round, drawn without replacement.
        pooled: one least-squares b over all samples, instead of the mean of the clients' own.
        frozen: a stays where it is (FFA-LoRA).
        own: every client's a-step uses its own b, which stays with it ("kept") or is averaged ("sent").
    """

    d: int
    clients: int
    active: int
    samples: int
    kappa: float
    outputs: int = 1
    noise: float = 0.0
    privacy: float = 0.0
    local_steps: int = 1
    targets: np.ndarray | None = None
    pooled: bool = False
    frozen: bool = False
    own: str = ""

    @classmethod
    def of(cls, setting: Setting, targets: np.ndarray, **variant: Any) -> Self:
        """The law of a setting."""
        names = ("d", "clients", "active", "samples", "kappa", "outputs", "noise", "local_steps")
        own = {name: getattr(setting, name) for name in names}
        apart = None if bool(np.all(targets == targets[:1])) else targets
        return cls(**own, privacy=setting.privacy_noise, targets=apart, **variant)

    @property
    def everything(self) -> int:
        """M = n·m."""
        return self.active * self.samples

    @property
    def steps_weight(self) -> int:
        """Work of one trial's round beside the sums': one where there is one local step."""
        if self.local_steps == 1 and not self.own:
            return 1
        steps = self.local_steps * (self.local_steps + 4) // (2 if self.noise else 4)
        return self.active * (steps + (self.outputs if self.own else 0))

    @property
    def weight(self) -> int:
        """Client terms of one draw of the sums, by the work they make."""
        if self.own:
            return 1 if self.active == self.clients else self.active
        return self.active * (1 if self.targets is None else 2 * (1 + self.outputs) ** 2)


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the clients of a round, a row for each draw.

    Attributes:
        scale: standard deviation of a fitted number's noise per unit of label noise, (K,).
        mean: mean of the b_i* as the b-step weighs them, (K, p); None if all are one.
        root: `root rootᵀ` is the covariance of the fit per s², (K, p, p); None alike.
        people: who takes part, for local steps of unlike clients, (K, n); None otherwise.
        gram: `Σ_i w_ij w_ik W_i`, w_i = (1, b_i* − b̄*), entries aa, au, uu first, (K, 3, 1+p, 1+p).
    """

    scale: np.ndarray
    mean: np.ndarray | None = None
    root: np.ndarray | None = None
    gram: np.ndarray | None = None
    people: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Sums:
        """The named draws."""
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        some: dict[str, Any] = {n: None if x is None else x[rows] for n, x in held.items()}
        return Sums(**some)


def chi2(rng: np.random.Generator, freedom: int, shape: int | tuple[int, ...]) -> np.ndarray:
    """χ² with any number of degrees of freedom; 0 for none."""
    return 2.0 * rng.standard_gamma(0.5 * max(freedom, 0), shape)


def draw_sums(rng: np.random.Generator, law: Law, count: int) -> Sums:
    """Independent draws of a round's sums, in blocks that fit into memory."""
    block = max(LARGEST_BLOCK // law.weight, 1)
    if count > block:
        parts = [draw_sums(rng, law, min(block, count - i)) for i in range(0, count, block)]
        held = {f.name: [getattr(part, f.name) for part in parts] for f in fields(Sums)}
        joined: dict[str, Any] = {
            n: None if xs[0] is None else np.concatenate(xs) for n, xs in held.items()
        }
        return Sums(**joined)
    if law.own:
        everybody = law.active == law.clients or law.targets is None
        return Sums(np.zeros(count), people=None if everybody else _people(rng, law, count))
    if law.targets is None and law.pooled:
        return Sums(np.sqrt(1.0 / chi2(rng, law.everything, count)))
    shape = (count, law.active)
    lengths = chi2(rng, law.samples, shape)  # |X_i a|²
    # b = Σ_i share_i (c b_i* + (s z_i b_i* + σ ε_i)/|X_i a|)
    total = lengths.sum(axis=1, keepdims=True)
    share = lengths / total if law.pooled else np.full(shape, 1.0 / law.active)
    each = np.square(share) / lengths
    scale = np.sqrt(each.sum(axis=1))
    if law.targets is None:
        return Sums(scale)
    centre = law.targets.mean(axis=0)
    people = _people(rng, law, count)
    chosen = law.targets[people]
    mean = np.einsum("kn,knp->kp", share, chosen)
    covariance = np.einsum("kn,knp,knq->kpq", each, chosen, chosen, optimize=True)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    if law.frozen or law.local_steps > 1:
        return Sums(scale, mean, root, people=None if law.frozen else people)
    weights = np.concatenate([np.ones((*shape, 1)), chosen - centre], axis=-1)
    first, aside = np.sqrt(chi2(rng, law.samples, shape)), rng.standard_normal(shape)
    wishart = (first**2, first * aside, aside**2 + chi2(rng, law.samples - 1, shape))  # Bartlett
    turned = np.swapaxes(weights, 1, 2)
    gram = np.stack([turned @ (weights * entry[..., None]) for entry in wishart], axis=1)
    return Sums(scale, mean, root, gram)


def _people(rng: np.random.Generator, law: Law, count: int) -> np.ndarray:
    """Who takes part, (count, n)."""
    if law.active == law.clients:
        return np.broadcast_to(np.arange(law.clients), (count, law.clients))
    keys = rng.random((count, law.clients))
    return np.argpartition(keys, law.active - 1, axis=1)[:, : law.active]


class Supply:
    """Sums for every round: new draws while they are affordable, else a bank's, at random."""

    def __init__(self, rng: np.random.Generator, law: Law, wanted: int) -> None:
        """Draws for about `wanted` rows in all."""
        self._rng, self._law = rng, law
        affordable = BANK_NUMBERS // (law.weight * (4 if law.frozen else 1))  # one round needs few
        self.size: int | None = None
        if wanted > affordable:
            self.size = max(affordable, SMALLEST_BANK)
            self._bank = draw_sums(rng, law, self.size)

    def __call__(self, count: int) -> Sums:
        """Sums of one round for so many trials."""
        if self.size is None:
            return draw_sums(self._rng, self._law, count)
        return self._bank.take(self._rng.integers(self.size, size=count))
