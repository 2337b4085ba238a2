"""Reading a split of a data set into records: JSON lines, JSON, CSV, Parquet, or the hub."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_validation.hub import offline, require_hub

Record = dict[str, Any]
ENDINGS = (".jsonl", ".json", ".csv", ".parquet")


def read_split(folder: Path, names: Sequence[str]) -> tuple[list[Record], str]:
    """The records of the first split in `names`, most preferred first, that the folder has a file for.

    A split may also be in numbered Parquet files, as the hub keeps them (`train-00000-of-00002.parquet`).
    Raises ValueError if the folder or the split is missing, empty or unreadable.
    """
    if not folder.is_dir():
        raise ValueError(f"data folder {folder} does not exist")
    for name in names:
        for ending in ENDINGS:
            path = folder / (name + ending)
            if path.is_file():
                return read_file(path), name
        parts = sorted(folder.glob(f"{name}-[0-9]*-of-[0-9]*.parquet"))
        if parts:
            return [record for path in parts for record in read_file(path)], name
    raise ValueError(
        f"split {names[0]!r} is missing: no {names[0]}{{{','.join(ENDINGS)}}} in {folder}"
    )


def read_file(path: Path) -> list[Record]:
    """The records of one file, by its ending.

    Raises ValueError if it cannot be read, holds no records, or something that is not a record.
    """
    try:
        records = _parse(path)
    except OSError as error:
        raise ValueError(f"data file {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise ValueError(f"data file {path} is not valid {path.suffix[1:]}: {error}") from error
    if not records:
        raise ValueError(f"data file {path} holds no examples")
    if not all(isinstance(record, dict) for record in records):
        raise ValueError(f"data file {path} must hold one record with named columns per example")
    return records


def cell(record: Record, column: str, where: str) -> Any:
    """What a record has in a column; its row may have more cells than named columns."""
    if column not in record:
        there = ", ".join(filter(None, record))
        raise ValueError(f"{where}: column {column!r} is missing, there are {there}")
    return record[column]


def _parse(path: Path) -> list[Record]:
    if path.suffix == ".parquet":
        import pyarrow.parquet  # heavy, and only here

        try:
            rows: list[Record] = pyarrow.parquet.read_table(path).to_pylist()
        except pyarrow.ArrowException as error:
            raise ValueError(f"data file {path} is not valid parquet: {error}") from error
        return rows
    # Spreadsheets put a byte order mark first.
    text = path.read_bytes().decode("utf-8-sig")
    if path.suffix == ".csv":
        # Lines are the reader's business: a quoted cell may hold several.
        return list(csv.DictReader(io.StringIO(text, newline=""), restkey=""))
    if path.suffix == ".json":
        loaded = json.loads(text)
        return loaded if isinstance(loaded, list) else [loaded]
    if path.suffix == ".jsonl":
        # Not splitlines(): it also breaks at characters that JSON allows inside a string.
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    raise ValueError(f"data file {path} must end in one of {', '.join(ENDINGS)}")


def from_hub(repository: str, name: str, split: str) -> list[Record]:
    """A split of a data set on the hub, through the `datasets` library, or of its cache if offline."""
    what, instead = f"data set {repository}/{name}", "--data-dir with a local folder"
    if not offline():
        require_hub(what, instead)
    import datasets

    try:
        return list(datasets.load_dataset(repository, name, split=split))
    except Exception as error:  # the library raises many kinds
        if offline():
            raise ValueError(
                f"{what} is not here and HF_HUB_OFFLINE forbids the hub: give {instead}"
            ) from error
        raise ValueError(f"{what} split {split}: {error}") from error
