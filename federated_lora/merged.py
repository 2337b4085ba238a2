"""A change of the frozen matrix W0: low rank or dense, and what may be done with either."""

from federated_lora.adapter import Adapter, ClientFactors, Factor, Shape
from federated_lora.arrays import Array, accumulator, like, namespace
from federated_lora.averaging import Replies
from federated_lora.weights import accumulated_mean


def dense(change: Adapter | Array) -> Array:
    """The change as an array (*batch, d_in, d_out)."""
    return change.delta() if isinstance(change, Adapter) else change


def numbers(change: Adapter | Array, of: Shape) -> int:
    """Numbers that carry a change of a matrix of this shape, of one batch entry.

    Its two factors, or all of the matrix where that is fewer.
    """
    whole = of.d_in * of.d_out
    return (
        min(change.shape.rank * (of.d_in + of.d_out), whole)
        if isinstance(change, Adapter)
        else whole
    )


def added(weight: Array, change: Adapter | Array) -> Array:
    """`weight + change`, summed in at least float32 and rounded to the precision of the weight.

    The weight is W0 in the convention `x ↦ x W`, (*batch, d_in, d_out).
    """
    return like(accumulator(weight) + accumulator(dense(change)), weight)


def residual(
    adapter: Adapter,
    server: Adapter,
    replies: Replies | ClientFactors,
    weights: Array,
    *,
    personal: ClientFactors | None = None,
) -> Adapter:
    """`Σ p_k s A_k B_k − s·A·B` as a thin product of rank (N + 1) r at most, in at least float32.

    The broadcast adapter stands in for a factor that was not sent; the clients' own (`personal`), where there
    are any, take the adapter's place: `Σ p_k s A_k' B_k'`.
    """
    xp = namespace(adapter.A)
    lefts, rights = _mean_product(adapter, personal, weights)
    exact_lefts, exact_rights = _mean_product(server, replies, weights)
    lefts += [-left for left in exact_lefts]
    return Adapter(
        xp.concat(lefts, axis=-1), xp.concat(rights + exact_rights, axis=-2), -adapter.scale
    )


def stacked(
    server: Adapter, replies: Replies | ClientFactors, weights: Array
) -> tuple[Array, Array]:
    """`Σ p_k A_k B_k` as one thin product `[p_1 A_1 | p_2 A_2 | …]·[B_1; B_2; …]`, without the scale.

    Its factors, (*batch, d_in, N r) and (*batch, N r, d_out), are of at least float32; the broadcast adapter
    stands in for one that was not sent.
    """
    lefts, rights = _mean_product(server, replies, weights)
    xp = namespace(server.A)
    return xp.concat(lefts, axis=-1), xp.concat(rights, axis=-2)


def _mean_product(
    held: Adapter, own: Replies | ClientFactors | None, weights: Array
) -> tuple[list[Array], list[Array]]:
    """Thin factors of `Σ p_k A_k B_k`; a factor that clients have no own of is the one held."""
    A, B = (None, None) if own is None else (own.A, own.B)
    if A is None or B is None:
        pair = (
            accumulator(held.factor(factor)) if stack is None else accumulated_mean(stack, weights)
            for factor, stack in ((Factor.A, A), (Factor.B, B))
        )
        left, right = pair
        return [left], [right]
    # One by one, in the clients' order; what is beyond a client's rank is zero.
    shares = [float(p) for p in weights]
    ranks = (own.ranks if own is not None else None) or (None,) * len(shares)
    lefts = [p * accumulator(x[..., :q]) for p, x, q in zip(shares, A, ranks, strict=True)]
    return lefts, [accumulator(x[..., :q, :]) for x, q in zip(B, ranks, strict=True)]
