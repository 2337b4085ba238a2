"""Cases about rounds: which factors move, whose turn it is, and what is remembered."""

import numpy as np

from federated_lora.adapter import Adapter, Factor
from federated_lora.testing.case import Case, stepped
from federated_lora.testing.rounds import driven, started
from federated_lora.testing.settings import Setting, numpy_of, same_bits
from federated_lora.testing.subject import ROUNDS, Subject


def _phase(subject: Subject, setting: Setting) -> str | None:
    if setting != Setting():  # no arithmetic in it
        return None
    asked = subject.fresh()
    first = [asked.trainable(t) for t in range(1, ROUNDS + 1)]
    mixed = subject.fresh()
    for t in (7, 2, 2, 9, 1):  # an evaluation, a worker of its own, a run taken up
        if mixed.trainable(t) != first[t - 1]:
            return f"what trains in round {t} depends on what was asked before"
    later = subject.fresh()
    stepped(later, setting, 1)
    changed = [t for t in range(1, ROUNDS + 1) if later.trainable(t) != first[t - 1]]
    return f"what trains in round {changed[0]} depends on the server's steps" if changed else None


def _first(subject: Subject, setting: Setting) -> str | None:
    held = setting.started()
    server = Adapter(held.A, setting.array(0.0 * numpy_of(held.B)), held.scale)
    A, B = numpy_of(server.A), numpy_of(server.B)
    target = setting.drawn("target")((len(setting.sizes), A.shape[0], B.shape[1]))
    trained = subject.trainable(1) | subject.personal
    gap = target - server.scale * (A @ B)
    moved = {Factor.A: gap @ B.T, Factor.B: A.T @ gap}  # one gradient step of ||s A B − target||²/2
    clients = {
        f: setting.array(
            numpy_of(server.factor(f)) + 0.1 * server.scale * moved[f] * (f in trained)
        )
        for f in Factor
    }
    model = subject.after(server, clients, setting.sizes, 1).model(server)
    return None if np.abs(model).max() > 1e-3 else "from B = 0 the first round does not move ΔW"


def _frozen(subject: Subject, setting: Setting) -> str | None:
    for t in (1, 2, 3, 4):
        server, _, after = stepped(subject, setting, t)
        shared = subject.trainable(t) - subject.personal
        told = subject.traffic(server.shape, t)
        if told is not None and told.down > sum(server.shape.numbers(f) for f in shared):
            continue  # it says that it sends more than what was trained
        for f in Factor:
            if f not in shared and not same_bits(after.adapter.factor(f), server.factor(f)):
                return f"{f} changed in round {t}, in which no client trained it"
    return None


def _resume(subject: Subject, setting: Setting) -> str | None:
    whole, broken = subject.fresh(), subject.fresh()
    wanted = driven(whole, setting, started(setting), (1, 2, 3, 4, 5, 6))
    checkpoint = driven(broken, setting, started(setting), (1, 2, 3)).copied()
    found = driven(subject.fresh(), setting, checkpoint, (4, 5, 6))
    if all(map(np.array_equal, found.numbers(), wanted.numbers())):
        return None
    return "a run taken up from its checkpoint after round 3 is another by round 6"


def _memory(subject: Subject, setting: Setting) -> str | None:
    rounds = range(1, 7)
    whole = driven(subject.fresh(), setting, started(setting), rounds)
    if not subject.remembers:
        return None if whole.memory is None else "it hands a memory on, but does not say so"
    lost = driven(subject.fresh(), setting, started(setting), rounds, forgetting=True)
    same = np.array_equal(whole.numbers()[0], lost.numbers()[0])
    return "six rounds without its memory come to the same" if same else None


PHASES = (
    Case("phase", "what trains is a function of the server's round alone", _phase, 2),
    Case("first-round", "the first round moves ΔW from the usual start B = 0", _first, 3),
    Case("frozen-factor", "a factor that no client trained is the same, bit for bit", _frozen, 4),
    Case(
        "resume",
        "a run goes on from a checkpoint, with the memory it handed on, as if never broken off",
        _resume,
        9,
    ),
    Case(
        "memory",
        "what it says that it remembers is handed on, and matters; nothing else is",
        _memory,
        9,
    ),
)
