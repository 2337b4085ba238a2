"""Cases about the basis: products A_k B_k do not depend on it, so a rule's model had better not."""

from collections.abc import Callable
from functools import partial

import numpy as np

from federated_lora.adapter import Factor
from federated_lora.arrays import Array
from federated_lora.averaging import Gauge
from federated_lora.testing.case import Case, both_train, differ, size_of
from federated_lora.testing.settings import Setting, adapter_of, numpy_of
from federated_lora.testing.subject import Subject

Basis = Callable[[np.random.Generator], np.ndarray]


def _invariant(own: bool, rotation: bool, subject: Subject, setting: Setting) -> str | None:
    server = setting.started()
    clients = setting.trained(server, subject.trainable(1) | subject.personal)
    before = subject.after(server, clients, setting.sizes, 1).model(server)
    rank, count = server.shape.rank, len(setting.sizes)
    drawn = setting.drawn("basis")((count if own else 1, rank, rank))
    R = np.linalg.qr(drawn).Q
    if not rotation:
        R = R * np.linspace(0.6, 1.7, rank)
    inverse = np.linalg.inv(R)
    A, B = (numpy_of(clients[f]) for f in Factor)
    turned: dict[Factor, Array] = {
        Factor.A: setting.array(A @ R),
        Factor.B: setting.array(inverse @ B),
    }
    held = server
    if not own:
        held = adapter_of(
            server, numpy_of(server.A) @ R[0], inverse[0] @ numpy_of(server.B), setting
        )
        trained = subject.trainable(1) | subject.personal
        for f in Factor:
            if f not in trained:  # the same rounding as the server's
                turned[f] = setting.array(np.repeat(numpy_of(held.factor(f))[None], count, axis=0))
    after = subject.after(held, turned, setting.sizes, 1).model(held)
    # Changing the basis rounds the factors, by more the worse the basis.
    return differ(after, before, 50.0 * size_of(server, clients), setting, "another basis")


_CASES = {
    Gauge.COMMON_ROTATION: ("common-rotation", False, True),
    Gauge.COMMON: ("common-basis", False, False),
    Gauge.ROTATIONS: ("client-rotations", True, True),
    Gauge.EACH: ("client-bases", True, False),
}


def _promises(gauge: Gauge, subject: Subject) -> bool:
    return gauge in subject.gauges


GAUGES = tuple(
    Case(
        name,
        f"the model does not depend on {gauge}",
        partial(_invariant, own, rotation),
        applies=both_train if own else lambda _subject: None,
        promised=partial(_promises, gauge),
        exact_types=True,
    )
    for gauge, (name, own, rotation) in _CASES.items()
)
