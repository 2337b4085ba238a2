"""Rows beside RoLoRA's: their maps against rounds by vectors, what they share with others, who leads when."""

import numpy as np
import pytest

import rolora
from theory.clients_differ import fedavg_flow
from theory.other_methods import who_wins

POPULATION = {"d": 12, "clients": 3, "samples": 200, "kappa": 0.3, "start": 0.9, "eps": 1e-4}


def literal(steps_on_a, K=1, preconditioned=False, **asked):
    """First rounds with angle and error at most ε: b by least squares, then steps on a, by vectors."""
    kappa, eps, s = asked["kappa"], asked["eps"], asked["start"]
    truth, a = np.array([1.0, 0.0]), np.array([np.sqrt(1.0 - s**2), s])
    first = [None, None]
    for number in range(1, 500):
        b = a @ truth / (a @ a)
        for _ in range(steps_on_a * K):
            pull = kappa * (a * b - truth) * b
            a = a - (pull / b**2 if preconditioned else pull)
        a = a / np.linalg.norm(a)
        error = np.linalg.norm(np.outer(a, [b]) - truth[:, None])
        for i, value in enumerate((abs(a[1]), error)):
            first[i] = first[i] or (number if value <= eps else None)
        if all(first):
            return first
    return first


@pytest.mark.parametrize(
    ("method", "shape"),
    [
        ("rolora-precond", {"steps_on_a": 1, "preconditioned": True}),
        ("rolora-precond", {"steps_on_a": 1, "preconditioned": True, "K": 3}),
        ("a-heavy", {"steps_on_a": 3}),
        ("a-heavy", {"steps_on_a": 3, "K": 2}),
        ("rolora-cv", {"steps_on_a": 1, "K": 3}),
    ],
)
def test_maps_are_rounds_by_vectors(method, shape):
    row = rolora.predict(**POPULATION, local_steps=shape.get("K", 1)).row(method)
    assert row.limit
    assert [row.rounds.median, row.model_rounds.median] == literal(**shape, **POPULATION)


def test_preconditioning_at_one_is_exact_in_one_round_and_momentum_has_its_recursions_rate():
    row = rolora.predict(**POPULATION | {"kappa": 1.0}).row("rolora-precond")
    assert (row.rounds.median, row.model_rounds.median, row.rate) == (1, 2, 0.0)
    found = rolora.predict(**POPULATION).row("rolora-momentum")
    x, before, sizes = 1.0, 1.0, []
    for _ in range(400):
        x, before = (1.0 + 0.5 - 0.3) * x - 0.5 * before, x
        sizes.append(abs(x))
    slope = np.polyfit(range(200), np.log(np.maximum.accumulate(sizes[::-1])[::-1][:200]), 1)[0]
    assert np.exp(slope) == pytest.approx(found.rate, rel=1e-2)
    assert found.model_rounds is None


def test_rows_that_are_anothers_say_so_and_send_their_own():
    found = rolora.predict(samples=60, eps=0.05)
    ours, heavy, cv = (found.row(name) for name in ("rolora", "b-heavy", "rolora-cv"))
    assert heavy.rounds == cv.rounds == ours.rounds
    assert (ours.up, heavy.up, cv.up) == (51, 53, 51)
    assert (ours.exchanges, heavy.exchanges) == (2, 4)
    assert heavy.sent > ours.sent == cv.sent
    ffa, svd = found.row("ffa"), found.row("fedsvd")
    assert svd.error_floor == ffa.error_floor
    assert svd.down == 51 > ffa.down == 1
    assert found.row("fedrot").model_rounds == found.row("fedavg").model_rounds
    length = -(-2 * ours.rounds.median * 10 // 8)
    assert f"a run of {length} of its rounds" in found.row("ffa-then-rolora").notes[0]


def test_the_last_crossing_is_said_where_lengths_differ():
    setting = {"d": 30, "clients": 5, "samples": 100, "heterogeneity": 0.6, "kappa": 0.1}
    found = rolora.predict(**setting)
    last = found.winners[2]
    assert last.methods == ("algorithm2",)
    targets = found.setting.targets
    ahead = who_wins.prefactor(np.sqrt(29.0), 0.1)
    stated = who_wins.crossing_round(fedavg_flow.decay_constant(targets), ahead, 0.1)
    assert f"from round {stated:.4g} on" in last.because
    excess = who_wins.excesses(targets, np.sqrt(29.0), 0.1, 400)
    behind = np.flatnonzero(excess[0] <= excess[1])
    assert behind[-1] + 2 == pytest.approx(stated, abs=5 * np.log(stated))
    for more in (
        {"participation": 0.4},
        {"privacy_noise": 0.1},
        {"kappa": 2.5},
        {"local_steps": 2},
    ):
        assert len(rolora.predict(**setting | more).winners) == 2


def test_methods_in_the_limit_of_many_samples_do_not_win():
    found = rolora.predict(samples=60, eps=0.01)
    assert (
        found.row("rolora-precond").model_rounds.median < found.row("la-lora").model_rounds.median
    )
    assert "rolora-precond" not in {name for winner in found.winners for name in winner.methods}


def test_many_unlike_clients_follow_their_map():
    """The map of 400 clients at once, with moments, is that of their steps one by one."""
    asked = {
        "d": 30,
        "clients": 400,
        "samples": 10**6,
        "heterogeneity": 0.5,
        "start": 0.9,
        "eps": 1e-3,
    }
    few = rolora.predict(**asked, local_steps=2, kappa=0.3)
    row = few.row("la-lora")
    assert row.limit
    assert "not by the chain" in row.notes[-1]
    steps = 0.3 * np.square(few.setting.targets).sum(axis=1)
    s, rounds = 0.9, 0
    while s > 1e-3:
        c2 = 1.0 - s**2
        kept = np.mean((1.0 - steps * c2) ** 2)
        t = s / np.sqrt(c2) * kept / (1.0 + (1.0 - kept) * s**2 / c2)
        s, rounds = t / np.hypot(1.0, t), rounds + 1
    assert row.rounds.median == rounds
