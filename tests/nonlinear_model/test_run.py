"""Whole runs: the record, divergence, the command."""

import csv
import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from federation.participants import participants
from nonlinear_model.configuration import Configuration
from nonlinear_model.training import all_at_once, experiment
from nonlinear_model.training.federation import DivergenceError, Federation
from nonlinear_model.training.record import Replica
from rolora.storage.run_folder import read
from tests.support import rolora_helpers
from verification.streams import generator

COLUMNS = [
    "round", "seed", "learning_rate", "method", "trained", "test_accuracy", "test_loss", "train_loss",
    "client_accuracy_min", "client_accuracy_max", "client_accuracy_std", "gradient_norm_A",
    "gradient_norm_B", "aggregation_error", "angle_step", "angle_to_final", "numbers_up", "numbers_down",
]  # fmt: skip
SMALL = Configuration(rounds=8, local_steps=2, batch_size=8, hidden=20, rank=4, probe=4)


def test_record_has_every_column_and_true_values(digits):
    config = replace(SMALL, method="fedavg", repeats=2, equal_sizes=True, dtype="float64")
    result = experiment.run(config, digits)
    assert [list(row) for row in result.rows] == [COLUMNS] * (2 * 9)
    last = result.rows[-1]
    A, B, head = (result.weights[name][1].numpy() for name in ("A", "B", "head"))
    logits = np.maximum(digits.test_x.astype(np.float64) @ A @ B, 0.0) @ head
    accuracy = (logits.argmax(1) == digits.test_y).mean()
    assert last["test_accuracy"] == pytest.approx(accuracy, abs=1e-12)
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    loss = -log_p[np.arange(len(log_p)), digits.test_y].mean()
    assert last["test_loss"] == pytest.approx(loss, abs=1e-12)
    assert last["angle_to_final"] == 0.0
    assert 0.0 < result.rows[0]["angle_to_final"] <= 1.0
    # FedAvg: both factors, both ways, every client and round.
    assert last["numbers_up"] == last["numbers_down"] == 8 * 5 * 4 * (64 + 20)
    assert last["client_accuracy_min"] <= accuracy <= last["client_accuracy_max"]
    assert last["aggregation_error"] > 1e-6


def test_gradient_norms_are_those_of_autograd(digits):
    config = replace(SMALL, method="fedavg", dtype="float64", probe=6)
    federation = Federation(config, digits)
    probe = federation.record.probe[0]
    A = federation.server.A[0].clone().requires_grad_()
    B = federation.server.B[0].clone().requires_grad_()
    sizes = torch.tensor([float(part.size) for part in federation.parts[0]], dtype=torch.float64)
    losses = torch.stack(
        [
            torch.nn.functional.cross_entropy(
                torch.relu(torch.from_numpy(digits.train_x)[rows].double() @ A @ B)
                @ federation.server.head[0],
                torch.from_numpy(digits.train_y)[rows],
            )
            for rows in probe
        ]
    )
    (losses @ (sizes / sizes.sum())).backward()
    row = federation.rows[0]
    assert row["gradient_norm_A"] == pytest.approx(float(A.grad.norm()), rel=1e-12)
    assert row["gradient_norm_B"] == pytest.approx(float(B.grad.norm()), rel=1e-12)


def test_a_frozen_A_is_at_angle_zero_to_itself(digits):
    rows = experiment.run(replace(SMALL, method="ffa", rounds=3), digits).rows
    assert [row["angle_to_final"] for row in rows] == [0.0] * 4


def test_the_recorded_command_gives_the_same_configuration():
    from rolora.commands.nonlinear import _command

    config = replace(
        SMALL, split="iid", proportions=(1 / 3, 1.0, 2.0, 1e-7, 5.0), equal_sizes=False
    )
    words = shlex.split(_command(config, Path("out")))
    given = words[words.index("--proportions") + 1]
    assert tuple(float(part) for part in given.split(",")) == config.proportions


def test_rates_set_the_average_squared_gradient_beside_theory(digits):
    rows = experiment.run(replace(SMALL, method="rolora", rounds=24), digits).rows
    found = {(fit["quantity"], fit["model"]): fit for fit in experiment.rates(rows)}
    squares = [row["gradient_norm_A"] ** 2 + row["gradient_norm_B"] ** 2 for row in rows]
    T = np.arange(12, 25)
    average = np.array([np.mean(squares[:t]) for t in T])
    fit = found[experiment.AVERAGE, "power"]
    assert fit["rate"] == pytest.approx(-np.polyfit(np.log(T), np.log(average), 1)[0], rel=1e-9)
    assert fit["low"] < fit["rate"] < fit["high"]
    assert fit["theory"] == pytest.approx(0.5, rel=1e-12)
    assert found["test_loss", "power"]["theory"] is None
    unprobed = experiment.run(replace(SMALL, rounds=24, probe=0), digits).rows
    assert experiment.AVERAGE not in {fit["quantity"] for fit in experiment.rates(unprobed)}


def test_a_client_that_sat_out_is_sent_what_it_missed(digits):
    config = replace(SMALL, method="rolora", participation=0.4, rounds=6, split="iid")
    federation = Federation(config, digits)
    expected, held, changed = 0, dict.fromkeys(range(5), 0), {"A": 0, "B": 0}
    for t in range(1, 7):
        people = participants(generator(config.seed, "nonlinear", "participants", t), 5, 0.4)
        federation.step()
        for client in people:
            expected += 256 * (held[client] < changed["A"]) + 80 * (held[client] < changed["B"])
            held[client] = t
        changed["B" if t % 2 else "A"] = t
        expected += 2 * (80 if t % 2 else 256)
    assert federation.rows[-1]["numbers_down"] == expected > federation.rows[-1]["numbers_up"]
    assert federation.rows[-1]["numbers_up"] == 2 * 3 * (256 + 80)


def test_divergence_names_round_method_client_and_keeps_the_record(digits):
    config = replace(SMALL, method="fedavg", learning_rate=1e4, loss_bound=50.0)
    result = experiment.run(config, digits)
    assert "method fedavg, client" in str(result.diverged)
    assert "lower the learning rate (10000)" in str(result.diverged)
    assert [row["round"] for row in result.rows] == list(range(result.federation.round + 1))


def test_a_diverged_replica_does_not_touch_the_others(digits):
    config = replace(SMALL, method="fedavg", equal_sizes=True, loss_bound=50.0, dtype="float64")
    replicas = [Replica(0, 0.1), Replica(0, 1e4)]
    both = Federation(config, digits, replicas, give_up=True)
    alone, wild = (Federation(config, digits, [replica]) for replica in replicas)
    for _ in range(8):
        both.step()
        alone.step()
    assert both.diverged.tolist() == [False, True]
    assert torch.allclose(both.server.A[0], alone.server.A[0], rtol=0, atol=1e-13)
    assert bool(torch.isfinite(both.server.A).all())
    with pytest.raises(DivergenceError):
        [wild.step() for _ in range(8)]


def test_a_replica_once_given_up_never_moves_again(digits):
    """Its loss is above the bound in round 2 alone: later rounds must not take it up again."""
    config = replace(SMALL, method="rolora", equal_sizes=True)

    def engine(server, examples, work, optimiser, states):
        returned = all_at_once.train(server, examples, work, optimiser, states)
        if federation.round == 1:
            returned.worst[1, 3] = float("nan")
        return returned

    replicas = [Replica(0, 0.1), Replica(1, 0.1)]
    federation = Federation(config, digits, replicas, engine=engine, give_up=True)
    federation.step()
    before = {name: value[1].clone() for name, value in federation.server.tensors().items()}
    for _ in range(5):
        federation.step()
    assert federation.diverged.tolist() == [False, True]
    for name, value in federation.server.tensors().items():
        assert torch.equal(value[1], before[name]), name
    own = [row for row in federation.rows if row["seed"] == 1 and row["round"] >= 1]
    assert len({row["test_loss"] for row in own}) == 1
    other = [row for row in federation.rows if row["seed"] == 0 and row["round"] >= 1]
    assert len({row["test_loss"] for row in other}) == 6


def test_a_divergence_says_which_repetition_and_what_overflowed(digits):
    config = replace(SMALL, method="fedavg", repeats=2)

    def engine(*given):
        returned = all_at_once.train(*given)
        returned.stacks["B"][1, 3, 0, 0] = float("inf")
        return returned

    with pytest.raises(DivergenceError) as stop:
        Federation(config, digits, engine=engine).step()
    assert str(stop.value) == (
        "round 1, method fedavg, client 3, seed 1 diverged: it returned NaN or infinity in tensor B;"
        " lower the learning rate (0.1) or local_steps"
    )


def test_command_writes_a_run_that_compare_can_read_and_shows_rates_beside_theory(tmp_path, capsys):
    words = ["nonlinear", "run", "--rounds", 18, "--local-steps", 2]
    code, told, _ = rolora_helpers.run(
        capsys, *words, "--repeats", 2, "--json", "--out", tmp_path / "run"
    )
    assert code == 0
    manifest = json.loads(told)
    assert manifest["configuration"]["method"] == "rolora"
    assert (manifest["kind"], bool(manifest["rates"])) == ("nonlinear", True)
    assert read(tmp_path / "run").columns["round"] == list(range(19))
    rows = list(csv.DictReader((tmp_path / "run" / "runs.csv").read_text().splitlines()))
    assert len(rows) == 38
    assert list(rows[0]) == COLUMNS
    assert "<svg" in (tmp_path / "run" / "split.svg").read_text()
    said = " ".join(
        "".join(rolora_helpers.run(capsys, *words, "--out", tmp_path / "two")[1:]).split()
    )
    assert "over rounds 9 to 18; theory's bound as T^-0.50 with the step balanced" in said
    assert "Test loss × 0." in said


def test_a_diverging_command_exits_1_and_keeps_its_csv(tmp_path, capsys):
    code, _, error = rolora_helpers.run(
        capsys, "nonlinear", "run", "--learning-rate", "1e5", "--loss-bound", 50, "--method", "fedavg",
        "--rounds", 9, "--quiet", "--out", tmp_path / "run",
    )  # fmt: skip
    assert code == 1
    assert "diverged" in error
    assert (tmp_path / "run" / "run.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dataset", "mnits"], "did you mean 'mnist'"),
        (["--method", "roLora"], "did you mean 'rolora'"),
        (["--labels-per-client", "11"], "labels_per_client must lie between"),
        (["--participants", "3"], "participants is now called participation"),
        (["--b-start", "zero"], "every gradient zero"),
        (["--rank", "65"], "rank must be at most"),
        (["--device", "cuda:99"], "device 'cuda:99' is not available"),
        (["--device", "cudda"], "device must be cpu, cuda or cuda:0"),
        (["--dataset", "mnist", "--data-dir", "/nowhere"], "put train-images-idx3-ubyte"),
        (["--checkpoint-every", "0"], "Invalid value for '--checkpoint-every'"),
        (["--proportions", "1,x", "--split", "iid"], "proportions must be a list, each above 0"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_and_writes_nothing(
    tmp_path, capsys, options, message
):
    words = ["nonlinear", "run", "--quiet", "--rounds", 2, *options, "--out", tmp_path / "run"]
    assert message in rolora_helpers.refused(capsys, *words)
    assert not (tmp_path / "run").exists()
