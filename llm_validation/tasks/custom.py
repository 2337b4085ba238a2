"""A user's own classification files: JSON lines, JSON, CSV or Parquet with named columns."""

import re
from collections.abc import Sequence

from llm_validation.config import Config
from llm_validation.tasks.examples import TaskData
from llm_validation.tasks.glue import classified
from llm_validation.tasks.records import Record, cell, read_split
from llm_validation.tasks.task import Task, folder_of

_WHOLE = re.compile(r"-?\d+")


class Custom(Task):
    """Splits `train` and `validation` (or `test`) of a folder, with the named columns.

    Classes are the distinct labels of the training split. Whole numbers are taken as class ids and must
    be 0 to n − 1; other labels are names, in sorted order.
    """

    def load(self, config: Config) -> TaskData:
        """As `Task.load`: without a folder or columns too."""
        folder, columns, label = folder_of(config), config.text_columns, config.label_column
        if folder is None or not columns:
            raise ValueError(
                "task custom needs --data-dir with train and validation files, and --text-columns"
            )
        if len(columns) > 2:
            raise ValueError(f"text_columns must name one or two columns, got {', '.join(columns)}")
        found = {"train": read_split(folder, ("train",))[0]}
        records, split = read_split(folder, ("validation", "test"))
        found[split] = records
        wheres = {name: f"task custom, split {name}" for name in found}
        plain = {name: _with_plain_labels(found[name], label, wheres[name]) for name in found}
        names = _class_names({record[label] for record in plain["train"]}, label)
        train, evaluation = (
            classified(plain[name], columns, label, names, wheres[name]) for name in plain
        )
        return TaskData(train, evaluation)


CUSTOM = Custom("custom", order=900)


def _with_plain_labels(records: Sequence[Record], column: str, where: str) -> list[Record]:
    """The records with their labels as text: 1, 1.0, "1" and " 1" are one class, true is "true"."""
    plain = []
    for row, record in enumerate(records):
        label = cell(record, column, where)
        if isinstance(label, bool):
            label = str(label).lower()
        elif isinstance(label, float) and label.is_integer():
            label = int(label)
        label = "" if label is None else str(label).strip()
        if not label:
            raise ValueError(f"{where}: row {row} has no label in column {column!r}")
        plain.append({**record, column: label})
    return plain


def _class_names(labels: set[str], column: str) -> tuple[str, ...]:
    if len(labels) < 2:
        raise ValueError(f"task custom: column {column!r} must hold at least two classes")
    if not all(_WHOLE.fullmatch(label) for label in labels):
        return tuple(sorted(labels))
    ids = sorted(int(label) for label in labels)
    if ids != list(range(len(ids))):
        raise ValueError(
            f"task custom: whole numbers in column {column!r} are class ids and must be 0 to"
            f" {len(ids) - 1} for {len(ids)} classes, they go from {ids[0]} to {ids[-1]}"
        )
    return tuple(str(k) for k in ids)
