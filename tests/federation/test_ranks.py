"""Clients of different ranks: the rules, what clients hold, what is sent, and what is refused."""

import numpy as np
import pytest

from federated_lora import Adapter, ClientFactors, aggregate, method_named
from federated_lora.averaging import Average
from federated_lora.testing import Setting, check_method, from_function
from linear_model import LocalSteps, Problem, simulate
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.training import experiment
from nonlinear_model.training.federation import Federation
from tests.support.rolora_helpers import refused
from tests.support.server_by_hand import flexlora

RANKS = (1, 3, 2)
SMALL = {
    "hidden": 20,
    "rank": 3,
    "rounds": 4,
    "probe": 0,
    "local_steps": 3,
    "clients": 3,
    "learning_rate": 0.3,
}


def pairs(seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal((7, r)), rng.standard_normal((r, 5))) for r in RANKS]


def test_the_rules_take_pairs_of_any_rank():
    sent = pairs()
    clients, server = ClientFactors.padded(sent, 3), Adapter(np.eye(7, 3), np.zeros((3, 5)), 0.5)
    p = np.array([1, 2, 5]) / 8
    exact = 0.5 * sum(share * A @ B for share, (A, B) in zip(p, sent, strict=True))
    made = aggregate(method_named("flora"), server, clients, [1, 2, 5], 1)
    np.testing.assert_allclose(made.merged.delta(), exact, atol=1e-13)
    assert made.merged.shape.rank == sum(RANKS)  # nothing of the zeros is sent
    flex = aggregate(method_named("flexlora"), server, clients, [1, 2, 5], 1)
    U, sigma, Vt = np.linalg.svd(exact)
    np.testing.assert_allclose(flex.adapter.delta(), (U[:, :3] * sigma[:3]) @ Vt[:3], atol=1e-13)
    assert float(made.aggregation_error) < 1e-13
    assert float(flex.aggregation_error) == pytest.approx(np.linalg.norm(sigma[3:]))
    # What a client of rank q is sent of it is the best of rank q.
    np.testing.assert_allclose(
        flex.adapter.scale * flex.adapter.A[:, :2] @ flex.adapter.B[:2],
        (U[:, :2] * sigma[:2]) @ Vt[:2],
        atol=1e-13,
    )


def by_hand(name, start, targets, eta, K, rounds):
    """Mean loss after every round, of clients that hold matrices of their own rank; population limit."""
    A, B, W, losses = start, np.zeros((3, targets.shape[2])), 0.0, []
    for _ in range(rounds):
        sent = []
        for rank, target in zip(RANKS, targets, strict=True):
            a, b = A[:, :rank], B[:rank]
            for _ in range(K):
                gap = W + a @ b - target
                a, b = a - eta * 2 * gap @ b.T, b - eta * 2 * a.T @ gap
            sent.append((a, b))
        mean = sum(a @ b for a, b in sent) / 3
        if name == "flora":
            W, B = W + mean, 0.0 * B
        else:
            A, B, _ = flexlora(None, sent, (A, B), mean)
        losses.append(np.mean([np.sum((W + A @ B - target) ** 2) for target in targets]))
    return losses


@pytest.mark.parametrize("name", ["flora", "flexlora"])
def test_the_linear_model_is_a_loop_over_matrices_of_their_own_rank(name):
    rng = np.random.default_rng(3)
    B_star = rng.standard_normal((3, 3, 4))
    problem = Problem(d=8, rank=3, clients=3, B_star=B_star)
    start = np.linalg.qr(rng.standard_normal((1, 8, 3))).Q
    method = LocalSteps(name, eta=0.02, local_steps=4, ranks=RANKS)
    run = simulate(problem, method, simulator="population", rounds=6, start=start)
    expected = by_hand(name, start[0], problem.A_star @ B_star, 0.02, 4, 6)
    np.testing.assert_allclose(run.loss[0, 1:], expected, rtol=1e-9)
    whole = simulate(
        problem,
        LocalSteps(name, eta=0.02, local_steps=4),
        simulator="population",
        rounds=6,
        start=start,
    )
    assert np.abs(whole.loss - run.loss).max() > 1e-3


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["flora", "flexlora"])
def test_a_network_client_never_leaves_its_rank(name, optimiser):
    config = Configuration(
        method=name, ranks=RANKS, optimiser=optimiser, optimiser_state="keep", dtype="float64",
        dp_clip=5.0, dp_noise=1e-3, repeats=2, participation=0.67, **SMALL,
    )  # fmt: skip
    seen, losses = [], []
    for engine in ("all-at-once", "one-by-one"):
        federation = Federation(config.changed(engine=engine), load())
        combined = federation._combined

        def watched(stacks, weights, t, people, combined=combined):
            for r, row in enumerate(people):
                for i, k in enumerate(row):
                    A, B, rank = stacks["A"][r, i], stacks["B"][r, i], RANKS[k]
                    assert not A[:, rank:].any()
                    assert not B[rank:].any()
                    seen.append(bool(A[:, :rank].any()))
            return combined(stacks, weights, t, people)

        federation._combined = watched
        for _ in range(3):
            federation.step()
        losses.append([row["test_loss"] for row in federation.rows])
    np.testing.assert_allclose(*losses, rtol=1e-9)
    assert len(seen) == 2 * 3 * 2 * 2
    assert all(seen)


def test_what_is_sent_goes_by_rank():
    d, h, r = 64, 20, 3
    # The bits of a run whose clients all have the server's rank are those of a run without ranks.
    plain = Configuration(method="flexlora", **SMALL)
    rows = [experiment.run(c, load()).rows for c in (plain, plain.changed(ranks=(r,) * 3))]
    assert rows[0] == rows[1]
    for name, down in (
        ("flexlora", sum(RANKS) * (d + h)),
        ("flora", 3 * min(sum(RANKS) * (d + h), d * h)),
    ):
        row = experiment.run(plain.changed(method=name, ranks=RANKS, rounds=1), load()).rows[-1]
        assert row["numbers_up"] == sum(RANKS) * (d + h)
        assert row["numbers_down"] == down
    # With a head, which is no factor; who sat out a round is sent its part of what it missed.
    config = plain.changed(ranks=RANKS, head="average", participation=0.34, rounds=6)
    federation = Federation(config, load())
    up = down = 0
    held = [0, 0, 0]
    for t in range(1, 7):
        before = federation.record.sent.held.copy()
        federation.step()
        (k,) = np.flatnonzero(federation.record.sent.held[0] != before[0])
        own = RANKS[k] * (d + h) + h * 10
        up, down = up + own, down + own * (1 + (held[k] < t - 1))
        held[k] = t
    assert (int(federation.record.sent.up[0]), int(federation.record.sent.down[0])) == (up, down)


def test_the_suite_asks_for_ranks():
    def stacked(state_dicts, weights, scaling):
        p = np.asarray(weights) / np.sum(weights)
        made = sum(
            float(share) * scaling * (d["layer.lora_B.weight"] @ d["layer.lora_A.weight"])
            for share, d in zip(p, state_dicts, strict=True)
        )
        zero = {k: 0.0 * v for k, v in state_dicts[-1].items() if "lora" in k}
        rank = max(d["layer.lora_A.weight"].shape[0] for d in state_dicts)
        return {
            "layer.base_layer.weight": made,
            **{k: v for k, v in zero.items() if v.shape[0] == rank},
        }

    def padded(state_dicts, weights, scaling):
        """One rank is taken for all: the first client's."""
        r = state_dicts[0]["layer.lora_A.weight"].shape[0]
        A, B = "layer.lora_A.weight", "layer.lora_B.weight"
        cut = [{**d, A: d[A][:r], B: d[B][:, :r]} for d in state_dicts]
        return stacked(cut, weights, scaling)

    setting = [Setting(weights="unequal weights", shape="tall")]
    for function, fails in ((stacked, False), (padded, True)):
        subject = from_function(function, average=Average.EXACT, mixed_ranks=True)
        assert ("mixed-ranks" in check_method(subject, setting).failed) == fails
    rows = {row.case: row for row in check_method(method_named("fedavg"), setting).rows}
    assert rows["mixed-ranks"].detail == "it needs clients of one rank"


def test_what_does_not_fit_is_refused(capsys):
    clients = ClientFactors.padded(pairs(), 3)
    server = Adapter(np.eye(7, 3), np.zeros((3, 5)))
    with pytest.raises(
        ValueError, match=r"fedavg needs clients of one rank, the server's 3, got ranks 1, 3, 2"
    ):
        aggregate(method_named("fedavg"), server, clients, None, 1)
    wide = ClientFactors(clients.A + 1.0, clients.B, ranks=RANKS)
    with pytest.raises(
        ValueError, match="client 0 has rank 1, but sent more than that in factor A"
    ):
        aggregate(method_named("flora"), server, wide, None, 1)
    with pytest.raises(ValueError, match="of ranks up to 2, got ranks"):
        ClientFactors.padded(pairs(), 2)
    with pytest.raises(ValueError, match="one for each of the 3 clients, got 2"):
        ClientFactors(clients.A, clients.B, ranks=(1, 2))
    words = ("--rank", "3", "--clients", "3", "--ranks")
    for laboratory, more in (
        ("linear", ["--kappa", "0.5"]),
        ("nonlinear", []),
        ("llm", ["--model", "m", "--task", "sst2"]),
    ):
        said = refused(capsys, laboratory, "run", *more, "--method", "fedavg", *words, "1,3,2")
        assert said.endswith(
            "method fedavg needs clients of one rank, the server's 3, got ranks 1, 3, 2"
        )
        said = refused(capsys, laboratory, "run", *more, "--method", "flora", *words, "1,4,2")
        assert said.endswith("one for each of the 3 clients, between 1 and rank = 3, got 1,4,2")
