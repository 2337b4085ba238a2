"""How-to pages are followed literally; tests of additions write the methods, figures and tasks they show."""

import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rolora
from docs import build
from llm_validation.base import generation, token_cache
from llm_validation.config import Config
from llm_validation.paper.presets import preset_named
from llm_validation.paper.published import LARGER_CLASS
from llm_validation.paper.recipes import RECIPES, recipe_named
from llm_validation.tasks import registry
from rolora.cli import app
from tests.support.pages import block
from tests.support.pages import folder as folder
from verification.budget import Budget
from verification.settings import schema
from verification.verdict import Verdict


def test_the_claim_of_the_page_is_decided_at_the_users_parameter(folder, monkeypatch):
    (folder / "my_claim.py").write_text(block("add-a-claim.md"), "utf-8")
    command = block("add-a-claim.md", language="sh").split()[1:]
    assert command[:4] == ["verify", "--claims", "my_claim", "cubic-step"]
    assert CliRunner().invoke(app, [*command, "--quiet"]).exit_code == 0
    found = rolora.check("cubic-step", at=0.3, claims=["my_claim"])
    assert found.measured == pytest.approx(found.theory) == pytest.approx(0.027 / 1.18)
    module = sys.modules["my_claim"]
    real = module.cubic_step
    monkeypatch.setattr(module, "cubic_step", lambda *values: 1.05 * real(*values))
    assert module.check(Budget()).verdict is Verdict.REFUTED


def test_the_grid_of_the_page_and_a_laboratory_of_ones_own_are_run(folder):
    import pyarrow.parquet

    def table(words):
        assert CliRunner().invoke(app, ["sweep", *words, "--quiet"]).exit_code == 0
        path = folder / "results" / "sweeps" / Path(words[0]).stem / "table.parquet"
        return pyarrow.parquet.read_table(path)

    (folder / "grid.toml").write_text(block("sweep.md", language="toml"), "utf-8")
    dry, real = block("sweep.md", language="sh").splitlines()
    assert "41 cells" in CliRunner().invoke(app, dry.partition("#")[0].split()[1:]).output
    assert not (folder / "results").exists()
    grid = table(real.partition("#")[0].split()[2:])
    assert grid.num_rows == 41
    assert grid.column("method").to_pylist()[-2:] == ["ffa", "algorithm2"]
    (folder / "walks.py").write_text(block("sweep.md", 1), "utf-8")
    own = 'laboratory = "walks:walk"\n[grid]\nsteps = [2, 3]\n'
    (folder / "own.toml").write_text(own, "utf-8")
    assert table(["own.toml"]).column("round").to_pylist() == [2, 3]


def test_rows_as_the_page_shows_them_are_ones_own_task(folder):
    words = (build.PAGES / "how-to" / "add-a-task.md").read_text("utf-8")
    row = re.search(r"`(\{\"text\".*?\})`", words)
    assert row is not None
    for split in ("train", "validation"):
        other = row[1].replace("0}", "1}")
        (folder / f"{split}.jsonl").write_text(f"{row[1]}\n{other}\n", "utf-8")
    own = Config("m", "custom", data_dir=str(folder), text_columns=("text",))
    assert registry.load(own).train.labels.tolist() == [0, 1]


def test_the_page_of_published_cells_names_what_there_is():
    words = (build.PAGES / "how-to" / "published-tables.md").read_text("utf-8")
    shell = block("published-tables.md", language="sh")
    for name, recipe in re.findall(r"--preset (\S+) --recipe (\S+)", shell):
        options = preset_named(name, recipe_named(recipe)).options
        assert Config.read(options).head == options["head"]
    assert preset_named(re.search(r"`(flowertune-\S+)`", words)[1]).cell is None
    for name in RECIPES:
        row = next(line for line in words.splitlines() if line.startswith(f"| `{name}`"))
        ends = [float(rate) for rate in re.search(r"\| (\S+) to (\S+) \|", row).groups()]
        grid = RECIPES[name].options["learning_rate_grid"]
        assert ends == [min(grid), max(grid)]
    ours = words.split("The adapter in")[0]
    words_of_run = {"preset", "recipe", "out", "resume", "paper", "results_dir", "table"}
    words_of_run |= {"only", "seeds", "jobs", "scheduler", "dry_run"}
    for option in re.findall(r"--([a-z][a-z-]+)", ours):
        assert option.replace("-", "_") in words_of_run | {*schema(Config)["properties"]}
    assert f"{generation.NEW_TOKENS} tokens" in words
    assert token_cache.VARIABLE in words
    for task in ("BoolQ", "RTE"):
        assert f"{LARGER_CLASS[task]:.2f} % on {task}" in words
