"""A user's own classification files: JSON lines, JSON, CSV or Parquet with named columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_validation.tasks.examples import TaskData
from llm_validation.tasks.glue import classified
from llm_validation.tasks.records import Record, read_split


def load(data_dir: Path | None, columns: Sequence[str], label_column: str) -> TaskData:
    """Splits `train` and `validation` (or `test`) of a folder, with the named columns.

    Classes are the distinct labels of the training split, in sorted order; whole numbers are taken as
    class ids and must start at 0.

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
    names = _class_names(train, label_column)
    return TaskData(
        classified(train, columns, label_column, names, "task custom, split train"),
        classified(evaluation, columns, label_column, names, f"task custom, split {split}"),
    )


def _class_names(records: Sequence[Record], column: str) -> tuple[str, ...]:
    if any(column not in record for record in records):
        raise ValueError(f"task custom, split train: column {column!r} is missing")
    values = {str(record[column]).strip() for record in records}
    if len(values) < 2:
        raise ValueError(f"task custom: column {column!r} must hold at least two classes")
    if all(value.isdigit() for value in values):
        return tuple(str(k) for k in range(max(map(int, values)) + 1))
    return tuple(sorted(values))
