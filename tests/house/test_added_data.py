"""A task and a data set are one file each, written into an empty folder."""

import json

import pytest

from llm_validation.config import Config
from llm_validation.tasks.registry import load, task_named
from tests.llm_validation.conftest import roberta as roberta
from tests.support.pages import block
from tests.support.pages import folder as folder
from tests.support.rolora_helpers import run, strict_json

FAMILY = """
from dataclasses import dataclass

import numpy as np

from llm_validation.tasks.examples import Classified, TaskData
from llm_validation.tasks.task import Task


@dataclass(frozen=True)
class Parity(Task):
    words: int

    def load(self, config):
        rng = np.random.default_rng(config.seed)
        def side(n):
            bits = rng.integers(0, 2, (n, self.words))
            texts = tuple((" ".join(f"w{b}" for b in row),) for row in bits)
            return Classified(texts, bits.sum(axis=1) % 2, ("even", "odd"))
        return TaskData(side(40), side(20))


PARITY = Parity("parity", 3)
"""
DATA = """
import numpy as np

from nonlinear_model.data.dataset import Dataset, Images


def read(data_dir, download):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = rng.random((60, 8), dtype=np.float32) + y[:, None].astype(np.float32)
    return Dataset("blobs", x[:40], y[:40], x[40:], y[40:])


BLOBS = Images("blobs", read)
"""


def test_a_glue_like_task_is_read_by_its_place(folder):
    (folder / "mine.py").write_text(block("add-a-task.md"))
    (folder / "data" / "cola").mkdir(parents=True)
    rows = [{"sentence": "a b", "label": 1}, {"sentence": "b a", "label": 0}]
    for split in ("train", "validation"):
        path = folder / "data" / "cola" / f"{split}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = load(Config("m", "mine:COLA", data_dir=str(folder / "data")))
    assert found.train.labels.tolist() == [1, 0]
    assert found.train.names == ("unacceptable", "acceptable")
    with pytest.raises(ValueError, match=r"data folder .*cola does not exist"):
        load(Config("m", "mine:COLA", data_dir=str(folder)))
    with pytest.raises(ValueError, match="did you mean 'sst2'"):
        task_named("sst-2")


def test_a_task_of_another_family_trains(folder, roberta, capsys):
    (folder / "mine.py").write_text(FAMILY)
    code, out, err = run(
        capsys, "llm", "run", "--model", roberta, "--task", "mine:PARITY", "--clients", "2",
        "--rounds", "2", "--local-steps", "1", "--max-length", "16", "--json", "--out", "run",
    )  # fmt: skip
    assert code == 0, err
    assert strict_json(out)["facts"]["evaluation_examples"] == 20


def test_a_data_set_trains_the_network(folder, capsys):
    (folder / "mine.py").write_text(DATA)
    code, out, err = run(
        capsys, "nonlinear", "run", "--dataset", "mine:BLOBS", "--clients", "3", "--rounds", "2",
        "--rank", "2", "--hidden", "6", "--json", "--out", "run",
    )  # fmt: skip
    assert code == 0, err
    assert strict_json(out)["configuration"]["dataset"] == "mine:BLOBS"
