"""Plain JSON values of findings and runs, and tidy CSV text."""

from __future__ import annotations

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


def json_text(value: Any) -> str:
    """Indented JSON, keys in the given order, strictly standard."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def csv_text(columns: Mapping[str, Sequence[Any]]) -> str:
    """Columns as CSV; floats by `repr`, so that they read back exactly."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([_cell(value) for value in row])
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Enum):
        return value.value
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else value
