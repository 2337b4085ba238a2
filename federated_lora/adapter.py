"""A LoRA adapter as two plain arrays, and the stack of what the clients sent back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import isfinite
from typing import Self

from jaxtyping import Float

from federated_lora.arrays import Array, dtype_name, namespace


class Factor(StrEnum):
    """One of the two factors of an adapter."""

    A = "A"
    """Down-projection, shape (d_in, r)."""
    B = "B"
    """Up-projection, shape (r, d_out)."""


Factors = frozenset[Factor]

NEITHER: Factors = frozenset()
BOTH = frozenset({Factor.A, Factor.B})
ONLY_A = frozenset({Factor.A})
ONLY_B = frozenset({Factor.B})


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of one adapted matrix: `d_in × d_out` at LoRA rank `rank`."""

    d_in: int
    rank: int
    d_out: int

    def __post_init__(self) -> None:
        for name, value in (("d_in", self.d_in), ("rank", self.rank), ("d_out", self.d_out)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    def numbers(self, factor: Factor) -> int:
        """How many numbers the factor holds."""
        return self.d_in * self.rank if factor is Factor.A else self.rank * self.d_out


@dataclass(frozen=True, slots=True)
class Adapter:
    """`ΔW = scale · A · B` in the row-vector convention `x ↦ x W`.

    Attributes:
        A: down-projection, shape (*batch, d_in, r). PEFT's `lora_A.weight` is its transpose.
        B: up-projection, shape (*batch, r, d_out). PEFT's `lora_B.weight` is its transpose.
        scale: s = alpha / r, or alpha / sqrt(r) for rsLoRA.

    Raises:
        ValueError: on shapes that do not chain, an empty axis, factors that are not of one floating
            type, or a scale that is not finite and non-zero.
    """

    A: Float[Array, "*batch d_in r"]
    B: Float[Array, "*batch r d_out"]
    scale: float = 1.0

    def __post_init__(self) -> None:
        xp = namespace(self.A, self.B)
        if self.A.ndim < 2 or self.B.ndim < 2 or self.A.shape[-1] != self.B.shape[-2]:
            raise ValueError(
                f"A must be (d_in, r) and B (r, d_out) with one rank, got A {tuple(self.A.shape)}"
                f" and B {tuple(self.B.shape)}"
            )
        if tuple(self.A.shape[:-2]) != tuple(self.B.shape[:-2]):
            raise ValueError(
                f"A and B must share their leading axes, got A {tuple(self.A.shape)}"
                f" and B {tuple(self.B.shape)}"
            )
        if 0 in self.A.shape or 0 in self.B.shape:
            raise ValueError(
                f"A and B must not be empty, got A {tuple(self.A.shape)} and B {tuple(self.B.shape)}"
            )
        # An average of integers would be cut back to integers, and torch multiplies no mixed types.
        if self.A.dtype != self.B.dtype or not xp.isdtype(self.A.dtype, "real floating"):
            raise ValueError(
                "A and B must have one real floating dtype,"
                f" got A {dtype_name(self.A)} and B {dtype_name(self.B)}"
            )
        if not isfinite(self.scale) or self.scale == 0.0:
            raise ValueError(f"scale must be finite and non-zero, got {self.scale}")

    @property
    def shape(self) -> Shape:
        """Sizes d_in, rank, d_out."""
        return Shape(int(self.A.shape[-2]), int(self.A.shape[-1]), int(self.B.shape[-1]))

    def factor(self, factor: Factor) -> Array:
        """The named factor."""
        return self.A if factor is Factor.A else self.B

    def with_factor(self, factor: Factor, value: Array) -> Adapter:
        """A copy with the named factor exchanged; the other factor is the same object."""
        return replace(self, A=value) if factor is Factor.A else replace(self, B=value)

    def delta(self) -> Float[Array, "*batch d_in d_out"]:
        """The update ΔW = s·A·B, shape (*batch, d_in, d_out). Dense: for tests and small layers."""
        return self.scale * (self.A @ self.B)


@dataclass(frozen=True, slots=True)
class ClientFactors:
    """What the clients of one round sent back for one adapted matrix.

    The client axis comes first; further leading axes (Monte Carlo trials, say) may follow.

    Attributes:
        A: stacked down-projections, shape (N, *batch, d_in, r), or None if A was not trained.
        B: stacked up-projections, shape (N, *batch, r, d_out), or None if B was not trained.
        ranks: of the clients, if some have less than r: the rest of their factors is zero (`padded`).

    Raises:
        ValueError: if both are None, an array lacks the client axis, or the client counts differ.
    """

    A: Float[Array, " N *batch d_in r"] | None = None
    B: Float[Array, " N *batch r d_out"] | None = None
    ranks: tuple[int, ...] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for factor in Factor:
            stack = self.factor(factor)
            if stack is None:
                continue
            namespace(stack)
            if stack.ndim < 3:
                raise ValueError(
                    f"clients' {factor} must be stacked with the client axis first, three axes at"
                    f" least, got shape {tuple(stack.shape)}"
                )
        counts = {int(x.shape[0]) for x in (self.A, self.B) if x is not None}
        if not counts:
            raise ValueError("clients must send back at least one factor, got neither A nor B")
        if len(counts) > 1 or counts == {0}:
            raise ValueError(
                "A and B must come from the same clients, at least one,"
                f" got counts {sorted(counts)}"
            )
        if self.ranks is not None and len(self.ranks) != self.count:
            raise ValueError(
                f"ranks must be one for each of the {self.count} clients, got {len(self.ranks)}"
            )

    @classmethod
    def padded(cls, pairs: Sequence[tuple[Array, Array]], rank: int) -> Self:
        """The stacks of clients whose pairs (A, B) have ranks of their own.

        Raises:
            ValueError: if there is no client, a rank is above the server's, a client's factors have two
                ranks, or shapes differ between clients in more than the rank.
        """
        ranks = tuple(int(A.shape[-1]) for A, _ in pairs)
        if not ranks or max(ranks) > rank:
            raise ValueError(
                f"pairs must be of one client at least, of ranks up to {rank}, got ranks {list(ranks)}"
            )
        sizes = (pairs[0][0].shape[:-1], pairs[0][1].shape[-1])
        for k, (A, B) in enumerate(pairs):
            if A.shape[-1] != B.shape[-2] or (A.shape[:-1], B.shape[-1]) != sizes:
                raise ValueError(
                    f"client {k}'s A must be (d_in, r_k) and its B (r_k, d_out), as client 0's,"
                    f" got {tuple(A.shape)} and {tuple(B.shape)}"
                )
        xp = namespace(*(x for pair in pairs for x in pair))

        def wide(x: Array, axis: int) -> Array:
            shape = list(x.shape)
            shape[axis] = rank - shape[axis]
            return xp.concat([x, xp.zeros(tuple(shape), dtype=x.dtype, device=x.device)], axis=axis)

        stacks = (xp.stack([wide(x[i], axis) for x in pairs]) for i, axis in enumerate((-1, -2)))
        return cls(*stacks, ranks=ranks)

    @property
    def count(self) -> int:
        """Number of clients N."""
        sent = self.A if self.A is not None else self.B
        assert sent is not None  # guaranteed by __post_init__
        return int(sent.shape[0])

    def factor(self, factor: Factor) -> Array | None:
        """The named stack, or None if it was not sent."""
        return self.A if factor is Factor.A else self.B


Model = Mapping[str, Adapter]
"""A whole model: layer name to adapter."""
