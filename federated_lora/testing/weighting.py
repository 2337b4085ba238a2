"""Cases about the clients: their weights and their order."""

import numpy as np

from federated_lora.adapter import Factor
from federated_lora.arrays import Array
from federated_lora.testing.case import Case, differ, products, size_of, stepped
from federated_lora.testing.settings import Setting, numpy_of
from federated_lora.testing.subject import Subject


def _taken(clients: dict[Factor, Array], who: np.ndarray, setting: Setting) -> dict[Factor, Array]:
    return {f: setting.array(numpy_of(stack)[who]) for f, stack in clients.items()}


def _order(subject: Subject, setting: Setting) -> str | None:
    server, clients, after = stepped(subject, setting)
    turned = np.arange(len(setting.sizes))[::-1]
    mixed = _taken(clients, turned, setting)
    found = subject.after(server, mixed, setting.sizes[turned], 1).model(server)
    wanted = after.model(server)
    wanted = wanted[turned] if subject.personal else wanted
    return differ(found, wanted, size_of(server, clients), setting, "clients in another order")


def _unit(subject: Subject, setting: Setting) -> str | None:
    server, clients, after = stepped(subject, setting)
    found = subject.after(server, clients, 10 * setting.sizes, 1).model(server)
    size = size_of(server, clients)
    return differ(found, after.model(server), size, setting, "ten times the example counts")


def _alone(subject: Subject, setting: Setting) -> str | None:
    server, clients, _ = stepped(subject, setting)
    last = len(setting.sizes) - 1
    sizes = np.where(np.arange(last + 1) == last, setting.sizes, 0)
    found = subject.after(server, clients, sizes, 1).model(server)
    found = found[last] if subject.personal else found
    size = size_of(server, clients)
    wanted = products(server, clients)[last]
    return differ(found, wanted, size, setting, "all weight on one client")


def _split(subject: Subject, setting: Setting) -> str | None:
    server, clients, after = stepped(subject, setting)
    count = len(setting.sizes)
    who = np.append(np.arange(count), 0)  # the first twice, with half its weight each
    sizes = 2 * setting.sizes[who]
    sizes[[0, -1]] //= 2
    found = subject.after(server, _taken(clients, who, setting), sizes, 1).model(server)
    found = found[:count] if subject.personal else found
    size = size_of(server, clients)
    return differ(found, after.model(server), size, setting, "a client split into two halves")


def _matter(subject: Subject, setting: Setting) -> str | None:
    if np.all(setting.sizes == setting.sizes[0]):
        return None
    server, clients, after = stepped(subject, setting)
    equal = np.full_like(setting.sizes, 1)
    other = subject.after(server, clients, equal, 1).model(server)
    if np.abs(other - after.model(server)).max() > setting.tolerance * size_of(server, clients):
        return None
    return "unequal example counts give what equal ones give"


WEIGHTINGS = (
    Case("order-of-clients", "the order of the clients does not matter", _order, 1),
    Case("unit-of-weights", "example counts in another unit give the same", _unit, 8),
    Case("weight-of-one", "with all weight on one client its model is the result", _alone, 8),
    Case("split-client", "a client split into two halves gives the same", _split, 8),
    Case("weights-matter", "unequal weights are not ignored", _matter, 8, exact_types=True),
)
