"""What others add is one file, written into an empty folder: found there, run, and right."""

import re
import shutil
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file

from linear_model import Problem, method_named, simulate
from llm_validation.training.export import export
from llm_validation.training.loop import run as train
from llm_validation.training.server import write_server
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.digits import load
from nonlinear_model.training import experiment
from rolora.storage.run_folder import read
from tests.llm_validation.conftest import data_dir, gpt2, llama, roberta, tiny  # noqa: F401
from tests.support import linear_loop, rolora_helpers
from tests.support.language_loop import by_hand, by_laboratory
from tests.support.linear_loop import ETA, ROUNDS, SEED, TRIALS, K
from tests.support.network_loop import Network
from tests.support.pages import block
from tests.support.pages import folder as folder

METHODS = {
    "two-to-one": block("add-a-method.md"),
    "fedex": block("add-a-method.md", 1),
    "fedsa": """
from federated_lora import BOTH, ONLY_B, Averaging, method

@method("own-b", label="FedSA-LoRA", source="Guo et al., arXiv 2410.01463")
class FedSA(Averaging):
    personal = ONLY_B

    def trainable(self, round):
        return BOTH
""",
}
"""A scheduled, a merging and a personalised method."""


def place_of(name, folder):
    """Where a method is, once its file is written."""
    (folder / "mine.py").write_text(METHODS[name], "utf-8")
    return "mine:" + re.search(r"class (\w+)", METHODS[name])[1]


class Linear:
    """The linear model, on the simulator that draws every sample."""

    def __init__(self, **regime):
        rng = np.random.default_rng(8)
        rank = regime.get("rank", 1)
        B_star = rng.standard_normal((4, rank, 3))
        self.problem = Problem(**{"d": 6, "clients": 4, "samples": 9, "B_star": B_star, **regime})
        self.start = np.linalg.qr(rng.standard_normal((TRIALS, 6, rank))).Q

    def run(self, place):
        """Loss and aggregation error after every round, (rounds, trials), by the laboratory."""
        method = method_named(place, ROUNDS, eta=ETA, local_steps=K)
        runs = [
            simulate(self.problem, method, simulator=simulator, rounds=ROUNDS, trials=TRIALS,
                     seed=SEED, start=self.start)
            for simulator in ("data", "gram", "population")
        ]  # fmt: skip
        assert all(np.isfinite(one.loss).all() for one in runs)
        return runs[0].loss[:, 1:].T, runs[0].aggregation_error[:, 1:].T

    def literal(self, name):
        """The same by a plain loop over clients, each with its own dense W + A B."""
        losses, errors = [], []
        for A, B, W, wrong in linear_loop.rounds(self.problem, self.start, name):
            losses.append(
                [linear_loop.loss(self.problem, *one) for one in zip(A, B, W, strict=True)]
            )
            errors.append(wrong)
        return np.array(losses), np.array(errors)

    @staticmethod
    def command(capsys, place, out):
        """A small run through the command line; its losses."""
        words = ("linear", "run", "--d", 6, "--clients", 3, "--samples", 8, "--rounds", 4,
                 "--trials", 2, "--heterogeneity", 0.5, "--method", place, "--out", out)  # fmt: skip
        assert rolora_helpers.run(capsys, *words)[0] == 0
        return read(out).columns["loss"]


LABORATORIES: dict[str, Any] = {
    "linear": Linear(noise=0.1),
    "linear, rank 2, fixed data": Linear(rank=2, data="fixed", participants=2),
    "linear, some clients": Linear(participants=3, samples=4, noise=0.1),
    "network": Network(equal_sizes=True),
    "network, some clients, base": Network(
        variant="base", split="dirichlet", participation=0.6, head="average"
    ),
    "network, local heads": Network(participation=0.6, head="local", weighting="uniform"),
}


@cache
def plain_loss(laboratory):
    return LABORATORIES[laboratory].run("fedavg")[0]


@pytest.mark.parametrize("laboratory", LABORATORIES)
@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_the_literal_loop_over_dense_models(name, laboratory, folder):
    where = LABORATORIES[laboratory]
    loss, error = where.run(place_of(name, folder))
    expected_loss, expected_error = where.literal(name)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(error, expected_error, rtol=1e-10, atol=1e-10)
    # The control: forgetting what was merged, or whose B it is, is a thousand times what is allowed.
    plain = plain_loss(laboratory)
    assert (np.abs(plain - loss).max(axis=0) > 1e-7 * (1.0 + np.abs(loss).max(axis=0))).all()


@pytest.mark.parametrize("laboratory", ["linear", "network"])
@pytest.mark.parametrize("name", METHODS)
def test_a_method_runs_from_the_command_line(name, laboratory, folder, capsys):
    where, place = LABORATORIES[laboratory], place_of(name, folder)
    loss = where.command(capsys, place, folder / "out")
    assert min(loss[1:]) < loss[0]
    assert loss != where.command(capsys, "fedavg", folder / "plain")
    assert read(folder / "out").manifest["configuration"]["method"] == place
    assert method_named(place, ROUNDS, eta=ETA).name in read(folder / "out").manifest["name"]


@pytest.mark.parametrize("kind", ["classifier", "transposed weights"])
@pytest.mark.parametrize("name", METHODS)
def test_a_language_model_is_the_literal_loop_over_dense_models(name, kind, folder, tiny, gpt2):  # noqa: F811
    changes = {"model": gpt2} if kind == "transposed weights" else {}
    config = tiny(
        "llama" if changes else "roberta", dtype="float64", optimiser="sgd", learning_rate=0.2,
        split="dirichlet", participation=0.5, rounds=4, method=place_of(name, folder), **changes,
    )  # fmt: skip
    found = by_laboratory(config)
    np.testing.assert_allclose(found, by_hand(config, name), rtol=1e-10, atol=1e-10)
    plain = by_laboratory(config.changed(method="fedavg"))
    assert abs(plain[0, -1] - found[0, -1]) > 1e-6


@pytest.mark.parametrize("name", ["fedex", "fedsa"])
def test_what_is_merged_or_kept_survives_a_stop_and_an_export(name, folder, tiny, gpt2):  # noqa: F811
    config = tiny("llama", model=gpt2, method=place_of(name, folder), optimiser="sgd",
                  learning_rate=0.2, checkpoint_every=1, rounds=4, participation=0.5)  # fmt: skip
    whole = train(config, folder=folder / "run")
    shutil.rmtree(folder / "run" / "checkpoints" / "round-000004")
    again = train(config, folder=folder / "run", resume=True)
    timeless = [{k: v for k, v in row.items() if "second" not in k} for row in whole.rows]
    assert timeless == [{k: v for k, v in r.items() if "second" not in k} for r in again.rows]
    assert bool(again.server.merged) == (name == "fedex")
    assert bool(again.server.own) == (name == "fedsa")
    ids = torch.tensor([[1, 5, 9, 30, 2]])
    for place in export(again.space, again.server, folder / "adapter"):
        base = transformers.AutoModelForCausalLM.from_pretrained(gpt2)
        changed = place / "base_weights.safetensors"
        if name == "fedex":
            assert not base.load_state_dict(load_file(changed), strict=False).unexpected_keys
        client = int(place.name[7:]) if name == "fedsa" else None
        write_server(again.space, again.server, client)
        loaded = PeftModel.from_pretrained(base, place).eval()(input_ids=ids).logits
        torch.testing.assert_close(loaded, again.space.model.eval()(input_ids=ids).logits)
        assert changed.exists() == (name == "fedex")


@pytest.mark.parametrize("name", ["fedex", "fedsa"])
def test_a_network_goes_on_with_what_is_merged_or_kept(name, folder):
    settings = LABORATORIES["network, local heads"].settings
    config, data = Configuration(method=place_of(name, folder), **settings), load()
    whole = experiment.run(config, data, checkpoints=folder / "kept", every=1)
    shutil.rmtree(max((folder / "kept").iterdir()))
    again = experiment.run(config, data, checkpoints=folder / "kept", every=1)
    assert again.rows == whole.rows
    assert experiment.weights_bytes(again) == experiment.weights_bytes(whole)
    assert ("merged" in again.weights, "own.B" in again.weights) == (
        name == "fedex",
        name == "fedsa",
    )


def test_a_name_of_the_laboratorys_own_is_refused(folder):
    (folder / "mine.py").write_text(METHODS["fedsa"].replace('"own-b"', '"algorithm2"'), "utf-8")
    with pytest.raises(ValueError, match="must not take the name of another: algorithm2"):
        LABORATORIES["linear"].run("mine:FedSA")


def test_a_simulator_refuses_what_it_cannot_do_before_any_work(folder):
    method = method_named(place_of("fedex", folder), eta=0.1)
    with pytest.raises(
        ValueError, match="ffa-pooled only, got residual-to-base; use simulator 'gram'"
    ):
        simulate(Problem(d=6), method, simulator="chain", rounds=1)
