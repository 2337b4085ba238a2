"""Build the site from the pages, a report and the code: `python -m docs.build`. Needs no network."""

import argparse
import json
import logging
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from docs import reference, theory_page
from verification.files import staged

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs"
TABLES = PAGES / "data" / "figures"
REPORT = ROOT / "results" / "verify"


def stage(folder: Path, report: Path) -> None:
    """Write every page of the site, its generated parts from a report's folder, into an empty folder.

    Raises ValueError if the report is missing or a page has a place for something unknown.
    """
    from rolora.report import readme
    from rolora.verify import registry

    content = readme.read_report(report)
    for path in sorted(PAGES.rglob("*")):
        if path.suffix in {".md", ".png", ".svg", ".css", ".yml"}:
            target = folder / path.relative_to(PAGES)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    (folder / "verify" / "figures").mkdir(parents=True)
    shutil.copyfile(report / "report.html", folder / "verify" / "report.html")
    rows = {row["id"]: row for row in content["claims"]}
    committed = json.loads((ROOT / readme.VERDICTS).read_text(encoding="utf-8"))["claims"]
    for row in committed:
        rows.get(row["id"], {})["committed"] = row["verdict"]
    pictures = set()
    for claim_id in rows:
        picture = report / "figures" / f"{claim_id}.svg"
        if picture.exists():
            shutil.copyfile(picture, folder / "verify" / "figures" / picture.name)
            pictures.add(claim_id)
    _rewrite(
        folder / "theory.md",
        lambda text: theory_page.fill(
            text, [entry.value for entry in registry.entries()], rows, pictures
        ),
    )
    _rewrite(folder / "notebooks.md", lambda text: insert(text, "notebooks", notebooks()))
    _rewrite(folder / "figures.md", lambda text: insert(text, "figures", _figures(folder)))
    pages = {"cli.md": reference.command_line(), **reference.api_pages(ROOT)}
    for name, text in pages.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def insert(text: str, name: str, content: str) -> str:
    """The text with what stands between a marker and its end replaced; ValueError unless it is there once."""
    pattern = re.compile(
        rf"(<!-- generated:{name} -->\n).*?(<!-- /generated:{name} -->)", re.DOTALL
    )
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"the text must have the marker generated:{name} exactly once")
    return pattern.sub(lambda match: f"{match[1]}{content.strip()}\n{match[2]}", text)


def notebooks() -> str:
    """The list of notebooks with their goals, from their first cells."""
    from notebooks.execute import notebook_of, sources

    blocks = []
    for source in sources():
        first = notebook_of(source).cells[0].source
        title, _, rest = first.partition("\n")
        goals = rest[rest.index("**After this notebook you can**") :]
        # The site sets no formulas in running text: a goal is plain words.
        blocks += [f"### {title.lstrip('# ')}", "", f"`notebooks/{source.stem}.ipynb`", ""]
        blocks += [
            goals.replace("**After", "After").replace("can**", "can:\n").replace("$", ""),
            "",
        ]
    return "\n".join(blocks)


def _rewrite(path: Path, change: Any) -> None:
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def _figures(folder: Path) -> str:
    from rolora.plotting import files, registry

    blocks = []
    for entry in registry.select(()):
        name, figure = entry.name, entry.value
        table = TABLES / f"{name}.csv"
        if not table.exists():
            continue
        drawn = files.files(figure, table.read_text(encoding="utf-8"))
        (folder / "images" / "figures").mkdir(parents=True, exist_ok=True)
        (folder / "images" / "figures" / f"{name}.png").write_bytes(drawn[f"{name}.png"])
        caption = theory_page.plain(drawn[f"{name}.caption.md"].decode())
        blocks += [
            f"## {figure.title} {{#{name}}}",
            "",
            f"![{figure.title}](images/figures/{name}.png)",
        ]
        blocks += ["", caption, "", f"`rolora figures {name}`", ""]
    return "\n".join(blocks)


class _Warnings(logging.Handler):
    """Counts what MkDocs and its plugins warn of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def build(site: Path, report: Path) -> list[str]:
    """Build the site; what it was warned of (nothing, if all is well).

    The site is made beside its place and moved there, so that a failed build leaves the old one.
    """
    from mkdocs.commands.build import build as mkdocs_build
    from mkdocs.config import load_config
    from mkdocs.exceptions import Abort

    handler = _Warnings()
    logger = logging.getLogger("mkdocs")
    logger.addHandler(handler)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            pages = Path(temporary) / "pages"
            pages.mkdir()
            stage(pages, report)
            made = Path(temporary) / "site"
            config = load_config(
                str(ROOT / "mkdocs.yml"), docs_dir=str(pages), site_dir=str(made), strict=False
            )
            try:
                mkdocs_build(config)
            except Abort as error:  # its reason was logged before
                handler.messages.append(str(error))
            # Not left to strict mode, which would stop before every warning has been said.
            if not handler.messages:
                with staged(site) as place:
                    shutil.copytree(made, place)
    finally:
        logger.removeHandler(handler)
    return handler.messages


def main(arguments: list[str] | None = None) -> int:
    """Build the site, deciding the claims first if there is no report; exit status 1 on a warning."""
    parser = argparse.ArgumentParser(prog="python -m docs.build", description=__doc__)
    parser.add_argument("--report", type=Path, default=REPORT, help="folder of `rolora verify`")
    parser.add_argument("--site", type=Path, default=ROOT / "site", help="folder for the site")
    options = parser.parse_args(arguments)
    if not (options.report / "report.json").exists():
        from rolora.cli import app

        app(["verify", "--out", str(options.report)], standalone_mode=False)
    warnings = build(options.site, options.report)
    for message in warnings:
        print(f"warning: {message}", file=sys.stderr)
    if warnings:
        print(f"{len(warnings)} warnings are errors: no site was written", file=sys.stderr)
        return 1
    print(f"Site: {options.site / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
