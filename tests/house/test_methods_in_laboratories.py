"""Every method of ours in the three laboratories, beside plain loops over clients and dense matrices."""

from functools import cache

import numpy as np
import pytest

from tests.house.test_additions import LABORATORIES
from tests.llm_validation.conftest import data_dir, gpt2, llama, roberta, tiny  # noqa: F401
from tests.support.language_loop import by_hand, by_laboratory

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
