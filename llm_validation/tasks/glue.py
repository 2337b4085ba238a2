"""GLUE tasks by their public column names and label ids."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llm_validation.config import Config
from llm_validation.tasks.examples import Classified, TaskData
from llm_validation.tasks.records import Record, cell, from_hub, read_split
from llm_validation.tasks.task import Task, folder_of

HUB = "nyu-mll/glue"
EMPTY = 1e-3
"""Share of rows that may have an empty text: QQP's public files hold a handful. They are kept."""


@dataclass(frozen=True)
class GlueTask(Task):
    """One GLUE task, from a folder with a subfolder of its name, or from the hub.

    Either split has names in order of preference.
    """

    columns: tuple[str, ...]
    names: tuple[str, ...]
    train: tuple[str, ...] = ("train", "train_subset")
    evaluation: tuple[str, ...] = ("validation",)

    def load(self, config: Config) -> TaskData:
        """As `Task.load`: a split is missing, a text is empty, or a label out of range."""
        sides = []
        for names in (self.train, self.evaluation):
            folder = folder_of(config)
            if folder is None:
                records, split = from_hub(HUB, self.name, names[0]), names[0]
            else:
                records, split = read_split(folder / self.name, names)
            where = f"task {self.name}, split {split}"
            subset = f"{self.name}: `{split}` is a subset of the training data"
            note = subset if "subset" in split else ""
            sides.append(
                classified(records, self.columns, "label", self.names, where, note, empty=EMPTY)
            )
        return TaskData(*sides)


SST2 = GlueTask("sst2", ("sentence",), ("negative", "positive"), order=10)
QNLI = GlueTask("qnli", ("question", "sentence"), ("entailment", "not_entailment"), order=20)
MNLI = GlueTask(
    "mnli",
    ("premise", "hypothesis"),
    ("entailment", "neutral", "contradiction"),
    evaluation=("validation_matched", "validation"),
    order=30,
)
QQP = GlueTask("qqp", ("question1", "question2"), ("not_duplicate", "duplicate"), order=40)
RTE = GlueTask("rte", ("sentence1", "sentence2"), ("entailment", "not_entailment"), order=50)


def classified(
    records: Sequence[Record],
    columns: Sequence[str],
    label_column: str,
    names: Sequence[str],
    where: str,
    note: str = "",
    *,
    empty: float = 0.0,
) -> Classified:
    """Records as texts with classes: in the label column an id, or one of `names`.

    A share `empty` of the rows may have empty text. Raises ValueError on a missing column, another empty text
    or a label outside the classes; the row is named.
    """
    texts, labels = [], np.empty(len(records), dtype=np.int64)
    allowed = int(empty * len(records))
    for row, record in enumerate(records):
        texts.append(tuple(_text(record, column, row, where) for column in columns))
        if not all(text.strip() for text in texts[-1]):
            allowed -= 1
            if allowed < 0:
                column = columns[[bool(text.strip()) for text in texts[-1]].index(False)]
                raise ValueError(f"{where}: row {row} has an empty text in column {column!r}")
        labels[row] = _label(record, label_column, names, row, where)
    return Classified(tuple(texts), labels, tuple(names), note)


def _text(record: Record, column: str, row: int, where: str) -> str:
    value = cell(record, column, where)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{where}: row {row} has {value!r} in column {column!r}, which is no text")
    return value or ""


def _label(record: Record, column: str, names: Sequence[str], row: int, where: str) -> int:
    value = cell(record, column, where)
    if isinstance(value, str) and value in names:
        return list(names).index(value)
    if isinstance(value, str) and value.strip().lstrip("-").isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(names):
        raise ValueError(
            f"{where}: row {row} has label {value!r}, allowed are 0 to {len(names) - 1}"
            f" ({', '.join(names)})"
        )
    return value
