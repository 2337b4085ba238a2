"""Every method of ours in the three laboratories, beside plain loops over clients; and by command."""

from functools import cache

import numpy as np
import pytest

from federated_lora import Average, method_named, method_names
from rolora.storage.run_folder import read
from tests.house.test_additions import LABORATORIES
from tests.llm_validation.conftest import data_dir, gpt2, llama, roberta, tiny  # noqa: F401
from tests.support.language_loop import by_hand, by_laboratory
from tests.support.rolora_helpers import run

OURS = (
    *("flexlora", "flora", "fedex", "fedsa", "fedsvd", "fedrot", "lora-fair", "la-lora"),
    *("rolora-cv", "fedavg-cv", "rolora-momentum", "rolora-precond"),
)


@cache
def plain_loss(laboratory, name):
    return LABORATORIES[laboratory].run(name)[0]


plain_language_model = cache(by_laboratory)


@pytest.mark.parametrize(
    "laboratory", ["linear, rank 2, fixed data", "network", "network, some clients, base"]
)
@pytest.mark.parametrize("name", OURS)
def test_a_method_is_the_literal_loop_over_dense_models(name, laboratory):
    where = LABORATORIES[laboratory]
    loss, error = where.run(name)
    expected_loss, expected_error = where.literal(name)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-9, atol=1e-10)
    # Dense products of a model so far from its target differ by their own rounding where ours agree exactly;
    # a preconditioned step through a small B may throw it far (theory-2.md A5).
    size = 1.0 + np.sqrt(expected_loss)
    np.testing.assert_allclose(error / size, expected_error / size, rtol=1e-7, atol=1e-12)
    plain = plain_loss(laboratory, "rolora" if name.startswith("rolora") else "fedavg")
    assert np.abs(plain - loss).max() > 1e-6  # the control: what averaging would give


@pytest.mark.parametrize("name", OURS)
def test_a_language_model_is_the_literal_loop_over_dense_models(name, tiny):  # noqa: F811
    # Small steps leave clients so alike that there is nothing to rotate.
    rate = 1.0 if name == "fedrot" else 0.2
    config = tiny(
        "roberta", dtype="float64", optimiser="sgd", learning_rate=rate, split="dirichlet",
        participation=0.5, rounds=4, method=name,
    )  # fmt: skip
    found = by_laboratory(config)
    np.testing.assert_allclose(found, by_hand(config, name), rtol=1e-9, atol=1e-9)
    control = "rolora" if name.startswith("rolora") else "fedavg"
    plain = plain_language_model(config.changed(method=control))
    assert np.abs(plain - found).max() > 1e-7


def test_turns_within_a_round_leave_the_other_factors_moments_alone(tiny):  # noqa: F811
    """Both engines agree with Adam, whose count of steps is each factor's own."""
    config = tiny("roberta", dtype="float64", rounds=3, method="la-lora", optimiser_state="keep")
    found = by_laboratory(config)
    assert np.abs(found - by_laboratory(config.changed(method="fedavg"))).max() > 1e-6


SMALL = {
    "linear": ("--d", 6, "--rank", 2, "--clients", 3, "--samples", 8, "--trials", 2, "--heterogeneity", 0.5),
    "nonlinear": ("--hidden", 20, "--rank", 3, "--clients", 3, "--local-steps", 2, "--quiet"),
    "llm": ("--task", "sst2", "--rank", 2, "--local-steps", 1, "--batch-size", 4, "--optimiser", "sgd",
            "--device", "cpu", "--quiet"),
}  # fmt: skip


@pytest.mark.parametrize("laboratory", SMALL)
@pytest.mark.parametrize("name", method_names())
def test_a_method_runs_from_the_command_line(name, laboratory, capsys, tmp_path, roberta, data_dir):  # noqa: F811
    words = SMALL[laboratory]
    if laboratory == "llm":
        words = (*words, "--model", roberta, "--data-dir", data_dir)
    method, rounds = method_named(name, 6), 6
    place = tmp_path / "run"
    words = (laboratory, "run", *words, "--method", name, "--rounds", rounds, "--out", place)
    assert run(capsys, *words)[0] == 0
    done = read(place)
    assert done.manifest["configuration"]["method"] == name
    loss, error = (
        np.array(done.columns[key], dtype=float)
        for key in ("test_loss" if laboratory == "nonlinear" else "loss", "aggregation_error")
    )
    assert np.isfinite(loss).all()
    assert loss[-1] != loss[0]
    assert min(done.columns[f"numbers_{way}"][-1] for way in ("up", "down")) > 0
    assert (error[1:].max() < 1e-5) or method.average is not Average.EXACT
