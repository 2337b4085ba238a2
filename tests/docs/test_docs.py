"""The site: builds without a warning or a network, every link works, pages follow claims and code."""

import json
import re
import socket
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from docs import build, reference, theory_page
from rolora import cli
from rolora.report import readme
from rolora.verify import registry
from tests.support.pages import Page
from verification.claim import Claim
from verification.verdict import Verdict

KINDS = ("proved", "derived", "refuted", "open")
SHOWN = ("population-map", "plateau", "interference-identity")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    arguments = ["verify", "--quiet", "--out", str(folder)]
    for claim_id in SHOWN:
        arguments += ["--only", claim_id]
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 0
    return folder


@pytest.fixture(scope="module")
def site(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the site must build without a network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        assert build.build(folder, report) == []
    return folder


def _pages(site: Path) -> dict[Path, Page]:
    return {path.resolve(): Page(path.read_text("utf-8")) for path in site.rglob("*.html")}


def test_every_internal_link_leads_somewhere(site):
    pages = _pages(site)
    assert len(pages) > 12
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # served from any address, its links start at the root
            continue
        for _, link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link.startswith("data:"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target = target / "index.html"
            if not target.exists() or (
                parts.fragment
                and target in pages
                and unquote(parts.fragment) not in (*pages[target].ids, *pages[target].names)
            ):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_nothing_is_fetched_from_elsewhere(site):
    fetched = [
        f"{path.name}: {link}"
        for path, page in _pages(site).items()
        for tag, link in page.links
        if tag != "a" and urlsplit(link).scheme in ("http", "https")
    ]
    assert fetched == []


def test_the_theory_page_has_each_section_and_each_claim_once(site):
    text = (site / "theory.html").read_text("utf-8")
    for number in range(1, 15):
        assert re.search(rf'<h2 id="{number}-', text), number
    for entry in registry.entries():
        assert text.count(f'<h3 id="{entry.value.id}"') == 1, entry.value.id
    for claim_id in SHOWN:
        assert f"verify/figures/{claim_id}.svg" in text
    assert "<!-- claim" not in text


def test_sections_that_docstrings_cite_exist():
    root = build.ROOT
    page = (build.PAGES / "theory.md").read_text("utf-8")
    sections = set(re.findall(r"^## (\d+)\. ", page, re.MULTILINE))
    cited = set()
    for package in ("federated_lora", "theory", "linear_model", "nonlinear_model", "rolora"):
        for path in (root / package).rglob("*.py"):
            cited |= set(re.findall(r"theory\.md §(\d+)", path.read_text("utf-8")))
    assert cited <= sections


@pytest.mark.parametrize(
    ("places", "said"),
    [(["no-such-claim"], "unknown claim 'no-such-claim'"), (["plateau"] * 2, "two places")],
)
def test_a_place_for_no_claim_and_a_second_place_are_refused(places, said):
    text = "\n".join(f"<!-- claim: {claim_id} -->" for claim_id in places)
    claims = [entry.value for entry in registry.select(["plateau"])]
    with pytest.raises(ValueError, match=said):
        theory_page.fill(text, claims, {}, set())


def test_claims_without_a_place_come_last():
    claims: list[Claim] = [entry.value for entry in registry.entries()[:2]]
    text = theory_page.fill(
        f"<!-- claim: {claims[1].id} -->\n{theory_page.REST}", claims, {}, set()
    )
    assert text.index(claims[1].id) < text.index(f"{{#{claims[0].id}}}")


def test_the_command_line_page_lists_every_command_and_option():
    text = reference.command_line()
    for command in ("verify", "claims", "figures", "linear run", "nonlinear run", "llm run"):
        assert f"## `rolora {command}`\n" in text
    for option in ("--profile", "--reuse-data", "--simulator"):
        assert option in text


def test_a_page_with_a_warning_is_not_published(report, tmp_path, monkeypatch):
    def stage(folder: Path, _: Path) -> None:
        (folder / "index.md").write_text("# Home\n\n[nowhere](missing.md)\n", "utf-8")

    monkeypatch.setattr(build, "stage", stage)
    messages = build.build(tmp_path / "site", report)
    assert any("missing.md" in message for message in messages)
    assert not (tmp_path / "site").exists()


def test_a_missing_report_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must hold a report"):
        build.stage(tmp_path, tmp_path / "none")


def committed_rows() -> list[dict[str, Any]]:
    rows = json.loads((readme.ROOT / readme.VERDICTS).read_text("utf-8"))["claims"]
    assert isinstance(rows, list)
    return rows


def test_the_readme_is_current():
    assert readme.stale() == []


def test_the_readme_quotes_the_claims_there_are_with_the_verdicts_expected():
    rows = committed_rows()
    claims = [entry.value for entry in registry.entries()]
    assert [row["id"] for row in rows] == [claim.id for claim in claims]
    assert [row["expected"] for row in rows] == [str(claim.expected) for claim in claims]


def test_readme_and_site_count_what_the_committed_run_found():
    text = (readme.ROOT / "docs" / "report.md").read_text("utf-8")
    counts: dict[str, int] = {}
    for row in committed_rows():
        verdict = str(row["verdict"])
        assert re.search(rf"^\| `{row['id']}`: .* \| {verdict} \|", text, re.MULTILINE)
        kind = "open" if Verdict(verdict).open else verdict.lower().replace("_", " ")
        counts[kind] = counts.get(kind, 0) + 1
    for page in readme.VERDICT_PAGES:
        headline = (
            (readme.ROOT / page).read_text("utf-8").split("<!-- generated:headline -->\n**")[1]
        )
        told = re.findall(rf"(\d+) ({'|'.join(KINDS)})", headline.partition("**")[0])
        said = {kind: int(count) for count, kind in told}
        assert said == {kind: n for kind, n in counts.items() if kind in KINDS}


def test_a_report_of_some_claims_or_of_an_older_version_is_not_quoted(report, tmp_path):
    with pytest.raises(ValueError, match=rf"report of all \d+ claims, got {len(SHOWN)}"):
        readme.take(report, None, tmp_path)
    older = json.loads((report / "report.json").read_text("utf-8")) | {"schema_version": 1}
    (tmp_path / "report.json").write_text(json.dumps(older))
    with pytest.raises(ValueError, match="of version 2, got 1: run `rolora verify` again"):
        readme.take(tmp_path, None, tmp_path)
    assert not (tmp_path / readme.VERDICTS).exists()


def test_the_command_line_quotes_the_committed_run(capsys, monkeypatch):
    step = {"statement": "the limit exists", "because": "it does"}
    monkeypatch.setattr(readme, "committed", lambda _: {"verdict": "DERIVED", "argued": [step]})
    cli.app(["claims", "plateau"], standalone_mode=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert "committed run: DERIVED argued: the limit exists, because it does" in shown
    monkeypatch.undo()
    assert readme.committed("plateau")["verdict"] == next(
        row["verdict"] for row in committed_rows() if row["id"] == "plateau"
    )
    assert readme.committed("no-such-claim") == {}


def test_a_changed_number_makes_the_readme_stale(tmp_path):
    seen = {"relation": "=", "theory": 1, "measured": 1.5, "margin": 0.1, "holds": True}
    seen["standing"] = "equal"
    claim = {"id": "a", "title": "A", "verdict": "PROVED", "finding": {"comparisons": [seen]}}
    rows = {"headline": "One claim.", "details": ["Fine."], "claims": [claim]}
    rows |= {"profile": "full", "seed": 0}
    text = "x\n<!-- generated:rows -->\nold\n<!-- /generated:rows -->\ny\n"
    filled = readme.filled(text, rows)
    assert "| `a`: A | PROVED | = 1 | 1.5 | 0.1 |" in filled
    assert filled.startswith("x\n")
    assert filled.endswith("\ny\n")
    assert readme.filled(filled, rows) == filled
    seen["measured"] = 1.6
    assert readme.filled(filled, rows) != filled


def test_the_newcomers_path_is_as_written():
    root = build.ROOT
    words = (root / "README.md").read_text("utf-8")
    makefile = (root / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z]+)", words))
    assert {"verify", "test"} <= named <= targets
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", words):
        assert (root / link).exists(), link
    assert "notebooks" in words


def test_the_citation_names_the_version_of_the_project():
    project = tomllib.loads((build.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    cited = (build.ROOT / "CITATION.cff").read_text("utf-8")
    for field in ("version", "license"):
        assert re.findall(rf"^{field}: (.+)$", cited, re.MULTILINE) == [project[field]]


def test_the_page_of_seeds_and_kernels_has_the_committed_verdicts() -> None:
    text = (readme.ROOT / "docs" / "verdicts.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+) \| (\w+) \| yes \|$", text, re.MULTILINE)
    committed = {str(row["id"]): str(row["verdict"]) for row in committed_rows()}
    assert {name: seeds for name, seeds, _ in rows} == committed
    assert all(seeds == settings for _, seeds, settings in rows)
