"""What a case is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from federated_lora.adapter import Adapter, Factor
from federated_lora.arrays import Array
from federated_lora.testing.settings import Setting, numpy_of
from federated_lora.testing.subject import After, Subject

Check = Callable[[Subject, Setting], str | None]
"""What is wrong, or None."""
Applies = Callable[[Subject], str | None]
"""Why a case does not apply, or None."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is asked of a rule.

    Attributes:
        name: key in reports.
        says: what it asks.
        check: run in every setting.
        defect: number of the known defect it is there for (docs/conformance.md), 0 for algebra.
        applies: to which subjects.
        promised: whether a subject claims it; what is not claimed cannot fail.
        exact_types: whether bfloat16 is left out.
    """

    name: str
    says: str
    check: Check
    defect: int = 0
    applies: Applies = lambda _subject: None
    promised: Callable[[Subject], bool] = lambda _subject: True
    exact_types: bool = False


def one_model(subject: Subject) -> str | None:
    """Why what is asked of the one model does not apply."""
    return "its clients have models of their own" if subject.personal else None


def both_train(subject: Subject) -> str | None:
    """Why a client's own choice of basis does not apply."""
    if len(subject.trainable(1)) < 2:
        return "one factor is frozen, so that its clients share a basis"
    return "its clients keep their own factors" if subject.personal else None


def stepped(
    subject: Subject, setting: Setting, round: int = 1
) -> tuple[Adapter, dict[Factor, Array], After]:
    """A round in the middle of a run: the server before it, the clients' factors, and what came of it."""
    server = setting.started()
    clients = setting.trained(server, subject.trainable(round) | subject.personal)
    return server, clients, subject.after(server, clients, setting.sizes, round)


def products(server: Adapter, clients: dict[Factor, Array]) -> np.ndarray:
    """Every client's `s A_k B_k`, float64, (N, d_in, d_out)."""
    A, B = (numpy_of(clients[f]) for f in Factor)
    return server.scale * (A @ B)


def size_of(server: Adapter, clients: dict[Factor, Array]) -> float:
    """What rounding is relative to: the largest `s ||A_k|| ||B_k||`, which no cancellation makes small."""
    norms = [np.linalg.norm(numpy_of(clients[f]), axis=(-2, -1)) for f in Factor]
    return float(abs(server.scale) * (norms[0] * norms[1]).max())


def differ(
    found: np.ndarray, wanted: np.ndarray, size: float, setting: Setting, what: str
) -> str | None:
    """What is wrong if two models are apart by more than rounding."""
    if found.shape != wanted.shape:
        return f"{what}: shape {found.shape} in place of {wanted.shape}"
    error = float(np.abs(found - wanted).max()) / size
    if error <= setting.tolerance:
        return None
    return f"{what}: off by {error:.2g} of the factors' size, rounding is {setting.tolerance:.2g}"
