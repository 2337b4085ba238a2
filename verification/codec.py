"""Plain JSON values of findings and runs, and tidy CSV text."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any


def plain(value: Any) -> Any:
    """The value as JSON data: no NaN or infinity (they become "nan", "inf", "-inf"), no arrays.

    Raises:
        TypeError: on a value JSON has no word for.
    """
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, (Sequence, set, frozenset)):
        return [plain(entry) for entry in value]
    raise TypeError(f"cannot write a {type(value).__name__} as JSON")


def json_text(value: Any, *, indent: int | None = 2, by_name: bool = False) -> str:
    """Strictly standard JSON; keys in the given order, or sorted by name; None for one line."""
    return (
        json.dumps(
            plain(value), indent=indent, sort_keys=by_name, ensure_ascii=False, allow_nan=False
        )
        + "\n"
    )


def columns_of(rows: Sequence[Mapping[str, Any]], missing: Any = None) -> dict[str, list[Any]]:
    """Records as columns, in the order the names come up; `missing` where a record lacks one."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name, missing) for row in rows] for name in names}


def csv_text(columns: Mapping[str, Sequence[Any]]) -> str:
    """Columns as CSV; floats by `repr`, so that they read back exactly."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(map(plain, row) for row in zip(*columns.values(), strict=True))
    return stream.getvalue()
