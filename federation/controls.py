"""Control variates: every client's gradient is corrected by how its own differed from the mean, last time.

SCAFFOLD (Karimireddy et al., ICML 2020, arXiv 1910.06378), factor by factor: in the rounds that train it,
client i steps along `g − c_i + c`; afterwards `c_i ← c_i − c + (x − y_i)/(K η)`, its mean gradient of the
round, and `c = Σ p_i c_i` over all clients. All start at 0. Right for plain gradient steps only.

Where every client takes part with as many steps, `c = (x_t − x_{t+1})/(K η)` of the factor's last round
follows from two broadcasts, and no number more is sent. Otherwise c goes down with the factor; c_i never
travels, since the server knows x, y_i and c, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from federated_lora.arrays import Array, like, namespace


@dataclass(frozen=True, eq=False)
class Controls:
    """The control variates of a federation, numpy or torch.

    Attributes:
        own: name to every client's, (*batch, N, …).
        shared: name to the server's c, (*batch, …).
    """

    own: Mapping[str, Array]
    shared: Mapping[str, Array]

    @classmethod
    def nothing(
        cls, tensors: Mapping[str, Float[Array, "*batch rows columns"]], N: int
    ) -> Controls:
        """Zeros, for these tensors of the server and N clients."""
        own, shared = {}, {}
        for name, value in tensors.items():
            xp = namespace(value)
            zero = xp.zeros_like(value)
            shared[name] = zero
            own[name] = xp.stack([zero] * N, axis=-3)
        return cls(own, shared)

    def corrections(
        self, people: Int[np.ndarray, "*batch n"], train: Iterable[str]
    ) -> dict[str, Array]:
        """`c − c_i` of the participants, by name, (*batch, n, …), of what trains and has controls."""
        return {
            name: self.shared[name][..., None, :, :] - _rows(self.own[name], people)
            for name in sorted(self.own.keys() & set(train))
        }

    def after(
        self,
        people: Int[np.ndarray, "*batch n"],
        moved: Mapping[str, Float[Array, "*batch n rows columns"]],
        steps: Array | float,
        weights: Float[np.ndarray, "*batch N"],
    ) -> Controls:
        """After a round.

        Args:
            people: who took part.
            moved: `x − y_i` of each by name: what was broadcast less what came back.
            steps: `K η`, or one for each participant, (*batch, n).
            weights: p_i of all clients, which sum to one.
        """
        own, shared = dict(self.own), dict(self.shared)
        for name, correction in self.corrections(people, moved).items():
            xp = namespace(correction)
            length = steps if isinstance(steps, float) else steps[..., None, None]
            own[name] = _put(self.own[name], people, moved[name] / length - correction)
            p = like(xp.asarray(weights, device=correction.device), correction)
            shared[name] = xp.sum(p[..., None, None] * own[name], axis=-3)
        return Controls(own, shared)

    def arrays(self) -> dict[str, Array]:
        """What a checkpoint needs."""
        return {
            f"{kind}.{name}": value
            for kind, values in (("own", self.own), ("shared", self.shared))
            for name, value in values.items()
        }

    @classmethod
    def restored(cls, arrays: Mapping[str, Array]) -> Controls:
        """The controls that `arrays` were taken of."""
        parts: dict[str, dict[str, Array]] = {"own": {}, "shared": {}}
        for key, value in arrays.items():
            kind, _, name = key.partition(".")
            parts[kind][name] = value
        return cls(parts["own"], parts["shared"])


def _index(people: np.ndarray) -> tuple[np.ndarray, ...]:
    rows = np.ix_(*(np.arange(size) for size in people.shape[:-1]))
    return (*(row[..., None] for row in rows), people)


def _rows(stack: Array, people: np.ndarray) -> Array:
    """The participants' entries of a stack (*batch, N, …)."""
    return stack[_index(people)]


def _put(stack: Array, people: np.ndarray, values: Array) -> Array:
    made = namespace(stack).asarray(stack, copy=True)
    made[_index(people)] = values
    return made
