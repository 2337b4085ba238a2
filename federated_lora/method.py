"""What a federated LoRA method is, and the averaging that the three built-in ones share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from federated_lora.adapter import Adapter, ClientFactors, Factor, Model, Shape
from federated_lora.arrays import Array, dtype_name, namespace
from federated_lora.diagnostics import aggregation_error
from federated_lora.traffic import Traffic
from federated_lora.weights import client_weights, weighted_mean

Weights = Sequence[float] | np.ndarray | None


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The server's state after a round, for one adapted matrix.

    Attributes:
        adapter: the new global adapter.
        server: the adapter the round started from.
        clients: what came back.
        weights: normalised client weights, shape (N,).
        merged: dense change (d_in, d_out) to the frozen matrix W0, or None.
    """

    adapter: Adapter
    server: Adapter
    clients: ClientFactors
    weights: np.ndarray
    merged: Array | None = None

    @property
    def aggregation_error(self) -> Array:
        """`||s·A·B + merged − Σ p_k s A_k B_k||_F`, a scalar per batch entry.

        Computed when asked for, because it costs more than the averaging itself.
        """
        return aggregation_error(
            self.adapter, self.server, self.clients, self.weights, merged=self.merged
        )


@runtime_checkable
class Method(Protocol):
    """A federated LoRA method: which factors train, how they are combined, what travels."""

    @property
    def name(self) -> str:
        """Key on command lines and in results."""

    def trainable(self, round: int) -> frozenset[Factor]:
        """Factors every client trains in the given server round, counting from 1."""

    def aggregate(
        self, server: Adapter, clients: ClientFactors, weights: Weights, round: int
    ) -> Aggregate:
        """Combine what the clients sent back in the given round."""

    def traffic(self, shapes: Iterable[Shape], round: int) -> Traffic:
        """Numbers one client sends up and receives, given that it keeps what it already holds."""


def check_round(round: int) -> None:
    """Refuse a round number that does not count from 1.

    Raises:
        ValueError: if `round` is not a positive integer.
    """
    if isinstance(round, bool) or not isinstance(round, (int, np.integer)) or round < 1:
        raise ValueError(f"round counts from 1, got {round!r}")


def average_factors(
    server: Adapter,
    clients: ClientFactors,
    weights: Weights,
    factors: frozenset[Factor],
    round: int,
) -> Aggregate:
    """Average the named factors over clients and keep the others bit for bit.

    Args:
        server: the adapter that was broadcast.
        clients: what came back; a factor outside `factors` may be present only if it is unchanged.
        weights: client sizes or weights, None for uniform.
        factors: the factors to average.
        round: server round, for the error messages.

    Raises:
        ValueError: if a factor is missing, has a wrong shape or type, is not finite (client and round
            are named), or if a frozen factor came back changed.
    """
    p = client_weights(weights, clients.count)
    for factor in sorted(factors):
        if clients.factor(factor) is None:
            raise ValueError(f"factor {factor} is trained in round {round}, but no client sent it")
    adapter = server
    for factor in Factor:
        sent = clients.factor(factor)
        held = server.factor(factor)
        if factor not in factors:
            if sent is not None:
                _require_unchanged(sent, held, factor, round)
            continue
        _require_sound(sent, held, factor, round)
        adapter = adapter.with_factor(factor, weighted_mean(sent, p))
    return Aggregate(adapter=adapter, server=server, clients=clients, weights=p)


def _require_alike(sent: Array, held: Array, factor: Factor) -> None:
    if tuple(sent.shape[1:]) != tuple(held.shape):
        raise ValueError(
            f"factor {factor} of each client must have the server's shape {tuple(held.shape)},"
            f" got {tuple(sent.shape[1:])}"
        )
    if sent.dtype != held.dtype:
        raise ValueError(
            f"factor {factor} of each client must have the server's dtype {dtype_name(held)},"
            f" got {dtype_name(sent)}"
        )


def _require_sound(sent: Array, held: Array, factor: Factor, round: int) -> None:
    xp = namespace(sent, held)
    _require_alike(sent, held, factor)
    if not bool(xp.all(xp.isfinite(sent))):
        bad = next(k for k in range(sent.shape[0]) if not bool(xp.all(xp.isfinite(sent[k]))))
        raise ValueError(
            f"client {bad} sent a NaN or infinite value in factor {factor} in round {round}"
        )


def _require_unchanged(sent: Array, held: Array, factor: Factor, round: int) -> None:
    xp = namespace(sent, held)
    _require_alike(sent, held, factor)
    for k in range(sent.shape[0]):
        if not bool(xp.all(sent[k] == held)):
            raise ValueError(
                f"client {k} changed factor {factor}, which is frozen in round {round}"
            )


def aggregate_model(
    method: Method,
    server: Model,
    clients: Mapping[str, ClientFactors],
    weights: Weights,
    round: int,
) -> dict[str, Aggregate]:
    """Apply a method's rule to every adapted matrix of a model.

    Args:
        method: the rule.
        server: layer name to broadcast adapter.
        clients: layer name to what came back, with exactly the same layers.
        weights: client sizes or weights, None for uniform.
        round: server round, counting from 1.

    Returns:
        Layer name to aggregate, in the server's order.

    Raises:
        ValueError: if the layers differ, or for any reason of the rule, prefixed by the layer's name.
    """
    check_round(round)
    if set(server) != set(clients):
        missing = sorted(set(server) ^ set(clients))
        raise ValueError(f"clients must send back the server's layers, differing in {missing[:3]}")
    aggregates = {}
    for layer, adapter in server.items():
        try:
            aggregates[layer] = method.aggregate(adapter, clients[layer], weights, round)
        except ValueError as error:
            raise ValueError(f"layer {layer}: {error}") from error
    return aggregates
