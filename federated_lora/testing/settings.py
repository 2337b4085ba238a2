"""What every case is run over: library, precision, shape of the layer, number and weights of the clients."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from federated_lora.adapter import Adapter, Factor, Factors
from federated_lora.arrays import Array, namespace
from verification.streams import generator

SHAPES = {"square": (6, 2, 6), "wide": (4, 2, 9), "tall": (9, 3, 4)}
"""d_in, rank, d_out."""
WEIGHTS: dict[str, tuple[int, ...] | None] = {
    "equal weights": (3, 3, 3),
    "unequal weights": (1, 2, 5),
    "one client": (4,),
    "50 clients": tuple(1 + k % 7 for k in range(50)),
}
"""Example counts of the clients."""
TOLERANCE = {"float64": 1e-12, "float32": 2e-5, "bfloat16": 4e-2}
"""Largest relative error of a model: of two factors, each rounded to the precision, and of their sums."""
SCALE = 0.75


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a case is run.

    Attributes:
        library: `numpy` or `torch`.
        dtype: `float64`, `float32` or `bfloat16`.
        shape: key of `SHAPES`.
        weights: key of `WEIGHTS`.
        scale: s of the adapter, not 1.
        seed: of the factors that are drawn.
    """

    library: str = "numpy"
    dtype: str = "float64"
    shape: str = "wide"
    weights: str = "unequal weights"
    scale: float = SCALE
    seed: int = 0

    def __str__(self) -> str:
        """In words."""
        return f"{self.library} {self.dtype}, {self.shape}, {self.weights}"

    @property
    def tolerance(self) -> float:
        """Largest relative error that is rounding."""
        return TOLERANCE[self.dtype]

    @property
    def sizes(self) -> np.ndarray:
        """Example counts of the clients, (N,)."""
        return np.array(WEIGHTS[self.weights], dtype=np.int64)

    def array(self, values: np.ndarray) -> Array:
        """The values in the setting's library and precision."""
        if self.library == "numpy":
            return values.astype(self.dtype)
        import torch

        return torch.tensor(values, dtype=getattr(torch, self.dtype))

    def drawn(self, *axes: str | int) -> Callable[..., np.ndarray]:
        """Standard normal numbers of the setting's stream of that name."""
        return generator(self.seed, "conformance", *axes).standard_normal

    def started(self) -> Adapter:
        """A server's adapter in the middle of a run: neither factor is zero."""
        d_in, rank, d_out = SHAPES[self.shape]
        draw = self.drawn("server", self.shape)
        A, B = draw((d_in, rank)), draw((rank, d_out))
        return Adapter(self.array(A), self.array(B), self.scale)

    def trained(self, server: Adapter, factors: Factors, clients: int = 0) -> dict[Factor, Array]:
        """Both factors of every client, stacks (N, …), the trained ones moved as by a round."""
        count = clients or len(self.sizes)
        found = {}
        for factor in Factor:
            held = numpy_of(server.factor(factor))
            draw = self.drawn("clients", self.shape, str(factor))
            moved = held + draw((count, *held.shape)) * (factor in factors)
            found[factor] = self.array(moved)
        return found


def settings() -> Iterator[Setting]:
    """Every combination."""
    for library, dtype in (
        *product(("numpy", "torch"), ("float64", "float32")),
        ("torch", "bfloat16"),
    ):
        for shape, weights in product(SHAPES, WEIGHTS):
            yield Setting(library, dtype, shape, weights)


SETTINGS = tuple(settings())


def numpy_of(array: Any) -> np.ndarray:
    """The values as float64."""
    if isinstance(array, np.ndarray):
        return array.astype(np.float64)
    import torch

    return np.asarray(array.detach().to(torch.float64).cpu().numpy())


def adapter_of(server: Adapter, A: np.ndarray, B: np.ndarray, setting: Setting) -> Adapter:
    """An adapter like the server's with other values."""
    return replace(server, A=setting.array(A), B=setting.array(B))


def same_bits(first: Array, second: Array) -> bool:
    """Whether two arrays have the same type, shape and values, bit for bit."""
    if first.dtype != second.dtype or tuple(first.shape) != tuple(second.shape):
        return False
    return bool(namespace(first, second).all(first == second))
