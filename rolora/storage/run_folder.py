"""The one form every experiment is stored in: `run.csv`, tidy, and `manifest.json`, which explains it.

`manifest.json` holds

- `schema_version`, `kind` (linear, nonlinear or llm), `name` (for legends), `command`, `seed`,
- `configuration`: everything that defines the run, flat, by option name,
- `x`: the column of the horizontal axis, `{"column", "label"}`,
- `y`: the columns worth drawing, the most telling first, each
  `{"column", "label"}` and, where they apply, `"low"`, `"high"` (columns of a band) and `"log": true`,
- `environment`: versions, platform, commit,
- anything else a laboratory has to say.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rolora.storage.environment import environment
from rolora.storage.output_folder import OutputFolder
from verification.codec import csv_text, json_text

SCHEMA_VERSION = 1
REQUIRED = ("kind", "name", "configuration", "x", "y")


@dataclass(frozen=True)
class StoredRun:
    """A run folder read back: numbers of its table as floats (NaN where empty), other cells as text."""

    path: Path
    manifest: dict[str, Any]
    columns: dict[str, list[Any]]

    @property
    def name(self) -> str:
        """Name for legends."""
        return str(self.manifest["name"])

    @property
    def x(self) -> str:
        """Column of the horizontal axis."""
        return str(self.manifest["x"]["column"])


def complete(manifest: Mapping[str, Any], command: str) -> dict[str, Any]:
    """The laboratory's manifest with what the front desk adds: command, versions, environment."""
    missing = [key for key in REQUIRED if key not in manifest]
    if missing:
        raise ValueError(
            f"a manifest must have {', '.join(REQUIRED)}, missing: {', '.join(missing)}"
        )
    made = {"command": command, "environment": environment()}
    return {"schema_version": SCHEMA_VERSION, **manifest, **made}


def stage(
    folder: OutputFolder,
    columns: Mapping[str, Sequence[Any]],
    manifest: Mapping[str, Any],
    more: Mapping[str, str | bytes] | None = None,
) -> str:
    """Stage a run's files; the caller publishes them."""
    folder.write("run.csv", csv_text(columns))
    for name, content in (more or {}).items():
        folder.write(name, content)
    text = json_text(manifest)
    folder.write("manifest.json", text)
    return text


def read(path: Path) -> StoredRun:
    """Read a run folder back. Raises ValueError if it is not one, or its manifest and table disagree."""
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        text = (path / "run.csv").read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"{path} must be a run folder with run.csv and manifest.json: {error.strerror} "
            f"({Path(str(error.filename)).name})"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}/manifest.json must be JSON: {error}") from error
    if not isinstance(manifest, dict) or any(key not in manifest for key in REQUIRED):
        raise ValueError(f"{path}/manifest.json must have {', '.join(REQUIRED)}")
    lines = list(csv.reader(text.splitlines()))
    if len(lines) < 2:
        raise ValueError(f"{path}/run.csv must have a header and at least one row")
    header, rows = lines[0], lines[1:]
    if any(len(row) != len(header) for row in rows):
        raise ValueError(f"{path}/run.csv must have {len(header)} cells in every row")
    columns = {name: [_number(row[i]) for row in rows] for i, name in enumerate(header)}
    stated = [manifest["x"]["column"]]
    for y in manifest["y"]:
        stated += [y["column"], *(y[key] for key in ("low", "high") if y.get(key))]
    for column in stated:
        if column not in columns:
            raise ValueError(f"{path}/run.csv must have the column {column!r} its manifest names")
    return StoredRun(path, manifest, columns)


def _number(cell: str) -> Any:
    if cell == "":
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        return cell
