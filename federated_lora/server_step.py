"""One server step: what came back is checked, the method combines it, what it made is checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from federated_lora.adapter import Adapter, ClientFactors, Factor, Factors, Model
from federated_lora.arrays import Array, dtype_name, namespace
from federated_lora.averaging import Method, Replies, Update, check_round
from federated_lora.diagnostics import aggregation_error
from federated_lora.weights import client_weights

Weights = Sequence[float] | np.ndarray | None


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The state after a round, for one adapted matrix.

    Attributes:
        adapter: the new global adapter.
        server: the adapter the round started from.
        clients: what the clients came out of their training with.
        weights: normalised client weights, shape (N,).
        merged: change to the frozen matrix W0 (`merged.added` adds it), or None.
        personal: the personal factors each replying client keeps, or None if the method has none.
        memory: what the next round's step is to be given, or None.
    """

    adapter: Adapter
    server: Adapter
    clients: ClientFactors
    weights: np.ndarray
    merged: Adapter | Array | None = None
    personal: ClientFactors | None = None
    memory: Array | None = None

    @property
    def aggregation_error(self) -> Array:
        """`||s·A·B + merged − Σ p_k s A_k B_k||_F`, a scalar per batch entry.

        Computed when asked for, because it costs more than the averaging itself. See
        `diagnostics.aggregation_error` for what personal factors mean in it.
        """
        step = self.adapter, self.server, self.clients, self.weights
        return aggregation_error(*step, merged=self.merged, personal=self.personal)


def aggregate(
    method: Method,
    server: Adapter,
    clients: ClientFactors,
    weights: Weights,
    round: int,
    memory: Array | None = None,
) -> Aggregate:
    """Combine what the clients trained in a round.

    Args:
        clients: what the clients came out of their training with: the factors trained in the round,
            and in every round the method's personal ones; another only if it is unchanged.
        weights: client sizes or weights, None for uniform.
        memory: of the step before, None in the first round.

    Raises:
        ValueError: if a factor is missing, has a wrong shape or type, is not finite (client and round
            are named), if a frozen factor came back changed, or if the method returns what it may not.
    """
    trained, personal = method.trainable(round), method.personal
    p = client_weights(weights, clients.count)
    _require_present(clients, trained, personal, round)
    for factor in Factor:
        sent, held = clients.factor(factor), server.factor(factor)
        if factor in trained | personal:
            _require_sound(sent, held, factor, round)
        elif sent is not None:
            _require_unchanged(sent, held, factor, round)
    if clients.ranks is not None:
        method.require_ranks(clients.ranks, server.shape.rank)
        _require_within(clients)
    shared = {str(f): clients.factor(f) for f in trained - personal}
    replies = Replies(p, **shared, memory=memory, ranks=clients.ranks)
    update = method.combine(server, replies, round)
    _require_allowed(method, update, server, round)
    kept = None
    if personal:
        own = update.personal if update.personal is not None else clients
        kept = ClientFactors(**{str(f): own.factor(f) for f in personal})
        if kept.count != clients.count:
            raise ValueError(
                f"method {method.name} in round {round} must return personal factors of each of the"
                f" {clients.count} clients, got {kept.count}"
            )
        for factor in personal:
            _require_sound(kept.factor(factor), server.factor(factor), factor, round)
    return Aggregate(update.adapter, server, clients, p, update.merged, kept, update.memory)


def aggregate_model(
    method: Method,
    server: Model,
    clients: Mapping[str, ClientFactors],
    weights: Weights,
    round: int,
    memory: Mapping[str, Array] | None = None,
) -> dict[str, Aggregate]:
    """Apply a method's rule to every adapted matrix of a model; `memory` by layer.

    Raises ValueError if the layers differ, or for any reason of the rule, prefixed by the layer's name.
    """
    check_round(round)
    if set(server) != set(clients):
        missing = sorted(set(server) ^ set(clients))
        raise ValueError(f"clients must send back the server's layers, differing in {missing[:3]}")
    aggregates = {}
    for layer, adapter in server.items():
        try:
            held = (memory or {}).get(layer)
            aggregates[layer] = aggregate(method, adapter, clients[layer], weights, round, held)
        except ValueError as error:
            raise ValueError(f"layer {layer}: {error}") from error
    return aggregates


def _require_present(
    clients: ClientFactors, trained: Factors, personal: Factors, round: int
) -> None:
    for factor in sorted(trained | personal):
        if clients.factor(factor) is None:
            what = f"trained in round {round}" if factor in trained else "personal"
            raise ValueError(f"factor {factor} is {what}, but no client sent it")


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


def _require_within(clients: ClientFactors) -> None:
    """Refuse numbers beyond a client's rank."""
    for k, own in enumerate(clients.ranks or ()):
        for factor in Factor:
            stack = clients.factor(factor)
            beyond = None if stack is None else (
                stack[k, ..., own:] if factor is Factor.A else stack[k, ..., own:, :]
            )  # fmt: skip
            if beyond is not None and bool(namespace(beyond).any(beyond != 0)):
                raise ValueError(
                    f"client {k} has rank {own}, but sent more than that in factor {factor}"
                )


def _require_unchanged(sent: Array, held: Array, factor: Factor, round: int) -> None:
    xp = namespace(sent, held)
    _require_alike(sent, held, factor)
    for k in range(sent.shape[0]):
        if not bool(xp.all(sent[k] == held)):
            raise ValueError(
                f"client {k} changed factor {factor}, which is frozen in round {round}"
            )


def _require_allowed(method: Method, update: Update, server: Adapter, round: int) -> None:
    """Refuse an update the method did not declare, or one that fits neither server nor W0."""
    where = f"method {method.name} in round {round}"
    if not isinstance(update, Update) or not isinstance(update.adapter, Adapter):
        got = type(getattr(update, "adapter", update)).__name__
        raise ValueError(f"{where} must return an Update of an Adapter, got {got}")
    if update.adapter.scale != server.scale:
        raise ValueError(
            f"{where} must keep the scale {server.scale:g}, got {update.adapter.scale:g}"
        )
    for factor in Factor:
        made, held = update.adapter.factor(factor), server.factor(factor)
        if made is not held:
            _require_like(f"{where}: factor {factor}", made, tuple(held.shape), held)
    if update.merged is not None:
        if not method.merges:
            raise ValueError(f"{where} changed W0, but does not say merges = True")
        _require_change(f"{where}: the change of W0", update.merged, server)
    if update.memory is not None:
        _require_leading(f"{where}: its memory", update.memory, server)
        _require_finite(f"{where}: its memory", update.memory, server.A)
    given = update.personal
    if given is not None and {f for f in Factor if given.factor(f) is not None} != method.personal:
        raise ValueError(
            f"{where} must return exactly its personal factors,"
            f" {' and '.join(sorted(method.personal)) or 'none'}"
        )


def _require_leading(what: str, made: Array, server: Adapter) -> None:
    """Refuse what does not begin with the axes that the server's factors have in front of theirs."""
    namespace(made)
    batch = tuple(server.A.shape[:-2])
    if tuple(made.shape[: len(batch)]) != batch:
        raise ValueError(
            f"{what} must have the leading axes {batch} of the server's factors,"
            f" got shape {tuple(made.shape)}"
        )


def _require_change(what: str, change: Adapter | Array, server: Adapter) -> None:
    parts = (change.A, change.B) if isinstance(change, Adapter) else (change,)
    shape = (*parts[0].shape[:-1], parts[-1].shape[-1])
    expected = (*server.A.shape[:-1], server.B.shape[-1])
    if shape != expected:
        raise ValueError(f"{what} must have shape {expected}, got {shape}")
    for part in parts:
        _require_finite(what, part, server.A)


def _require_like(what: str, made: Array, shape: tuple[int, ...], held: Array) -> None:
    if tuple(made.shape) != shape or made.dtype != held.dtype:
        raise ValueError(
            f"{what} must be {dtype_name(held)} of shape {shape},"
            f" got {dtype_name(made)} of shape {tuple(made.shape)}"
        )
    _require_finite(what, made, held)


def _require_finite(what: str, made: Array, held: Array) -> None:
    xp = namespace(made, held)
    if not bool(xp.all(xp.isfinite(made))):
        raise ValueError(f"{what} has a NaN or infinite value")
