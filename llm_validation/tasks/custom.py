"""A user's own classification files: JSON lines, JSON, CSV or Parquet with named columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from llm_validation.tasks.examples import TaskData
from llm_validation.tasks.glue import classified
from llm_validation.tasks.records import Record, read_split

_WHOLE = re.compile(r"-?\d+")


def load(data_dir: Path | None, columns: Sequence[str], label_column: str) -> TaskData:
    """Splits `train` and `validation` (or `test`) of a folder, with the named columns.

    Classes are the distinct labels of the training split. Whole numbers are taken as class ids and must
    be 0 to n − 1; other labels are names, in sorted order.

    Raises:
        ValueError: without a folder or columns, or for any reason of reading them.
    """
    if data_dir is None or not columns:
        raise ValueError(
            "task custom needs --data-dir with train and validation files, and --text-columns"
        )
    if len(columns) > 2:
        raise ValueError(f"text_columns must name one or two columns, got {', '.join(columns)}")
    train, _ = read_split(data_dir, ("train",))
    evaluation, split = read_split(data_dir, ("validation", "test"))
    train = _with_plain_labels(train, label_column, "task custom, split train")
    evaluation = _with_plain_labels(evaluation, label_column, f"task custom, split {split}")
    names = _class_names({record[label_column] for record in train}, label_column)
    return TaskData(
        classified(train, columns, label_column, names, "task custom, split train"),
        classified(evaluation, columns, label_column, names, f"task custom, split {split}"),
    )


def _with_plain_labels(records: Sequence[Record], column: str, where: str) -> list[Record]:
    """The records with their labels as text: 1, 1.0, "1" and " 1" are one class, true is "true"."""
    plain = []
    for row, record in enumerate(records):
        if column not in record:
            there = ", ".join(filter(None, record))
            raise ValueError(f"{where}: column {column!r} is missing, there are {there}")
        label = record[column]
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
