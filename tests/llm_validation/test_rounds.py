"""What a round may change, and what it must not depend on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from federated_lora import Factor, method_named
from llm_validation.base.encoding import encode
from llm_validation.base.models import build
from llm_validation.tasks import registry
from llm_validation.training.all_at_once import AllAtOnce
from llm_validation.training.loop import plan, run, split_clients, step
from llm_validation.training.one_by_one import OneByOne
from llm_validation.training.server import Work, read_server


def lab(config):
    """Model, engine, split and starting state of a configuration."""
    data = registry.load(config)
    space = build(config, causal=data.causal, names=getattr(data.train, "names", ()))
    encoded = encode(data.train, space.tokenizer, config.max_length, segments=space.segments)
    engine = (
        OneByOne(config, space, encoded)
        if config.engine == "one-by-one"
        else AllAtOnce(config, space, encoded, config.clients)
    )
    return space, encoded, engine, split_clients(config, data.train.labels), read_server(space)


def one_round(config, server=None):
    space, encoded, engine, split, start = lab(config)
    server = server or start
    method = method_named(config.method)
    work = plan(config, method, server, split, encoded.lengths)
    returned = engine.train(server, work)
    after, _ = step(config, method, server, work, returned, [part.size for part in split])
    return space, server, after, work, returned


def test_all_clients_start_from_one_A_and_a_zero_B(tiny):
    server = lab(tiny())[4]
    for adapter in server.adapters.values():
        assert adapter.A.shape == (24, 2)
        assert adapter.B.shape == (2, 24)
        assert torch.count_nonzero(adapter.A) > 0
        assert torch.count_nonzero(adapter.B) == 0
        assert adapter.scale == 2.0


@pytest.mark.parametrize("engine", ["one-by-one", "all-at-once"])
@pytest.mark.parametrize("kind", ["roberta", "llama"])
@pytest.mark.parametrize(
    ("method", "start_round"), [("fedavg", 0), ("ffa", 0), ("rolora", 0), ("rolora", 1)]
)
def test_only_the_named_tensors_change(tiny, kind, method, start_round, engine):
    config = tiny(kind, method=method, engine=engine, init="false")
    space, encoded, trainer, split, start = lab(config)
    server = replace(start, round=start_round)
    rule = method_named(method)
    before = {
        name: value.clone()
        for name, value in space.model.state_dict().items()
        if "lora_" not in name and "modules_to_save" not in name
    }
    held = {k: (a.A.clone(), a.B.clone()) for k, a in server.adapters.items()}
    work = plan(config, rule, server, split, encoded.lengths)
    returned = trainer.train(server, work)
    after, _ = step(config, rule, server, work, returned, [part.size for part in split])
    factors = rule.trainable(start_round + 1)
    for layer, adapter in after.adapters.items():
        old_A, old_B = held[layer]
        # The server's own tensors were not written to.
        assert torch.equal(server.adapters[layer].A, old_A)
        assert torch.equal(server.adapters[layer].B, old_B)
        assert torch.equal(adapter.A, old_A) == (Factor.A not in factors)
        assert torch.equal(adapter.B, old_B) == (Factor.B not in factors)
        assert (returned.factors[layer].A is None) == (Factor.A not in factors)
        assert (returned.factors[layer].B is None) == (Factor.B not in factors)
    for name, value in before.items():
        assert torch.equal(space.model.state_dict()[name], value), name
    assert not any(parameter.requires_grad for parameter in space.model.parameters())


@pytest.mark.parametrize("engine", ["one-by-one", "all-at-once"])
def test_the_order_of_the_clients_does_not_matter(tiny, engine):
    config = tiny(engine=engine, split="dirichlet", method="fedavg", lora_dropout=0.2)
    _, encoded, trainer, split, server = lab(config)
    work = plan(config, method_named("fedavg"), server, split, encoded.lengths)
    order = [2, 0, 3, 1]
    shuffled = Work(
        work.round,
        work.factors,
        tuple(work.clients[i] for i in order),
        [work.batches[i] for i in order],
        work.learning_rate,
    )
    first, second = trainer.train(server, work), trainer.train(server, shuffled)
    for layer, factors in first.factors.items():
        for factor in Factor:
            one, two = factors.factor(factor)[order], second.factors[layer].factor(factor)
            if engine == "one-by-one":
                assert torch.equal(one, two)
            else:
                torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)


def test_a_client_alone_gets_what_it_gets_in_company(tiny):
    config = tiny(engine="one-by-one", method="fedavg")
    _, encoded, trainer, split, server = lab(config)
    work = plan(config, method_named("fedavg"), server, split, encoded.lengths)
    together = trainer.train(server, work)
    alone = trainer.train(
        server, Work(work.round, work.factors, (2,), [work.batches[2]], work.learning_rate)
    )
    for layer, factors in together.factors.items():
        assert torch.equal(factors.A[2], alone.factors[layer].A[0])
        assert torch.equal(factors.B[2], alone.factors[layer].B[0])


def test_the_first_round_of_rolora_moves_the_product(tiny):
    _, server, after, _, _ = one_round(tiny(method="rolora"))
    for layer, adapter in after.adapters.items():
        assert torch.count_nonzero(server.adapters[layer].delta()) == 0
        assert float(adapter.delta().norm()) > 0.0


@pytest.mark.parametrize("method", ["fedavg", "ffa", "rolora"])
def test_evaluation_changes_nothing(tiny, method):
    often = run(tiny(method=method, rounds=4, evaluate_every=1, head="average", lora_dropout=0.2))
    seldom = run(tiny(method=method, rounds=4, evaluate_every=4, head="average", lora_dropout=0.2))
    for layer, adapter in often.server.adapters.items():
        assert torch.equal(adapter.A, seldom.server.adapters[layer].A)
        assert torch.equal(adapter.B, seldom.server.adapters[layer].B)
    assert [row["trained"] for row in often.rows] == [row["trained"] for row in seldom.rows]


def test_the_phase_follows_the_servers_round_under_partial_participation(tiny):
    rows = run(tiny(method="rolora", participation=0.5, rounds=5)).rows
    assert [row["trained"] for row in rows[1:]] == ["B", "A", "B", "A", "B"]
    assert all(row["participants"] == 2 for row in rows[1:])


@pytest.mark.parametrize("weighting", ["examples", "uniform"])
def test_unequal_clients_weigh_by_their_examples(tiny, weighting):
    config = tiny(split="dirichlet", method="fedavg", weighting=weighting, dirichlet_alpha=0.3)
    _, encoded, trainer, split, server = lab(config)
    sizes = np.array([part.size for part in split])
    assert len(set(sizes)) > 1
    rule = method_named("fedavg")
    work = plan(config, rule, server, split, encoded.lengths)
    returned = trainer.train(server, work)
    after, _ = step(config, rule, server, work, returned, list(sizes))
    share = sizes / sizes.sum() if weighting == "examples" else np.full(4, 0.25)
    for layer, adapter in after.adapters.items():
        stack = returned.factors[layer].A.double()
        expected = sum(float(p) * stack[k] for k, p in enumerate(share))
        torch.testing.assert_close(adapter.A.double(), expected, rtol=1e-5, atol=1e-7)
    for name, value in after.head.items():
        stack = returned.heads[name].double()
        expected = sum(float(p) * stack[k] for k, p in enumerate(share))
        torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-7)


def test_head_policies(tiny):
    kept = {}
    for head in ("average", "local", "frozen"):
        _, server, after, _, returned = one_round(tiny(head=head))
        name = "classifier.modules_to_save.default.dense.weight"
        kept[head] = after
        assert torch.equal(after.head[name], server.head[name]) == (head != "average")
        assert bool(returned.heads) == (head != "frozen")
    local = kept["local"].own
    assert set(local) == {0, 1, 2, 3}
    assert not torch.equal(local[0][name], local[1][name])


def test_exact_rules_have_no_aggregation_error_and_fedavg_has(tiny):
    changes = dict(split="shards", rounds=3, local_steps=4)
    error = {
        method: [r["aggregation_error"] for r in run(tiny(method=method, **changes)).rows[1:]]
        for method in ("fedavg", "ffa", "rolora")
    }
    assert max(error["ffa"] + error["rolora"]) < 1e-6
    assert min(error["fedavg"][1:]) > 1e-5


def test_traffic_of_rolora_is_half_of_fedavgs_up_to_the_head(tiny):
    sent = {
        method: run(tiny(method=method, rounds=2, head="frozen")).rows[-1]["numbers_up"]
        for method in ("fedavg", "rolora")
    }
    assert 2 * sent["rolora"] == sent["fedavg"]


def test_a_client_that_diverges_is_named(tiny):
    with pytest.raises(
        ValueError, match=r"round 1: client \d returned NaN or infinity in tensor .*lora_B"
    ):
        run(tiny(method="rolora", learning_rate=1e38, rounds=3, optimiser="sgd"))


def test_kept_optimiser_state_waits_while_its_factor_is_frozen(tiny):
    for engine in ("one-by-one", "all-at-once"):
        result = run(tiny(method="rolora", optimiser_state="keep", rounds=4, engine=engine))
        state = result.server.states[0]
        steps = {
            name.rsplit("_", 1)[-1]: float(s["step"]) for name, s in state.items() if "lora" in name
        }
        assert steps == {"A": 4.0, "B": 4.0}


def test_set_adapter_between_rounds_does_not_unfreeze(tiny):
    """PEFT's set_adapter switches gradients on; the engine freezes again before every round."""
    config = tiny(method="ffa", engine="one-by-one", init="false")
    space, encoded, trainer, split, server = lab(config)
    space.model.set_adapter("default")
    work = plan(config, method_named("ffa"), server, split, encoded.lengths)
    trainer.train(server, work)
    for layer, module in space.layers.items():
        assert torch.equal(module.lora_A["default"].weight.T, server.adapters[layer].A)


def test_bfloat16_base_keeps_adapters_and_head_in_float32(tiny):
    runs = {}
    for engine in ("one-by-one", "all-at-once"):
        result = run(tiny(dtype="bfloat16", engine=engine))
        runs[engine] = result
        assert next(result.space.base.roberta.parameters()).dtype == torch.bfloat16
        assert all(value.dtype == torch.float32 for value in result.server.head.values())
        assert all(a.A.dtype == a.B.dtype == torch.float32 for a in result.server.adapters.values())
    for layer, adapter in runs["one-by-one"].server.adapters.items():
        other = runs["all-at-once"].server.adapters[layer]
        # Rounding of the base to 8 bits reaches the updates; AdamW normalises their size.
        assert float((adapter.A - other.A).norm() / other.A.norm()) < 0.05
