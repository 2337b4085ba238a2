"""All files of a verification report, staged in one folder and published together."""

import json
import re
from pathlib import Path

from rolora.plotting import claim_plot
from rolora.report import proofs
from rolora.report.content import Report, as_json
from rolora.report.forms import as_html, as_markdown
from rolora.storage.output_folder import OutputFolder
from verification.codec import csv_text, json_text

_OURS = re.compile(r"(figures/[\w-]+\.svg|data/[\w-]+\.csv|proofs/[\w-]+(\.v|/[\w-]+\.smt2))")


def write(report: Report, folder: OutputFolder) -> str:
    """Write tables, pictures and the report in its three forms; its JSON text.

    Raises ValueError if something cannot be written; then nothing is left behind.
    """
    files: list[str] = []

    def stage(name: str, content: str | bytes) -> None:
        folder.write(name, content)
        files.append(name)

    for stem, table in report.tables().items():
        stage(f"data/{stem}.csv", csv_text(table.columns))
    for name, text in proofs.files(report.outcomes).items():
        stage(name, text)
    figures: dict[str, str] = {}
    for outcome in report.outcomes:
        if outcome.svg:
            name = f"figures/{outcome.claim.id}.svg"
            stage(name, claim_plot.standalone(outcome.svg))
            figures[outcome.claim.id] = name
    stage("report.html", as_html(report))
    stage("report.md", as_markdown(report, figures))
    text = json_text(as_json(report, [*files, "report.json"]))
    stage("report.json", text)
    folder.publish(remove=_left_over(folder.path, set(files)))
    return text


def _left_over(folder: Path, new: set[str]) -> tuple[str, ...]:
    """Pictures and tables that an earlier report in this folder says it wrote, and this one did not."""
    try:
        earlier = json.loads((folder / "report.json").read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return tuple(
        name
        for name in earlier
        if isinstance(name, str) and _OURS.fullmatch(name) and name not in new
    )
