"""Cases about what goes in: not written to, not remembered, refused if it is not finite."""

import numpy as np

from federated_lora.adapter import Factor
from federated_lora.arrays import Array, namespace
from federated_lora.testing.case import Case
from federated_lora.testing.settings import Setting, numpy_of, same_bits
from federated_lora.testing.subject import Subject

LOOP = "of a training loop, not of a server's rule: the laboratories' tests hold it"


def _unwritten(subject: Subject, setting: Setting) -> str | None:
    server = setting.started()
    trained = subject.trainable(1) | subject.personal
    clients = setting.trained(server, trained)
    given = [*clients.values(), *(server.factor(f) for f in Factor)]
    before = [namespace(x).asarray(x, copy=True) for x in given]
    first = subject.after(server, clients, setting.sizes, 1).model(server)
    if not all(map(same_bits, given, before)):
        return "what the clients sent, or the server held, was written to"
    others = {f: setting.array(1.0 - numpy_of(x)) for f, x in clients.items() if f in trained}
    subject.after(server, clients | others, setting.sizes, 1)  # other clients' round in between
    again = subject.after(server, clients, setting.sizes, 1).model(server)
    return None if np.array_equal(first, again) else "the same round again gives another result"


def _kept(subject: Subject, setting: Setting) -> str | None:
    server = setting.started()
    clients = setting.trained(server, subject.trainable(1) | subject.personal)
    made = subject.after(server, clients, setting.sizes, 1)
    before = made.model(server)
    for stack in clients.values():
        stack[...] = 0.0  # a client's next round
    same = np.array_equal(before, made.model(server)) or bool(subject.personal)
    return None if same else "the server's factors are the clients' own arrays, which train on"


def _finite(subject: Subject, setting: Setting) -> str | None:
    server = setting.started()
    trained = subject.trainable(1) | subject.personal
    who = len(setting.sizes) - 1
    for factor in sorted(trained):
        for bad in (np.nan, np.inf):
            values = {f: numpy_of(x) for f, x in setting.trained(server, trained).items()}
            values[factor][who, 0, 0] = bad
            clients = {f: setting.array(x) for f, x in values.items()}
            try:
                subject.after(server, clients, setting.sizes, 1)
            except ValueError as error:
                if f"client {who}" not in str(error):
                    return f"the refusal of a {bad} does not name client {who}: {error}"
            else:
                return f"a {bad} in client {who}'s {factor} was averaged in"
    return None


def _refused(subject: Subject, setting: Setting) -> str | None:
    server, sizes = setting.started(), setting.sizes
    clients = setting.trained(server, subject.trainable(1) | subject.personal)
    negative = np.where(np.arange(len(sizes)) == 0, -sizes, sizes)
    tries: list[tuple[str, dict[Factor, Array], np.ndarray, tuple[int, ...] | None]] = [
        ("weights that are all zero", clients, 0 * sizes, None),
        ("a negative weight", clients, negative, None),
        (
            "a round without clients",
            {f: stack[:0] for f, stack in clients.items()},
            sizes[:0],
            None,
        ),
    ]
    if len(sizes) > 1 and not subject.mixed_ranks:
        ranks = (1, *(server.shape.rank for _ in sizes[1:]))
        tries.append(("a client of another rank", clients, sizes, ranks))
    for what, stacks, counts, own in tries:
        try:
            with np.errstate(all="ignore"):
                subject.after(server, stacks, counts, 1, own)
        except Exception:  # noqa: BLE001 - anybody's code refuses in its own way
            continue
        return f"{what} went through"
    return None


SOUNDNESS = (
    Case(
        "nothing-written",
        "what is given is not written to, and nothing is remembered",
        _unwritten,
        1,
    ),
    Case(
        "no-shared-memory", "a client that trains on does not change the server's factors", _kept, 1
    ),
    Case("non-finite", "a NaN or infinity is refused, with the client named", _finite, 12),
    Case(
        "bad-input",
        "no clients, other ranks, negative and all-zero weights are refused",
        _refused,
        12,
    ),
    Case(
        "head-policy",
        "heads and optimiser states follow a named policy",
        lambda *_: None,
        10,
        lambda _: LOOP,
    ),
    Case(
        "learning-rates",
        "every method has the same grid of learning rates",
        lambda *_: None,
        11,
        lambda _: LOOP,
    ),
)
