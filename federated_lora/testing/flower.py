"""A Flower strategy as a subject of the suite, driven as Flower's server drives it.

In every round the strategy is asked to configure training, with the server's arrays, and to aggregate one
reply of each client. What its record does not hold is gone from Flower's server: plain FedAvg loses the
arrays that no reply has, such as the frozen factor in RoLoRA's rounds where clients send only what they
trained. That counts as a failure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from federated_lora.adapter import BOTH, Factors
from federated_lora.arrays import Array, accumulator, like, namespace
from federated_lora.averaging import COMMON_GAUGES, Average, Gauge
from federated_lora.testing.outside import NAMES, OfFunction, StateDict, from_function
from verification.discovery import extras_named

_PATIENCE = 3
"""Questions for the nodes in a round after which a strategy is taken to wait for more of them."""


class _Grid:
    """The connected nodes: the clients of the round."""

    def __init__(self, clients: int) -> None:
        self._asked = iter(range(_PATIENCE))
        self._nodes = [*range(1, clients + 1)]

    def get_node_ids(self) -> list[int]:
        """Their ids."""
        if not [*islice(self._asked, 1)]:
            raise ValueError(f"the strategy waits for more than {len(self._nodes)} clients")
        return self._nodes


def _aggregated(
    strategy: Any,
    trains: Sequence[Factors],
    whole: bool,
    state_dicts: Sequence[StateDict],
    weights: Sequence[int],
    round: int,
    server: StateDict,
) -> dict[str, Array]:
    """The round's arrays, in the server's library and precision."""
    flwr = _flwr()
    held = flwr.ArrayRecord({name: flwr.Array(_numpy(x)) for name, x in server.items()})
    asked = strategy.configure_train(round, held, flwr.ConfigRecord({}), _Grid(len(weights)))
    messages = {message.metadata.dst_node_id: message for message in asked}
    if len(messages) < len(weights):
        raise ValueError(f"the strategy asks {len(messages)} of {len(weights)} clients to train")
    frozen = {NAMES[f] for f in BOTH - trains[(round - 1) % len(trains)]}
    replies = []
    for node, (sent, count) in enumerate(zip(state_dicts, weights, strict=True), start=1):
        kept = {name: x for name, x in sent.items() if whole or name not in frozen}
        content = {
            "arrays": flwr.ArrayRecord({name: flwr.Array(_numpy(x)) for name, x in kept.items()}),
            "metrics": flwr.MetricRecord({"num-examples": count}),
        }
        replies.append(flwr.Message(flwr.RecordDict(content), reply_to=messages[node]))
    record, _ = strategy.aggregate_train(round, replies)
    made = {name: record[name].numpy() for name in record or ()}
    lost = sorted(set(server) - set(made))
    if lost:
        raise ValueError(f"the server no longer has {', '.join(lost)}, which no reply held")
    return {name: _as(made[name], held) for name, held in server.items()}


def _flwr() -> Any:
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    with extras_named():
        from flwr import app
        from flwr.supercore.task_identity import TaskIdentity
    # Messages carry them; a server's process has its own.
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
    return app


def _numpy(array: Array) -> np.ndarray:
    """The array as Flower sends it, 16-bit floats as 32."""
    return np.ascontiguousarray(accumulator(array))


def _as(values: np.ndarray, reference: Array) -> Array:
    xp = namespace(reference)
    return like(xp.asarray(values), reference)


@dataclass(frozen=True, eq=False)
class OfStrategy(OfFunction):
    """A Flower strategy. See `from_strategy`."""

    again: Callable[[], OfStrategy] = field(kw_only=True)

    def fresh(self) -> OfStrategy:
        """A new strategy, which has seen no round."""
        return self.again()


def from_strategy(
    make: Callable[[], Any],
    *,
    name: str = "",
    average: Average = Average.INEXACT,
    gauges: frozenset[Gauge] = COMMON_GAUGES,
    trains: Sequence[Factors] = (BOTH,),
    conv1d: bool = False,
    whole: bool = False,
) -> OfStrategy:
    """A strategy of Flower's message API (`flwr.serverapp.strategy`) as a subject of the suite.

    Replies hold `layer.lora_A.weight` (r, d_in) and `layer.lora_B.weight` (d_out, r), those that were
    trained, `layer.base_layer.weight`, zero, and the metric `num-examples`.

    Args:
        make: returns a new strategy that is content with one client, asks all, and evaluates nothing:
            `lambda: FedAvg(min_train_nodes=1, min_available_nodes=1)`.
        name: in reports; the strategy's class if empty.
        average, gauges, trains, conv1d: as for `from_function`.
        whole: whether replies hold the frozen factor, too.

    Raises:
        MissingExtraError: without Flower.
        ValueError: if `trains` is empty or has an empty entry.
    """
    _flwr()
    strategy = make()

    def aggregate(
        state_dicts: Sequence[StateDict], weights: Sequence[int], round: int, server: StateDict
    ) -> Mapping[str, Array]:
        return _aggregated(strategy, trains, whole, state_dicts, weights, round, server)

    told: dict[str, Any] = {
        "average": average,
        "gauges": gauges,
        "trains": trains,
        "conv1d": conv1d,
    }
    plain = from_function(aggregate, name=name or type(strategy).__name__, **told)
    return OfStrategy(
        **vars(plain), again=lambda: from_strategy(make, name=name, whole=whole, **told)
    )
