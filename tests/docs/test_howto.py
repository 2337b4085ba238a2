"""The how-to pages are followed literally: what they tell a contributor to write works as it stands."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import federated_lora
import rolora
from docs import build
from federated_lora import Shape
from linear_model import Problem, method_named, method_names, simulate
from llm_validation.config import Config
from llm_validation.tasks import registry
from rolora.cli import app
from rolora.commands.figures import draw_one
from verification.budget import Budget
from verification.verdict import Verdict


def _block(page: str, number: int = 0, language: str = "python") -> str:
    text = (build.PAGES / "how-to" / page).read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[number]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_the_claim_of_the_page_is_decided_at_the_users_parameter(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "my_claim.py").write_text(_block("add-a-claim.md"), "utf-8")
    command = _block("add-a-claim.md", language="sh").split()[1:]
    assert command[:4] == ["verify", "--claims", "my_claim", "cubic-step"]
    assert CliRunner().invoke(app, [*command, "--quiet"]).exit_code == 0
    found = rolora.check("cubic-step", at=0.3, claims=["my_claim"])
    assert found.measured == pytest.approx(found.theory) == pytest.approx(0.027 / 1.18)
    module = sys.modules["my_claim"]
    real = module.cubic_step
    monkeypatch.setattr(module, "cubic_step", lambda *values: 1.05 * real(*values))
    assert module.check(Budget()).verdict is Verdict.REFUTED


def test_the_figure_of_the_page_is_drawn_by_its_place(folder: Path) -> None:
    (folder / "figure_of_the_page.py").write_text(_block("add-a-figure.md"), "utf-8")
    name, drawn, _ = draw_one("figure_of_the_page:long_run_angle", Budget())
    assert name == "long-run-angle"
    assert b"for 80 step sizes." in drawn["long-run-angle.caption.md"]


def test_the_method_of_the_page_is_found_and_run_by_its_place(folder: Path) -> None:
    (folder / "of_the_page.py").write_text(_block("add-a-method.md"), "utf-8")
    chosen = method_named("of_the_page:TwoToOne", kappa=0.5)
    assert chosen.name == "two-to-one"
    assert chosen.name not in method_names()
    run = simulate(Problem(d=6, clients=2, samples=20), chosen, rounds=9, trials=2, start=0.6)
    assert run.angle[:, 2] == pytest.approx(0.6)  # two rounds of B leave the angle
    assert (run.angle[:, -1] < 0.3).all()
    assert run.aggregation_error[:, 1:].max() < 1e-12
    method = federated_lora.method_named("of_the_page:TwoToOne")
    both = federated_lora.method_named("fedavg").traffic([Shape(6, 1, 1)], 1).up
    assert sum(method.traffic([Shape(6, 1, 1)], t).up for t in (2, 3)) == both
    (folder / "second_of_the_page.py").write_text(_block("add-a-method.md", 1), "utf-8")
    merging = method_named("second_of_the_page:FedEx", kappa=0.5)
    run = simulate(Problem(d=6, clients=2, samples=20), merging, rounds=9, trials=2, start=0.6)
    assert run.aggregation_error[:, 1:].max() < 1e-12


def test_the_file_of_the_page_adds_a_task(folder: Path) -> None:
    (folder / "task_of_the_page.py").write_text(_block("add-a-task.md"), "utf-8")
    (folder / "cola").mkdir()
    rows = '{"sentence": "a b", "label": 1}\n{"sentence": "b a", "label": 0}\n'
    for split in ("train", "validation"):
        (folder / "cola" / f"{split}.jsonl").write_text(rows, "utf-8")
    found = registry.load(Config("m", "task_of_the_page:COLA", data_dir=str(folder)))
    assert found.train.labels.tolist() == [1, 0]
    words = (build.PAGES / "how-to" / "add-a-task.md").read_text("utf-8")
    row = re.search(r"`(\{\"text\".*?\})`", words)
    assert row is not None
    for split in ("train", "validation"):
        other = row[1].replace("0}", "1}")
        (folder / f"{split}.jsonl").write_text(f"{row[1]}\n{other}\n", "utf-8")
    own = Config("m", "custom", data_dir=str(folder), text_columns=("text",))
    assert registry.load(own).train.labels.tolist() == [0, 1]
