"""Runs whose clients answer by messages: the laboratories' numbers, and only what the method sends."""

import csv
import io

import numpy as np
import pytest

pytest.importorskip(
    "flwr",
    reason="expected: Flower holds packages back, so it is not among the pins; run `make test-flower`",
)

from federated_lora import method_names
from federation.flower.post import RefusedError
from nonlinear_model.training.federation import DivergenceError
from rolora.flower import laboratories
from rolora.flower.client_app import app
from rolora.flower.options import read
from tests.support.flower.grid import Grid, nodes, run_config
from tests.support.flower.runs import SMALL, farthest, language, own, same_language_run, told

METHODS = (
    "rolora", "ffa", "fedavg", "fedex", "flora", "flexlora", "fedsa", "fedsvd", "fedrot", "la-lora",
    "lora-fair:0.01", "rolora-cv", "fedavg-cv", "rolora-momentum:0.5", "rolora-precond:1e-6", "a-heavy",
    "b-heavy", "rolora-then-ffa:50", "ffa-then-rolora:50",
)  # fmt: skip


def served(out, values, *, places=2, change=None, tell=lambda _: None, **more):
    """A run into the folder; its grid."""
    run = run_config(options=told(values), out=str(out), **more)
    grid = Grid(app, nodes(places), run, change)
    laboratories.serve(grid, read(run), tell)
    return grid


def rows(out):
    with (out / "wire.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize("method", METHODS)
def test_any_method_by_name_gives_the_laboratorys_weights(method, tmp_path):
    values = {**SMALL, "method": method}
    served(tmp_path, values)
    assert farthest(tmp_path, values) < 1e-9  # another engine sums in another order
    assert farthest(tmp_path, values, "one-by-one") == 0.0


def test_the_list_of_methods_leaves_none_out():
    names = [[name.partition(":")[0] for name in some] for some in (METHODS, method_names())]
    assert sorted(names[0]) == sorted(names[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": "adam", "optimiser_state": "keep", "participation": 0.5, "head": "local",
         "learning_rate": 0.01},
        {"method": "fedavg", "local_epochs": 1, "head": "average", "split": "iid",
         "proportions": (1, 2, 3, 4)},
        {"method": "flexlora", "ranks": (1, 2, 3, 3)},
        {"method": "flora", "ranks": (1, 2, 3, 3), "participation": 0.5},
        {"method": "rolora-cv", "participation": 0.5, "variant": "base"},
    ],
)  # fmt: skip
def test_what_stays_with_clients_and_who_sits_out_make_no_difference(changes, tmp_path):
    values = {**SMALL, **changes}
    served(tmp_path, values, places=3)
    assert farthest(tmp_path, values, "one-by-one") == 0.0


def test_the_order_of_arrival_decides_nothing(tmp_path):
    for places in (1, 4):
        served(tmp_path / str(places), SMALL, places=places)
        assert farthest(tmp_path / str(places), SMALL, "one-by-one") == 0.0


NUMBERS = {
    "clients": 2,
    "hidden": 512,
    "rank": 64,
    "rounds": 5,
    "dtype": "float32",
    "local_steps": 1,
}


@pytest.mark.parametrize("method", ["rolora", "fedavg", "ffa", "fedsa"])
def test_only_what_the_method_sends_travels_as_traffic_predicts(method, tmp_path):
    values = {**SMALL, **NUMBERS, "method": method}
    served(tmp_path, values)
    found, record = rows(tmp_path), own({**values, "evaluate_every": 1}).rows
    for t in (1, 2, 3, 4, 5):
        up = record[t]["numbers_up"] - record[t - 1]["numbers_up"]
        assert found[t - 1]["up"] == pytest.approx(4 * up, rel=0.05)
        # What traffic counts as sent after a round goes down before the next one.
        down = record[t - 1]["numbers_down"] - (record[t - 2]["numbers_down"] if t > 1 else 0)
        assert found[t - 1]["down"] == pytest.approx(4 * down, rel=0.05)
    assert all((row["kept"] > 0) == (method == "fedsa") for row in found)


def test_two_rounds_of_rolora_send_half_of_fedavgs(tmp_path):
    sent = {}
    for method in ("rolora", "fedavg"):
        served(tmp_path / method, {**SMALL, **NUMBERS, "method": method})
        sent[method] = [sum(r[way] for r in rows(tmp_path / method)[2:4]) for way in ("up", "down")]
    for ours, theirs in zip(sent["rolora"], sent["fedavg"], strict=True):
        assert ours / theirs == pytest.approx(0.5, rel=0.05)


def test_a_run_that_lost_a_node_goes_on_where_it_stopped(tmp_path):
    def dies(node, message, reply):
        return None if message.metadata.group_id == "3" and node == 900 else reply

    values = {**SMALL, "optimiser": "adam", "optimiser_state": "keep", "learning_rate": 0.01}
    with pytest.raises(RefusedError) as lost:
        served(tmp_path, values, change=dies, patience=1)
    assert str(lost.value) == (
        "round 3: partition 0 (SuperNode 900) has not answered within 1 s; the rounds before are kept:"
        " mend it and run again with resume=true"
    )
    grid = served(tmp_path, values, resume=True)
    assert min(int(m[2]["round"]["round"]) for m in grid.asked if m[0] == "train") == 3
    assert farthest(tmp_path, values, "one-by-one") == 0.0
    with pytest.raises(ValueError, match="belongs to another run: its learning_rate"):
        served(tmp_path, {**values, "learning_rate": 0.02}, resume=True)


def test_a_node_that_left_is_named_at_once(tmp_path):
    def leaves(node, message, reply):
        if message.metadata.group_id == "2" and node == 893:
            grid.gone.add(893)
            return None
        return reply

    run = run_config(options=told(SMALL), out=str(tmp_path))
    grid = Grid(app, nodes(2), run, leaves)
    with pytest.raises(
        RefusedError, match=r"round 2: partition 1 \(SuperNode 893\) is gone; the rounds"
    ):
        laboratories.serve(grid, read(run), lambda _: None)


def spoiled(client, spoil):
    """A change of what a client sends in round 2."""

    def change(node, message, reply):
        key = f"{client}/sent"
        if message.metadata.group_id == "2" and key in reply.content:
            reply.content[key] = spoil(reply.content[key])
        return reply

    return change


def not_finite(record):
    from flwr.app import Array, ArrayRecord

    return ArrayRecord({k: Array(v.numpy() * float("nan")) for k, v in record.items()})


def other_shape(record):
    from flwr.app import Array, ArrayRecord

    return ArrayRecord({k: Array(v.numpy()[:, :-1]) for k, v in record.items()})


def left_out(record):
    from flwr.app import ArrayRecord

    return ArrayRecord({})


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (not_finite, DivergenceError,
         "round 2, method rolora, client 3 diverged: it returned NaN or infinity in tensor A"),
        (other_shape, RefusedError, r"round 2: client 3 sent hidden.lora_A of shape \(64, 2\)"),
        (left_out, RefusedError, "round 2: client 3 left out hidden.lora_A, which it was to train"),
    ],
)  # fmt: skip
def test_a_bad_reply_is_rejected_by_name_and_the_run_can_go_on(spoil, error, said, tmp_path):
    with pytest.raises(error, match=said):
        served(tmp_path, SMALL, change=spoiled(3, spoil))
    assert [p.name for p in (tmp_path / "checkpoint").iterdir()] == ["round-000001"]
    served(tmp_path, SMALL, resume=True)
    assert farthest(tmp_path, SMALL, "one-by-one") == 0.0


def pickled(record):
    from flwr.app import Array, ArrayRecord

    stream = io.BytesIO()
    np.save(stream, np.array([{}]), allow_pickle=True)
    return ArrayRecord(
        {k: Array("object", (1,), "numpy.ndarray", stream.getvalue()) for k in record}
    )


def test_an_answer_without_its_records_or_with_pickles_is_refused(tmp_path):
    def lacks(node, message, reply):
        if message.metadata.group_id == "2":
            for name in [name for name in reply.content if name == "3/kept"]:
                del reply.content[name]
        return reply

    for change, said in (
        (lacks, "round 2: client 3 left out the record 'kept' of its answer"),
        (spoiled(3, pickled), "round 2: client 3 sent what are no arrays: "),
    ):
        with pytest.raises(RefusedError, match=said):
            served(tmp_path, SMALL, change=change)


def test_a_node_that_forgot_what_it_holds_is_refused(tmp_path):
    def forgets(node, message, reply):
        if message.metadata.group_id == "2" and node == 900:
            grid.contexts[900].state.clear()
        return reply

    run = run_config(options=told(SMALL), out=str(tmp_path))
    grid = Grid(app, nodes(2), run, forgets)
    with pytest.raises(
        RefusedError, match="client 0 does not hold what round 3 begins with: its SuperNode"
    ):
        laboratories.serve(grid, read(run), lambda _: None)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "rolora", "optimiser_state": "keep", "participation": 0.7},
        {"method": "fedavg", "schedule": "linear", "lora_dropout": 0.2},
        {"method": "fedex", "participation": 0.7},
        {"method": "fedsa", "head": "local", "optimiser_state": "keep"},
        {"method": "flexlora", "ranks": (1, 2, 2)},
        {"method": "rolora-cv", "optimiser": "sgd", "participation": 0.7, "rounds": 2},
    ],
)
def test_the_language_model_gives_the_same_weights(changes, roberta, data_dir, tmp_path):
    values = language(roberta, **changes)
    served(tmp_path, values, laboratory="llm", data_dir=data_dir)
    same_language_run(tmp_path, values, data_dir)
