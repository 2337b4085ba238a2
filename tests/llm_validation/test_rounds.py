"""What a round may change, and what it must not depend on."""

from dataclasses import replace
from operator import attrgetter

import numpy as np
import pytest
import torch

from federated_lora import Factor
from llm_validation.training import loop
from llm_validation.training.all_at_once import AllAtOnce
from llm_validation.training.loop import run
from llm_validation.training.server import Server
from tests.support.llm_bench import one_round, opened, work_of

both_engines = pytest.mark.parametrize("engine", ["one-by-one", "all-at-once"])


def test_all_clients_start_from_one_A_and_a_zero_B(tiny):
    for adapter in opened(tiny()).server.adapters.values():
        assert (adapter.A.shape, adapter.B.shape, adapter.scale) == ((24, 2), (2, 24), 2.0)
        assert torch.count_nonzero(adapter.A) > 0
        assert torch.count_nonzero(adapter.B) == 0


@both_engines
@pytest.mark.parametrize("kind", ["roberta", "llama"])
@pytest.mark.parametrize(
    ("method", "start_round"), [("fedavg", 0), ("ffa", 0), ("rolora", 0), ("rolora", 1)]
)
def test_only_the_named_tensors_change(tiny, kind, method, start_round, engine):
    bench = opened(tiny(kind, method=method, engine=engine, init="false"))
    bench.server = server = replace(bench.server, round=start_round)
    # PEFT's set_adapter switches gradients on; the engine freezes again before every round.
    bench.space.model.set_adapter("default")
    before = {
        name: value.clone()
        for name, value in bench.space.model.state_dict().items()
        if "lora_" not in name and "modules_to_save" not in name
    }
    held = {layer: (a.A.clone(), a.B.clone()) for layer, a in server.adapters.items()}
    returned, after = one_round(bench)
    factors = bench.method.trainable(start_round + 1)
    for layer, old in held.items():
        for factor, value in zip(Factor, old, strict=True):
            # The server's own tensors were not written to.
            assert torch.equal(server.adapters[layer].factor(factor), value)
            frozen = factor not in factors
            assert torch.equal(after.adapters[layer].factor(factor), value) == frozen
            assert (returned.factors[layer].factor(factor) is None) == frozen
    state = bench.space.model.state_dict()
    assert [name for name, value in before.items() if not torch.equal(state[name], value)] == []
    assert not any(parameter.requires_grad for parameter in bench.space.model.parameters())


@both_engines
def test_the_order_of_the_clients_does_not_matter(tiny, engine):
    config = tiny(engine=engine, split="dirichlet", method="fedavg", lora_dropout=0.2)
    bench, order = opened(config), [2, 0, 3, 1]
    work = work_of(bench)
    clients, batches = ([held[i] for i in order] for held in (work.clients, work.batches))
    shuffled = replace(work, clients=tuple(clients), batches=batches)
    first, second = (bench.engine.train(bench.server, one) for one in (work, shuffled))
    rounding = {"rtol": 0, "atol": 0} if engine == "one-by-one" else {"rtol": 1e-5, "atol": 1e-7}
    for layer, factors in first.factors.items():
        for factor in Factor:
            one, two = factors.factor(factor)[order], second.factors[layer].factor(factor)
            torch.testing.assert_close(one, two, **rounding)


def test_evaluation_changes_nothing(tiny):
    often, seldom = (run(tiny(rounds=4, evaluate_every=n, lora_dropout=0.2)) for n in (1, 4))
    for layer, adapter in often.server.adapters.items():
        assert torch.equal(adapter.A, seldom.server.adapters[layer].A)
        assert torch.equal(adapter.B, seldom.server.adapters[layer].B)


def test_phase_and_traffic_follow_the_servers_round_under_partial_participation(tiny):
    changes = {"participation": 0.5, "rounds": 4, "head": "frozen"}
    rows, double = (run(tiny(method=name, **changes)).rows for name in ("rolora", "fedavg"))
    assert [row["trained"] for row in rows] == ["", "B", "A", "B", "A"]
    assert [row["participants"] for row in rows] == [0, 2, 2, 2, 2]
    assert 2 * rows[-1]["numbers_up"] == double[-1]["numbers_up"] > 0
    assert rows[-1]["numbers_down"] > rows[-1]["numbers_up"]  # what a client missed comes on top


@pytest.mark.parametrize("method", ["rolora", "fedavg", "ffa"])
def test_numbers_sent_equal_a_literal_account_of_every_copy(tiny, monkeypatch, method):
    """Eight clients, four a round: each is sent what it has not, before its round and after it."""
    seen = []
    plan = loop.plan
    monkeypatch.setattr(loop, "plan", lambda *given: seen.append(plan(*given)) or seen[-1])
    rows = run(
        tiny("llama", clients=8, rounds=8, participation=0.5, local_steps=1, method=method)
    ).rows
    size = 4 * 24 * 2  # one factor of query and value, in two layers
    newest, held = dict.fromkeys("AB", 0), [dict.fromkeys("AB", 0) for _ in range(8)]
    up = down = 0
    for work, row in zip(seen, rows[1:], strict=True):
        for moved in ({}, dict.fromkeys(map(str, work.factors), work.round)):
            newest |= moved
            up += size * len(moved) * len(work.clients)
            for client in work.clients:
                down += size * sum(newest[f] != held[client][f] for f in "AB")
                held[client] = dict(newest)
        assert (row["numbers_up"], row["numbers_down"]) == (up, down)
    assert down > up


@both_engines
@pytest.mark.parametrize("method", ["rolora", "fedavg", "ffa", "la-lora"])
def test_server_momentum_is_the_literal_recursion(tiny, method, engine):
    """`V ← β V + (mean − server)`, `server ← server + V`, tensor by tensor, each in its own rounds."""
    config = tiny(method=method, engine=engine, dtype="float64", rounds=4, init="false")
    plain, bench = opened(config), opened(config.changed(server_momentum=0.6))
    velocity = {}
    for _ in range(4):
        # What a server without momentum makes of what this one's clients send.
        plain.server = replace(bench.server, velocity={})
        mean, before = one_round(plain)[1], bench.server
        bench.server = one_round(bench)[1]
        for part in (Server.named, attrgetter("head")):
            for name, held in part(before).items():
                value, expected = part(mean)[name], held
                if not torch.equal(value, held):
                    velocity[name] = 0.6 * velocity.get(name, 0.0) + value - held
                    expected = held + velocity[name]
                torch.testing.assert_close(
                    part(bench.server)[name], expected, rtol=1e-10, atol=1e-12
                )
    assert any(name.endswith("lora_A") for name in velocity) == (method != "ffa")


@pytest.mark.parametrize(
    ("changes", "rates"),
    [
        ({}, [1.0, 1.0, 1.0, 1.0]),
        ({"schedule": "linear"}, [1.0, 0.75, 0.5, 0.25]),
        ({"schedule": "linear", "learning_rate_end": 0.2}, [1.0, 0.8, 0.6, 0.4]),
        ({"schedule": "cosine"}, [1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
        ({"schedule": "cosine", "warmup_rounds": 2}, [1 / 3, 2 / 3, 1.0, 0.5]),
        ({"warmup_rounds": 3}, [0.25, 0.5, 0.75, 1.0]),
    ],
    ids=str,
)
def test_the_step_size_over_the_rounds(tiny, changes, rates):
    config = tiny(rounds=4, learning_rate=1.0, **changes)
    assert [config.rate_in(t) for t in (1, 2, 3, 4)] == pytest.approx(rates, rel=1e-15)
    bench = opened(config.changed(learning_rate=1e-3, learning_rate_end=0.0))
    bench.server = replace(bench.server, round=3)
    assert work_of(bench).learning_rate == bench.config.rate_in(4)


@pytest.mark.parametrize("weighting", ["examples", "uniform"])
def test_unequal_clients_weigh_by_their_examples(tiny, weighting):
    changes = {"split": "dirichlet", "dirichlet_alpha": 0.3, "weighting": weighting}
    bench = opened(tiny(method="fedavg", **changes))
    sizes = np.array([part.size for part in bench.split])
    assert len(set(sizes)) > 1
    returned, after = one_round(bench)
    share = torch.tensor(sizes / sizes.sum() if weighting == "examples" else [0.25] * 4)
    means = [(returned.factors[layer].A, a.A) for layer, a in after.adapters.items()]
    for stack, mean in means + [
        (returned.heads[name], value) for name, value in after.head.items()
    ]:
        expected = torch.tensordot(share.to(torch.float64), stack.double(), 1)
        torch.testing.assert_close(mean.double(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("head", ["average", "local", "frozen"])
def test_head_policies(tiny, head):
    bench, name = opened(tiny(head=head)), "classifier.modules_to_save.default.dense.weight"
    returned, after = one_round(bench)
    assert torch.equal(after.head[name], bench.server.head[name]) == (head != "average")
    assert bool(returned.heads) == (head != "frozen")
    assert set(after.own) == ({0, 1, 2, 3} if head == "local" else set())
    if head == "local":
        assert torch.equal(after.own[3][name], returned.heads[name][3])
        assert not torch.equal(after.own[0][name], after.own[1][name])


@both_engines
def test_kept_optimiser_state_waits_while_its_factor_is_frozen(tiny, engine):
    result = run(tiny(method="rolora", optimiser_state="keep", rounds=4, engine=engine))
    state = result.server.states[0].items()
    steps = {name.rsplit("_", 1)[-1]: float(s["step"]) for name, s in state if "lora" in name}
    assert steps == {"A": 4.0, "B": 4.0}


def test_bfloat16_base_keeps_adapters_and_head_in_float32(tiny):
    runs = [run(tiny(dtype="bfloat16", engine=name)) for name in ("one-by-one", "all-at-once")]
    for result in runs:
        assert next(result.space.base.roberta.parameters()).dtype == torch.bfloat16
        adapters = result.server.adapters.values()
        kept = [*result.server.head.values(), *(x for a in adapters for x in (a.A, a.B))]
        assert {value.dtype for value in kept} == {torch.float32}
    for layer, adapter in runs[0].server.adapters.items():
        # Rounding of the base to 8 bits reaches the updates; AdamW normalises their size.
        gap = adapter.A - runs[1].server.adapters[layer].A
        assert float(gap.norm() / adapter.A.norm()) < 0.05


def test_products_in_the_bases_precision_leave_the_values_in_their_own(tiny):
    engines = ("one-by-one", "all-at-once")
    own, *runs = [
        run(tiny(dtype="bfloat16", engine=engine, products=products, lora_dropout=0.1, rounds=2))
        for engine, products in (("all-at-once", "own"), *((e, "base") for e in engines))
    ]
    for layer in runs[0].server.adapters:
        for factor in Factor:
            one, two, exact = (r.server.adapters[layer].factor(factor) for r in (*runs, own))
            assert one.dtype == two.dtype == torch.float32
            assert not torch.equal(two, exact)  # the products were rounded
            assert float((one - two).norm() / exact.norm()) < 0.05
    # Where the base has the adapters' precision there is nothing to choose.
    same = [run(tiny(products=products, rounds=1)).server for products in ("own", "base")]
    for layer, adapter in same[0].adapters.items():
        assert torch.equal(adapter.B, same[1].adapters[layer].B)


def test_a_pass_that_does_not_fit_is_done_in_halves(tiny, monkeypatch):
    config = tiny(clients=5, lora_dropout=0.2, dtype="float64")
    bench = opened(config)
    whole = bench.engine.train(bench.server, work_of(bench))
    given, sizes = AllAtOnce._given, []

    def small(engine, entries, step):
        sizes.append(len(entries))
        if len(entries) > 2:
            raise torch.OutOfMemoryError("full")
        return given(engine, entries, step)

    monkeypatch.setattr(AllAtOnce, "_given", small)
    halves = bench.engine.train(bench.server, work_of(bench))
    assert (sizes, bench.engine.at_once) == ([5, 3, 2, 2, 2, 2, 1, 1], 2)
    assert halves.tokens == whole.tokens
    for name, stack in whole.named().items():
        torch.testing.assert_close(halves.named()[name], stack, rtol=1e-9, atol=1e-12)

    def full(*_):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(AllAtOnce, "_given", full)
    with pytest.raises(torch.OutOfMemoryError):
        bench.engine.train(bench.server, work_of(bench))


@both_engines
def test_what_clients_send_is_bounded(tiny, engine):
    """dp_clip; without it, or within it, nothing changes (`tests/federation/test_privacy.py`)."""
    C = 1e-3
    bounded, plain, wide = (
        run(tiny(engine=engine, head="frozen", method="fedavg", dp_clip=clip)).rows[1:]
        for clip in (C, None, 1e9)
    )
    moved = [row["factor_change"] for row in bounded]
    assert max(moved) < C * (1 + 1e-5) < min(row["factor_change"] for row in plain)
    assert min(moved) > 0.1 * C
    for one, other in zip(plain, wide, strict=True):
        assert one["factor_change"] == other["factor_change"]
        assert one["loss"] == other["loss"]


@both_engines
@pytest.mark.parametrize("method", ["flora", "flexlora"])
def test_a_client_never_leaves_its_rank(tiny, method, engine):
    """`tests/federation/test_ranks.py` has what is sent."""
    bench = opened(tiny(engine=engine, method=method, rank=3, ranks=(1, 3, 2, 2)))
    bench.server = replace(bench.server, ranks=bench.config.ranks)
    returned, after = one_round(bench)
    for stack in returned.factors.values():
        for k, rank in enumerate(bench.config.ranks):
            assert not stack.A[k, :, rank:].any()
            assert not stack.B[k, rank:].any()
            assert stack.A[k, :, :rank].any(dim=0).all()
    counts = [adapter.shape for adapter in after.adapters.values()]
    head = sum(value.numel() for value in after.head.values())
    assert after.sent.up[0] == 8 * sum(s.d_in + s.d_out for s in counts) + 4 * head
