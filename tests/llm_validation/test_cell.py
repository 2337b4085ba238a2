"""A cell of a sweep is the run of its configuration."""

import json

import pytest
from typer.testing import CliRunner

from llm_validation import cell
from llm_validation.training.loop import run
from rolora.cli import app
from verification.codec import json_text

TIMES = {"seconds", "tokens_per_second"}


def test_a_cell_is_the_run_of_its_configuration_without_times(tiny, data_dir):
    own = tiny(method="ffa")
    rows = run(own).rows
    assert rows[-1].keys() >= TIMES
    untimed = [{n: v for n, v in row.items() if n not in TIMES} for row in rows]
    found = cell.measure(own, None)
    assert found == [{**row, "diverged": False} for row in untimed]
    assert cell.measure(own.changed(data_dir=None), data_dir) == found


def test_a_run_that_diverges_is_a_row_that_says_so(tiny):
    found = cell.measure(tiny(optimiser="sgd", learning_rate=1e30), None)
    assert [row["diverged"] for row in found] == [True] * len(found)
    assert found[-1]["round"] < 3


def test_folders_and_threads_do_not_tell_cells_apart(tiny):
    one, two = (cell.LLM.deciding(tiny(data_dir=d, threads=t)) for d, t in (("a", 1), ("b", 2)))
    assert one == two != cell.LLM.deciding(tiny(seed=1))


@pytest.mark.fixed_seed
def test_the_command_sweeps_language_models(tiny, data_dir, tmp_path):
    own = tiny()
    given = {n: getattr(own, n) for n in ("model", "task", "clients", "rounds", "local_steps", "batch_size",
        "rank", "lora_alpha", "lora_dropout", "learning_rate", "max_length", "device")}  # fmt: skip
    fixed = "".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items())
    file = tmp_path / "a.toml"
    file.write_text(f'laboratory = "llm"\n[fixed]\n{fixed}[grid]\nseed = [0]\n', "utf-8")
    words = ["sweep", str(file), "--out", str(tmp_path / "out"), "--json", "--data-dir", data_dir]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    (record,) = json.loads(done.stdout)["records"]
    last = cell.measure(own.changed(threads=1), None)[-1]
    assert record == json.loads(json_text({**given, "seed": 0, **last}))
