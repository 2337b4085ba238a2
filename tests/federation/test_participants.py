"""Who takes part, and what was sent to those who sat out."""

import numpy as np
import pytest
import torch

from federated_lora import Adapter, ClientFactors, Shape, Traffic, dense, method_named
from federation.participants import how_many, participants, weights_of
from federation.refusals import refuse_old_names
from federation.round import Shared, Trained, combined
from federation.sent import Exchange, Sent
from tests.support.rules import FedEx
from verification.streams import generator

LAYERS = {"q": Shape(6, 2, 4), "v": Shape(3, 2, 5)}


def drawn(round, clients=5, share=0.5, seed=3):
    return participants(generator(seed, "test", "participants", round), clients, share)


def test_participants_are_drawn_by_the_round_alone():
    assert [how_many(20, share) for share in (0.25, 0.01, 1.0, 0.125)] == [5, 1, 20, 3]
    assert np.array_equal(drawn(1), drawn(1))
    assert np.array_equal(drawn(1), np.unique(drawn(1)))
    assert len({tuple(drawn(t)) for t in range(1, 9)}) > 3
    assert np.array_equal(drawn(1, 3, 1.0), [0, 1, 2])
    for share in (0.0, 1.01, float("nan")):
        with pytest.raises(ValueError, match="participation must be above 0 and at most 1"):
            how_many(3, share)


def test_weights_follow_the_policy():
    assert weights_of("examples", np.array([1, 3])).tolist() == [0.25, 0.75]
    assert weights_of("uniform", np.array([1, 3])).tolist() == [0.5, 0.5]


def test_old_names_are_answered_by_the_new_ones():
    for old, new in (
        ({"engine": "batched"}, "engine = all-at-once"),
        ({"engine": "sequential"}, "engine = one-by-one"),
        ({"weighting": "size"}, "weighting = examples"),
        ({"alpha": 0.5}, "dirichlet_alpha"),
    ):
        with pytest.raises(ValueError, match=f"is now called {new}"):
            refuse_old_names(old)
    refuse_old_names({"engine": "one-by-one", "head": "local", "method": "fedavg"})


class Copies:
    """The literal account: every client's copy of every array, told apart by version."""

    def __init__(self, sizes, dense, clients):
        self.sizes, self.dense = sizes, dense
        self.server = dict.fromkeys(sizes, 0)
        self.clients = [dict(self.server) for _ in range(clients)]
        self.merges = []  # the cost of every merged change so far
        self.seen = [0] * clients
        self.down = 0

    def round(self, t, people, changed, merged):
        for k in people:  # what it missed
            for name, size in self.sizes.items():
                if self.clients[k][name] != self.server[name]:
                    self.down += size
            self.down += min(sum(self.merges[self.seen[k] :]), self.dense)
        for name in changed:
            self.server[name] = t
        self.merges.append(merged)
        for k in people:  # the round's result
            self.down += sum(self.sizes[name] for name in changed) + merged
            self.clients[k] = dict(self.server)
            self.seen[k] = len(self.merges)


@pytest.mark.parametrize("merged", [0, 7])
@pytest.mark.parametrize("share", [0.2, 0.6, 1.0])
@pytest.mark.parametrize("method", ["fedavg", "ffa", "rolora"])
def test_numbers_down_equal_a_literal_account_of_every_copy(method, share, merged):
    rule, clients, dense = method_named(method), 5, 30
    sizes = {f"{layer}.{f}": s.numbers(f) for layer, s in LAYERS.items() for f in "AB"}
    sizes["head"] = 11
    literal = [Copies(sizes, dense, clients) for _ in range(2)]
    sent, rounds = Sent.nothing(sizes, clients, dense=dense, replicas=2), 12
    for t in range(1, rounds + 1):
        people = np.stack([drawn(t, clients, share, seed) for seed in (0, 1)])
        changed = [f"{layer}.{f}" for layer in LAYERS for f in rule.trainable(t)] + ["head"]
        round_ = rule.traffic(LAYERS.values(), t) + Traffic(11, 11)
        sent = sent.after(t, people, Exchange(round_, frozenset(changed), merged))
        for copies, own in zip(literal, people, strict=True):
            copies.round(t, own, changed, merged)
        assert sent.down.tolist() == [copies.down for copies in literal]
        assert sent.last_change("q.B") == max(
            u for u in range(1, t + 1) if "B" in rule.trainable(u)
        )
    plain = sum(rule.traffic(LAYERS.values(), t).up + 11 for t in range(1, rounds + 1))
    assert sent.up.tolist() == [how_many(clients, share) * plain] * 2
    assert (sent.down > sent.up).all() == (share < 1.0 or merged > 0)


class Counting(FedEx):
    """Counts what it merges itself: here 5 numbers, whatever the round."""

    def traffic(self, shapes, round):
        return super().traffic(shapes, round) + Traffic(0, 5)


@pytest.mark.parametrize("change", [lambda merged: merged, dense], ids=["low rank", "dense"])
@pytest.mark.parametrize("clients", [1, 5])
def test_a_merged_change_is_counted_once_by_whoever_counts_it(clients, change):
    rng = np.random.default_rng(1)
    draw = lambda *shape: torch.from_numpy(rng.standard_normal(shape))  # noqa: E731
    shared = Shared({"q": Adapter(draw(9, 1), draw(1, 8))})
    factors = {"q": ClientFactors(draw(clients, 9, 1), draw(clients, 1, 8))}
    down = {}
    for rule in (FedEx(change), Counting(change), method_named("fedavg")):
        made = combined(rule, shared, Trained(factors), None, 1, head="frozen")
        one = made.exchange
        down[type(rule)] = one.traffic.down + one.merged
        counted = made.counted(shared.nothing_sent(clients), 1, np.array([[0]]))
        assert counted.down.tolist() == [down[type(rule)]]
        assert one.merged == down[type(rule)] - one.traffic.up == counted.merged[0, 0]
    # Of rank N + 1: 2 · 17 numbers at one client; at five the 72 of the dense matrix are fewer.
    carried = 72 if clients > 1 or change is dense else 34
    assert [*down.values()] == [17 + carried, 17 + 5, 17]
