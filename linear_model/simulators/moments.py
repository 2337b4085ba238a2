"""Clients known by their sufficient statistics `G_i = X_iᵀX_i/m` and `σ X_iᵀE_i/m`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from jaxtyping import Float, Int

from linear_model.clients import OwnA, OwnB, SharedA, SharedB, Squares, Truth, solve, transpose

Columns = Float[np.ndarray, " #T #n d c"]
Mixed = Float[np.ndarray, " #T #n r q"]


@dataclass(frozen=True, eq=False)
class MomentClients(ABC):
    """Everything the methods ask for, from products with G_i and `cross`, `σ X_iᵀE_i/m`, (T, n, d, p).

    Without label noise the latter is None.
    """

    A_star: Float[np.ndarray, "d q"]
    B_star: Truth
    cross: Float[np.ndarray, "T n d p"] | None
    per_client: ClassVar[tuple[str, ...]] = ("cross",)
    """Attributes with an entry a client."""

    @abstractmethod
    def apply(self, V: Columns) -> Columns:
        """`G_i V_i` for V of shape (T, n or 1, d, c)."""

    @abstractmethod
    def mean_apply(self, V: Float[np.ndarray, "T d c"]) -> Float[np.ndarray, "T d c"]:
        """`mean_i G_i V` for a shared V of shape (T, d, c)."""

    @abstractmethod
    def products(self, A: SharedA) -> tuple[Squares, Mixed]:
        """`Aᵀ G_i A` and `Aᵀ G_i A*` for a shared A."""

    @cached_property
    def mean_cross(self) -> Float[np.ndarray, "T d p"] | None:
        """Mean of `cross` over clients, (T, d, p)."""
        return None if self.cross is None else self.cross.mean(axis=1)

    @cached_property
    def apply_truth(self) -> Float[np.ndarray, " #T #n d q"]:
        """`G_i A*`, (T, n, d, q), formed once for all local steps on this batch."""
        return self.apply(self.A_star[None, None])

    def normal(self, A: SharedA) -> tuple[Squares, OwnB]:
        square, mixed = self.products(A)
        right = mixed @ self.B_star
        if self.cross is not None:
            right = right + transpose(A)[:, None] @ self.cross
        return square, right

    def fit(self, A: SharedA) -> OwnB:
        return solve(*self.normal(A))

    def mean_gradient(self, A: SharedA, B: SharedB) -> SharedA:
        if self.B_star.shape[1] == 1:  # one B* for all: only the mean of the G_i matters
            gradient = self.mean_apply((A @ B - self.A_star @ self.B_star[:, 0]) @ transpose(B))
        else:
            residual = A[:, None] @ B[:, None] - self.A_star @ self.B_star
            gradient = self.apply(residual @ transpose(B)[:, None]).mean(axis=1)
        if self.mean_cross is not None:
            gradient = gradient - self.mean_cross @ transpose(B)
        return 2.0 * gradient

    def gradients(self, A: OwnA, B: OwnB, *, of_B: bool) -> tuple[OwnA, OwnB | None]:
        if not of_B:
            gradient = self.apply((A @ B - self.A_star @ self.B_star) @ transpose(B))
            if self.cross is not None:
                gradient = gradient - self.cross @ transpose(B)
            return 2.0 * gradient, None
        # G_i is applied to r columns, however many outputs there are.
        residual = self.apply(A) @ B - self.apply_truth @ self.B_star
        if self.cross is not None:
            residual = residual - self.cross
        return 2.0 * (residual @ transpose(B)), 2.0 * (transpose(A) @ residual)

    def shifted(self, W: Float[np.ndarray, "T d p"]) -> Self:
        """`X_iᵀ(Y_i − X_i W)/m` differs from `X_iᵀY_i/m` by `G_i W`."""
        moved = self.apply(W[:, None])
        return replace(self, cross=-moved if self.cross is None else self.cross - moved)

    def chosen(self, who: Int[np.ndarray, "T n"], B_star: Truth) -> Self:
        at = np.arange(len(who))[:, None], who
        known = {
            name: held[at] for name in self.per_client if (held := getattr(self, name)) is not None
        }
        return replace(self, B_star=B_star, **known)


@dataclass(frozen=True, eq=False)
class GramClients(MomentClients):
    """Clients known by G_i."""

    gram: Float[np.ndarray, "T n d d"]
    per_client = ("cross", "gram")

    @cached_property
    def mean_gram(self) -> Float[np.ndarray, "T d d"]:
        """Ḡ, (T, d, d)."""
        return self.gram.mean(axis=1)

    def apply(self, V: Columns) -> Columns:
        return _apply(self.gram, V)

    def mean_apply(self, V: Float[np.ndarray, "T d c"]) -> Float[np.ndarray, "T d c"]:
        return self.mean_gram @ V

    def products(self, A: SharedA) -> tuple[Squares, Mixed]:
        image = transpose(_apply(self.gram, A[:, None]))
        return image @ A[:, None], image @ self.A_star


@dataclass(frozen=True, eq=False)
class RootClients(MomentClients):
    """Clients known by a root R_i of G_i, (T, n, k, d), of few rows, k = min(m, d): `G_i = R_iᵀ R_i`.

    That is cheaper than forming G_i.
    """

    root: Float[np.ndarray, "T n k d"]
    per_client = ("cross", "root")

    def apply(self, V: Columns) -> Columns:
        return transpose(self.root) @ _apply(self.root, V)

    def mean_apply(self, V: Float[np.ndarray, "T d c"]) -> Float[np.ndarray, "T d c"]:
        trials, clients, rows, d = self.root.shape
        stacked = self.root.reshape(trials, clients * rows, d)
        return transpose(stacked) @ (stacked @ V) / clients

    def products(self, A: SharedA) -> tuple[Squares, Mixed]:
        truth = np.broadcast_to(self.A_star, (len(A), *self.A_star.shape))
        image = _apply(self.root, np.concatenate([A, truth], axis=-1)[:, None])
        rank = A.shape[-1]
        left = transpose(image[..., :rank])
        return left @ image[..., :rank], left @ image[..., rank:]

    def formed(self) -> GramClients:
        """The same clients with G_i formed, which pays off over many products."""
        return GramClients(self.A_star, self.B_star, self.cross, transpose(self.root) @ self.root)


@dataclass(frozen=True, eq=False)
class PopulationClients(MomentClients):
    """Clients with infinitely many samples: G_i is the identity and label noise averages out."""

    def apply(self, V: Columns) -> Columns:
        return V

    def mean_apply(self, V: Float[np.ndarray, "T d c"]) -> Float[np.ndarray, "T d c"]:
        return V

    def products(self, A: SharedA) -> tuple[Squares, Mixed]:
        left = transpose(A)[:, None]
        return left @ A[:, None], left @ self.A_star


def _apply(matrices: np.ndarray, V: np.ndarray) -> np.ndarray:
    """`M_i V_i`; a V shared by the clients goes through one tall product per trial."""
    trials, clients, rows, d = matrices.shape
    if V.shape[1] != 1 or clients == 1:
        return matrices @ V
    image = matrices.reshape(trials, clients * rows, d) @ V[:, 0]
    return image.reshape(trials, clients, rows, V.shape[-1])
