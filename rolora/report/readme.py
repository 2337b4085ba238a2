"""Numbers and pictures that the README and the site quote: taken from results, never typed.

`python -m rolora.report.readme` fills README and site from the committed verdicts and tables
(`rolora/report/verdicts.json`, `docs/data/figures`); `--report DIR` and `--figures DIR` take new results
first (the report's first screen is pictured by a headless chromium where there is one); `--check` only says
whether all is current.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from rolora.report import methods
from rolora.report.content import SCHEMA_VERSION
from rolora.report.numbers import number
from verification import files
from verification.codec import json_text

ROOT = Path(__file__).resolve().parents[2]
VERDICTS = Path("rolora/report/verdicts.json")
"""Of the committed run; `rolora claims` quotes them too."""
TABLES = Path("docs/data/figures")
FLOORS = TABLES / "floors-per-method.csv"
PICTURES = Path("docs/images")
README = Path("README.md")
VERDICT_PAGES = (README, Path("docs/report.md"))
PAGES = (*VERDICT_PAGES, Path("docs/conformance.md"))
SCREEN = Path("docs/images/report.png")
SCREEN_OF = Path("docs/data/report-screen.json")
"""The report's headline at the time its first screen was pictured."""
SCREEN_SIZE = "1100,900"
SHOWN = ("step-size-phase", "theorem-tightness")
"""Figures the README may show, as `docs/images/NAME.png`."""


def read_report(folder: Path) -> dict[str, Any]:
    """The report.json in a folder; ValueError if there is none, or one of an older version of the toolkit."""
    try:
        content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        version = content["schema_version"]
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} must hold a report of `rolora verify`: {error}") from error
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"{folder} must hold a report of version {SCHEMA_VERSION}, got {version}: run `rolora verify`"
            " again"
        )
    return dict(content)


def committed(claim_id: str) -> dict[str, Any]:
    """The verdict of a claim in the committed run, and its argued steps; nothing of a claim not in it."""
    text = resources.files("rolora.report").joinpath(VERDICTS.name).read_text(encoding="utf-8")
    for claim in json.loads(text)["claims"]:
        if claim["id"] == claim_id:
            return {"verdict": claim["verdict"], "argued": claim["finding"].get("argued", [])}
    return {}


def rows_table(claims: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table with a row per claim: verdict, theory, measured, margin."""
    lines = ["| claim | verdict | theory | measured | margin |", "|---|---|---|---|---|"]
    for claim in claims:
        seen = _headline(claim["finding"])
        cells = (
            (
                f"{seen['relation']} {number(float(seen['theory']))}",
                number(float(seen["measured"])),
                number(float(seen["margin"]), 2),
            )
            if seen
            else ("", "", "")
        )
        title = claim["title"].replace("|", "\\|")
        lines.append(f"| `{claim['id']}`: {title} | {claim['verdict']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _headline(finding: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The comparison of `Finding.headline`, in a report."""
    seen: Sequence[Mapping[str, Any]] = finding["comparisons"] if finding else ()
    return min(seen, key=lambda c: (c["holds"], c.get("standing") == "undecided"), default=None)


def rows_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """What is quoted of a report: no seconds, no environment, nothing that varies."""
    kept = []
    for claim in report["claims"]:
        seen = _headline(claim["finding"])
        fields = ("relation", "theory", "measured", "margin", "holds", "standing")
        kept.append(
            {
                **{key: claim[key] for key in ("id", "title", "verdict", "expected")},
                "finding": {
                    "comparisons": [{key: seen[key] for key in fields}] if seen else [],
                    "argued": claim["finding"]["argued"] if claim["finding"] else [],
                },
            }
        )
    return {
        "headline": report["headline"],
        "details": report["details"],
        "profile": report["profile"],
        "seed": report["seed"],
        "claims": kept,
    }


def parts(rows: Mapping[str, Any]) -> dict[str, str]:
    """The generated parts of a page by the name of their marker."""
    return {
        "headline": f"**{rows['headline']}** {' '.join(rows['details'])}"
        f" (Profile `{rows['profile']}`, seed {rows['seed']}.)",
        "rows": rows_table(rows["claims"]),
        "methods": methods.methods_table(),
        "floors": methods.floors_table(ROOT / FLOORS),
        "cases": methods.cases_table(),
    }


def filled(text: str, rows: Mapping[str, Any]) -> str:
    """The text with the generated parts it has markers for."""
    for name, content in parts(rows).items():
        begin, end = f"<!-- generated:{name} -->\n", f"<!-- /generated:{name} -->"
        if begin in text:
            before, _, rest = text.partition(begin)
            text = before + begin + content + "\n" + rest[rest.index(end) :]
    return text


def expected_files(root: Path = ROOT) -> dict[Path, bytes]:
    """Every generated file of README and site as it should be, from the committed results.

    Raises ValueError if those cannot be read.
    """
    from rolora.plotting import files, registry

    try:
        rows = json.loads((root / VERDICTS).read_text(encoding="utf-8"))
        pages = {page: (root / page).read_text(encoding="utf-8") for page in PAGES}
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"the committed results must be readable: {error}") from error
    written = {page: filled(text, rows).encode() for page, text in pages.items()}
    for name in SHOWN:
        table = (root / TABLES / f"{name}.csv").read_text(encoding="utf-8")
        written[PICTURES / f"{name}.png"] = files.files(registry.load(name), table)[f"{name}.png"]
    return written


def stale(root: Path = ROOT) -> list[str]:
    """Generated files that differ from what the committed results give."""
    differing = [
        str(path)
        for path, content in expected_files(root).items()
        if not (root / path).exists() or not _same(path, (root / path).read_bytes(), content)
    ]
    rows = json.loads((root / VERDICTS).read_text(encoding="utf-8"))
    pictured = root / SCREEN_OF
    if not (root / SCREEN).exists() or not pictured.exists():
        return [*differing, str(SCREEN)]
    if json.loads(pictured.read_text(encoding="utf-8"))["headline"] != rows["headline"]:
        return [*differing, str(SCREEN)]
    return differing


def _same(path: Path, ours: bytes, theirs: bytes) -> bool:
    if ours == theirs or path.suffix != ".png":
        return ours == theirs
    # Another build of the font rasteriser may shift a shade: the same picture, not the same bytes.
    import io

    import numpy as np
    from matplotlib.image import imread

    one, two = (imread(io.BytesIO(content), format="png") for content in (ours, theirs))
    return one.shape == two.shape and float(np.mean(np.abs(one - two))) < 0.002


def take(report: Path | None, figures: Path | None, root: Path = ROOT) -> None:
    """Store what is quoted of new results; ValueError if they cannot be read, or the report lacks a claim."""
    try:
        if report is not None:
            content = read_report(report)
            if len(content["claims"]) < content["total_claims"]:
                raise ValueError(
                    f"{report} must be a report of all {content['total_claims']} claims, got"
                    f" {len(content['claims'])}"
                )
            files.write(root / VERDICTS, json_text(rows_of(content), indent=1))
        if figures is not None:
            for path in sorted(figures.glob("*.csv")):
                (root / TABLES).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, root / TABLES / path.name)
    except OSError as error:
        raise ValueError(f"cannot take results from {report or figures}: {error}") from error


def picture(report: Path, root: Path = ROOT) -> bool:
    """Picture the report's first screen with a headless browser, if there is one; whether that was done."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        return False
    headline = read_report(report)["headline"]
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary) / "screen.png"
        subprocess.run(
            [
                browser,
                *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *("--disable-background-networking", "--disable-component-update"),
                *("--disable-sync", "--hide-scrollbars", "--force-device-scale-factor=1"),
                f"--user-data-dir={temporary}/profile",
                f"--window-size={SCREEN_SIZE}",
                f"--screenshot={target}",
                (report / "report.html").resolve().as_uri(),
            ],
            check=False,
            capture_output=True,
            timeout=120,
        )
        if not target.exists():
            return False
        files.write(root / SCREEN, target.read_bytes())
    files.write(root / SCREEN_OF, json_text({"headline": headline}, indent=None))
    return True


def main(arguments: list[str] | None = None) -> int:
    """Fill, or with --check report; exit status 1 if something is stale."""
    parser = argparse.ArgumentParser(prog="python -m rolora.report.readme", description=__doc__)
    parser.add_argument("--report", type=Path, help="take numbers from this `rolora verify` folder")
    parser.add_argument(
        "--figures", type=Path, help="take tables from this `rolora figures` folder"
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    if not options.check:
        take(options.report, options.figures)
        if options.report is not None and not picture(options.report):
            print(f"{SCREEN} was not taken anew: no chromium on the path", file=sys.stderr)
        for path, content in expected_files().items():
            if not (ROOT / path).exists() or (ROOT / path).read_bytes() != content:
                files.write(ROOT / path, content)
    left = stale()
    for name in left:
        print(f"stale: {name}; run `make readme`", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
