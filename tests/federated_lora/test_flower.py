"""Flower's strategies put to the suite, where Flower is installed: it has an environment of its own."""

from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest

from federated_lora import BOTH, ONLY_A, ONLY_B, Average
from federated_lora.testing import SETTINGS, Setting, check_method, from_strategy
from verification.discovery import MissingExtraError

FLOWER = find_spec("flwr") is not None
with_flower = pytest.mark.skipif(
    not FLOWER,
    reason="expected: Flower holds packages back, so it is not among the pins; run `make test-flower`",
)
# Flower's typer asks click for its old names.
pytestmark = pytest.mark.filterwarnings("ignore:'click:DeprecationWarning")
NUMPY = [one for one in SETTINGS if one.library == "numpy"]


def fedavg(change=None, **options):
    """Flower's, with another `aggregate_train(strategy, round, replies)` if given."""
    from flwr.serverapp.strategy import FedAvg

    made = FedAvg(**{"min_train_nodes": 1, "min_available_nodes": 1, **options})
    if change is not None:
        made.aggregate_train = partial(change, made)
    return made


@pytest.mark.skipif(FLOWER, reason="expected: Flower is here, and its extra not missing")
def test_without_flower_the_extra_is_named():
    with pytest.raises(
        MissingExtraError, match=r"this needs flwr: pip install 'rolora-verify\[flower\]'"
    ):
        from_strategy(fedavg)


@with_flower
def test_flowers_fedavg_conforms_where_both_factors_are_sent():
    failed = check_method(from_strategy(fedavg, trains=[BOTH]), NUMPY).failed
    assert failed == ("non-finite", "bad-input")  # a NaN and a negative weight are averaged in
    assert "exact-mean" in check_method(from_strategy(fedavg, average=Average.EXACT), NUMPY).failed


@with_flower
def test_flowers_fedavg_loses_the_factor_that_nobody_sends():
    turns = {"trains": [ONLY_B, ONLY_A], "average": Average.EXACT}
    report = check_method(from_strategy(fedavg, **turns), [Setting()])
    (row,) = (row for row in report.rows if row.case == "exact-mean")
    assert "the server no longer has layer.lora_A.weight, which no reply held" in row.detail
    # A mean of equal numbers is off by a rounding, so the frozen factor moves even where it is sent.
    whole = check_method(from_strategy(fedavg, whole=True, **turns), NUMPY).failed
    assert set(whole) <= {"non-finite", "bad-input", "frozen-factor"}
    assert "non-finite" in whole


def unweighted(strategy, round, replies):
    from flwr.app import Array, ArrayRecord

    parts = [reply.content["arrays"] for reply in replies]
    means = {k: np.mean([part[k].numpy() for part in parts], axis=0) for k in parts[0]}
    return ArrayRecord({k: Array(v) for k, v in means.items()}), None


def remembering(strategy, round, replies):
    from flwr.app import Array, ArrayRecord

    record, metrics = type(strategy).aggregate_train(strategy, round, replies)
    before, now = getattr(strategy, "before", None), {k: v.numpy() for k, v in record.items()}
    strategy.before = now
    mixed = now if before is None else {k: 0.5 * (v + before[k]) for k, v in now.items()}
    return ArrayRecord({k: Array(v) for k, v in mixed.items()}), metrics


@with_flower
@pytest.mark.parametrize(
    ("change", "case"), [(unweighted, "weights-matter"), (remembering, "nothing-written")]
)
def test_mutants_of_a_strategy_are_caught(change, case):
    assert case in check_method(from_strategy(partial(fedavg, change)), [Setting()]).failed


@with_flower
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_available_nodes": 9}, "waits for more than 3 clients"),
        ({"fraction_train": 0.4}, "asks 1 of 3 clients to train"),
    ],
)
def test_a_strategy_that_waits_or_leaves_clients_out_is_told(options, said):
    setting = Setting()
    server = setting.started()
    clients = setting.trained(server, BOTH)
    with pytest.raises(ValueError, match=said):
        from_strategy(partial(fedavg, **options)).after(server, clients, setting.sizes, 1)
