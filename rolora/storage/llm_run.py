"""The folder of a finished language-model run."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_validation.config import Config

if TYPE_CHECKING:
    from llm_validation.training.loop import Result
    from rolora.storage.output_folder import OutputFolder


def staged(
    folder: OutputFolder,
    settings: Config,
    result: Result,
    more: Mapping[str, Any],
    preset: str | None = None,
    command: str | None = None,
) -> tuple[dict[str, Any], str]:
    """Stage everything a run leaves; its manifest, and that as text."""
    from llm_validation.paper.own_cell import own_cell
    from llm_validation.training.export import export
    from llm_validation.training.manifest import digest, manifest
    from rolora.storage.run_folder import complete, stage
    from verification.codec import csv_text

    table = columns(result.rows)
    adapters = export(result.space, result.server, folder.path / "adapter")
    described = {
        **manifest(settings, result.facts),
        "table_sha256": digest(csv_text(table)),
        **more,
    }
    cell = own_cell(described["configuration"], preset)
    described["cell"] = cell.name if cell else None
    described["adapters"] = [str(path.relative_to(folder.path)) for path in adapters]
    full = complete(described, command or _command(settings))
    return full, stage(folder, table, full)


def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Records as columns; an absent number is NaN, which the table leaves empty."""
    return {name: [math.nan if r[name] is None else r[name] for r in rows] for name in rows[0]}


def _command(settings: Config) -> str:
    return shlex.join(["rolora", "llm", "run", *settings.words("model", "task")])
