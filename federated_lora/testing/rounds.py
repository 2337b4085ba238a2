"""Rounds one after the other, with all that is handed on between them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from federated_lora.adapter import Adapter, Factor
from federated_lora.arrays import Array, namespace
from federated_lora.testing.settings import Setting, numpy_of
from federated_lora.testing.subject import Subject


@dataclass(frozen=True, eq=False)
class Between:
    """What there is between two rounds, all of which a checkpoint holds.

    Attributes:
        server: the adapter.
        merged: sum of the changes of W0, float64.
        own: factors of its own that each client has, stacks (N, …).
        memory: what the method's last round handed on.
    """

    server: Adapter
    merged: np.ndarray | float = 0.0
    own: Mapping[Factor, Array] | None = None
    memory: Array | None = None

    def copied(self) -> "Between":
        """The same numbers in other arrays, as a checkpoint brings them back."""
        memory = None if self.memory is None else _copied(self.memory)
        server = replace(self.server, A=_copied(self.server.A), B=_copied(self.server.B))
        own = {f: _copied(stack) for f, stack in (self.own or {}).items()}
        return Between(server, self.merged, own, memory)

    def numbers(self) -> tuple[np.ndarray, ...]:
        """Both factors, the change of W0, and clients' own."""
        own = [numpy_of(stack) for stack in (self.own or {}).values()]
        pair = numpy_of(self.server.A) @ numpy_of(self.server.B)
        return self.merged + self.server.scale * pair, *own


def started(setting: Setting) -> Between:
    """Before the first round."""
    return Between(setting.started())


def driven(
    subject: Subject,
    setting: Setting,
    begun: Between,
    rounds: Iterable[int],
    *,
    forgetting: bool = False,
) -> Between:
    """What there is after these rounds; `forgetting`, no round is given a memory."""
    for t in rounds:
        trained = subject.trainable(t) | subject.personal
        clients = setting.trained(begun.server, trained)
        for f, stack in (begun.own or {}).items():  # from where it was left, not from the server's
            moved = numpy_of(clients[f]) - numpy_of(begun.server.factor(f))
            clients[f] = setting.array(numpy_of(stack) + moved)
        memory = None if forgetting else begun.memory
        made = subject.after(begun.server, clients, setting.sizes, t, None, memory)
        change = 0.0 if made.merged is None else numpy_of(made.merged)
        begun = Between(made.adapter, begun.merged + change, made.personal, made.memory)
    return begun


def _copied(array: Array) -> Array:
    return namespace(array).asarray(array, copy=True)
