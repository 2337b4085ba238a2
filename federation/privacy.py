"""Differential privacy of what clients send: every client clips its own update and adds Gaussian noise.

In a round client k sends `x + clip_C(y_k − x) + σ C ξ_k` in place of y_k: x is what it received, the norm
that C bounds is of all tensors it sends together, ξ_k is standard normal. What stays at home is left alone.

What (ε, δ) is of: everything one client sends in the run, against whoever sees all messages, the server
included; neighbours differ in whether that client's updates are its own or 0 (with another's in their place
σ counts half). Rounds compose in Rényi divergence, `α/(2σ²)` each (Mironov 2017). Participants are drawn as
a set of fixed size that the server knows, which is no Poisson sampling, so it earns nothing: every client
is counted in every round; all that in exact arithmetic. Sizes of clients are taken for known, the record of
a run is not covered, and neither is a choice among several runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from numbers import Real

import numpy as np
from jaxtyping import Int

from federated_lora.arrays import Array, like, namespace
from verification.discovery import extras_named

_ORDERS = 1.0 + np.geomspace(1e-5, 1e8, 6000)
"""Rényi orders tried: the best of them is within 1e-4 of the best of all."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What clients do to their updates.

    Attributes:
        clip: largest norm C of an update, over all tensors a client sends in a round.
        noise: σ, the noise's standard deviation over C.
        delta: δ at which ε is told.

    Raises:
        ValueError: on a clip that is not positive, which noise is measured by; on negative noise.
    """

    clip: float
    noise: float = 0.0
    delta: float = 1e-5

    def __post_init__(self) -> None:
        if not (isinstance(self.clip, Real) and 0.0 < self.clip < inf):
            raise ValueError(
                f"clip must be above 0 and finite, for noise is in units of it, got {self.clip!r}"
            )
        if not (isinstance(self.noise, Real) and 0.0 <= self.noise < inf):
            raise ValueError(f"noise must be at least 0 and finite, got {self.noise!r}")

    def sent(
        self,
        trained: Mapping[str, Array],
        received: Mapping[str, Array],
        people: Int[np.ndarray, "*batch n"],
        stream: Callable[[int], np.random.Generator],
    ) -> dict[str, Array]:
        """What leaves the clients. A client within the bound keeps its bits where there is no noise.

        Args:
            trained: by name, what they came out of their training with, (*batch, n, …).
            received: by name, what they began with, (*batch, n or 1, …).
            people: who they are.
            stream: a client's source of noise for this round, for all of the batch.
        """
        if not trained:
            return {}
        xp = namespace(*trained.values())
        moved = {name: trained[name] - received[name] for name in sorted(trained)}
        axes = people.ndim
        squares = [
            xp.sum(xp.astype(x, xp.float64) ** 2, axis=tuple(range(axes, x.ndim)))
            for x in moved.values()
        ]
        norm = xp.sqrt(sum(squares[1:], squares[0]))
        far = norm > self.clip
        shrink = self.clip / xp.where(far, norm, xp.ones_like(norm))
        noises = self._noises(moved, people, stream) if self.noise else {}
        made = {}
        for name, change in moved.items():
            over = (..., *(None,) * (change.ndim - axes))
            cut = received[name] + change * like(shrink, change)[over]
            made[name] = xp.where(far[over], cut, trained[name])
            if name in noises:
                noise = xp.asarray(noises[name], device=change.device)
                made[name] = made[name] + like(noise, change)
        return made

    def _noises(
        self,
        moved: Mapping[str, Array],
        people: np.ndarray,
        stream: Callable[[int], np.random.Generator],
    ) -> dict[str, np.ndarray]:
        """`σ C ξ` by name, float64; drawn on the CPU, so that a device changes nothing."""
        batch, axes = people.shape[:-1], people.ndim
        noises = {name: np.empty(tuple(x.shape)) for name, x in moved.items()}
        for client in np.unique(people):
            rng, at = stream(int(client)), people == client
            for noise in noises.values():
                drawn = rng.standard_normal((*batch, *noise.shape[axes:]))
                noise[at] = self.noise * self.clip * drawn[at.any(axis=-1)]
        return noises

    def epsilon(self, rounds: int) -> float:
        """ε of so many rounds at δ, by the accountant of Opacus.

        Raises:
            MissingExtraError: if it is not installed.
            ValueError: without noise.
        """
        if not self.noise:
            raise ValueError("an ε needs dp_noise above 0, got 0")
        with extras_named():
            from opacus.accountants.analysis import rdp
        spent = rdp.compute_rdp(
            q=1.0, noise_multiplier=self.noise, steps=rounds, orders=_ORDERS.tolist()
        )
        epsilon, _ = rdp.get_privacy_spent(orders=_ORDERS, rdp=spent, delta=self.delta)
        return max(0.0, float(epsilon))  # of much noise and a large δ the bound would be below

    def told(self, rounds: int) -> dict[str, float | str | None]:
        """What a manifest says of it."""
        if not self.noise:
            says = f"Updates are clipped to norm {self.clip:g}; without noise that is no privacy."
            return {"clip": self.clip, "noise": 0.0, "epsilon": None, "delta": None, "says": says}
        epsilon = self.epsilon(rounds)
        says = (
            f"ε = {epsilon:.4g} at δ = {self.delta:g}, for all that a client sends in {rounds} rounds,"
            " its own updates against none, every client counted in every round."
        )
        return {
            "clip": self.clip, "noise": self.noise, "epsilon": epsilon, "delta": self.delta, "says": says
        }  # fmt: skip
