"""Other people's code in our clothes: a bare `aggregate(state_dicts, weights)`."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from federated_lora.adapter import BOTH, NEITHER, Adapter, Factor, Factors, Shape
from federated_lora.arrays import Array, swap
from federated_lora.averaging import COMMON_GAUGES, Average, Gauge
from federated_lora.testing.settings import numpy_of
from federated_lora.testing.subject import After
from federated_lora.traffic import Traffic

LAYER = "layer"
NAMES = {Factor.A: f"{LAYER}.lora_A.weight", Factor.B: f"{LAYER}.lora_B.weight"}
"""As in PEFT: (r, d_in) and (d_out, r)."""
BASE = f"{LAYER}.base_layer.weight"
StateDict = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class OfFunction:
    """A function of state dicts. See `from_function`."""

    function: Callable[..., StateDict]
    name: str
    average: Average
    gauges: frozenset[Gauge]
    trains: tuple[Factors, ...]
    conv1d: bool
    extra: frozenset[str] = field(default=frozenset())
    mixed_ranks: bool = False
    personal: Factors = NEITHER
    remembers: bool = False

    def fresh(self) -> "OfFunction":
        """The same: a function has no instances."""
        return self

    def trainable(self, round: int) -> Factors:
        """The round's of the cycle."""
        return self.trains[(round - 1) % len(self.trains)]

    def traffic(self, shape: Shape, round: int) -> Traffic | None:  # noqa: ARG002 - it does not say
        """Unknown."""
        return None

    def after(
        self,
        server: Adapter,
        clients: Mapping[Factor, Array],
        sizes: np.ndarray,
        round: int,
        ranks: tuple[int, ...] | None = None,
        memory: Array | None = None,  # noqa: ARG002 - it has none to be handed on
    ) -> After:
        """The function's state dict, read as an adapter and a change of the base weight."""
        zero = swap(server.delta()) * 0.0
        base = {BASE: swap(zero) if self.conv1d else zero}
        told: dict[str, Any] = {
            "round": round, "scaling": server.scale,
            "server": {NAMES[f]: swap(server.factor(f)) for f in Factor} | base,
        }  # fmt: skip
        own = zip(clients[Factor.A], clients[Factor.B], ranks or (None,) * len(sizes), strict=True)
        dicts = [
            {NAMES[Factor.A]: swap(A[:, :q]), NAMES[Factor.B]: swap(B[:q])} | base
            for A, B, q in own
        ]
        more = {key: value for key, value in told.items() if key in self.extra}
        made = self.function(dicts, [int(n) for n in sizes], **more)
        factors = {
            f: swap(made[NAMES[f]]) if NAMES[f] in made else server.factor(f) for f in Factor
        }
        merged = None
        if BASE in made:
            change = made[BASE] if self.conv1d else swap(made[BASE])
            merged = change if np.any(numpy_of(change)) else None
        return After(replace(server, A=factors[Factor.A], B=factors[Factor.B]), merged, {})


def from_function(
    function: Callable[..., StateDict],
    *,
    name: str = "",
    average: Average = Average.INEXACT,
    gauges: frozenset[Gauge] = COMMON_GAUGES,
    trains: Sequence[Factors] = (BOTH,),
    conv1d: bool = False,
    mixed_ranks: bool = False,
) -> OfFunction:
    """A bare function as a subject of the suite.

    It is called as `function(state_dicts, weights)`: a PEFT state dict of one layer per client, with
    `layer.lora_A.weight` (r, d_in), `layer.lora_B.weight` (d_out, r) and `layer.base_layer.weight` (zero at
    first), and the clients' example counts; and with `round`, `scaling` and `server` (the broadcast state
    dict) where it has parameters of these names. It returns a state dict; what it leaves out stays as it was.

    Args:
        name: in reports; the function's own if empty.
        average, gauges: what it promises.
        trains: factors that clients train, a cycle over rounds from the first.
        conv1d: whether the base weight is (d_in, d_out), as GPT-2's, in place of Linear's (d_out, d_in).
        mixed_ranks: whether clients' factors may have ranks below the server's.

    Raises:
        ValueError: if `trains` is empty or has an empty entry.
    """
    if not trains or not all(trains):
        raise ValueError(f"trains must name at least one factor for every round, got {trains!r}")
    known = {"round", "scaling", "server"}
    extra = frozenset(inspect.signature(function).parameters) & known
    return OfFunction(
        function, name or getattr(function, "__name__", "function"), average, gauges,
        tuple(map(frozenset, trains)), conv1d, extra, mixed_ranks=mixed_ranks,
    )  # fmt: skip
