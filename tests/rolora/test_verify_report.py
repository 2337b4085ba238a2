"""The forms of the report that `rolora verify` writes: whole, from nowhere else, without machine paths."""

import re
from pathlib import Path

from rolora_helpers import files

from tests.support.pages import Page


def test_a_second_run_replaces_its_own_files_and_leaves_others_alone(verify, tmp_path):
    verify("good")
    (tmp_path / "figures" / "mine.svg").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    assert verify("good", "fake-grid")[0] == 0
    assert files(tmp_path) == {
        "report.json", "report.md", "report.html", "notes.txt",
        "figures/fake-grid.svg", "figures/mine.svg", "data/fake-grid.csv",
    }  # fmt: skip


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(verify, tmp_path):
    fake = "proved mean grid missing false surprise fine"
    only = [*(f"fake-{name}" for name in fake.split()), "population-map"]
    verify("good surprising theory.population", *only)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert page.astray == []
    assert len(page.ids) == len(set(page.ids))
    within = [link for _, link in page.links if not link.startswith("data:image/png;base64,")]
    assert all(link.startswith("#") for link in within)
    assert {link[1:] for link in within} <= set(page.ids)
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    for claim_id in ("fake-mean", "population-map"):
        assert claim_id in page.ids
    assert "Of 8 claims, 3 proved" in html.split("</header>")[0]
    assert str(tmp_path) not in html
    assert str(Path(__file__).parents[2]) not in html


def test_markdown_has_a_row_and_a_section_per_claim(verify, tmp_path):
    verify("good")
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\| \[fake-", text, re.MULTILINE)) == 5
    assert len(re.findall(r"^## fake-", text, re.MULTILINE)) == 5
    assert "](figures/fake-mean.svg)" in text
    assert "the mean is exactly 1" in text


def test_no_machine_paths_in_any_form_of_the_report(verify, tmp_path):
    (tmp_path / "sets").mkdir()
    verify("good", "--data-dir", tmp_path / "sets")
    for name in ("report.json", "report.md", "report.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "--data-dir sets" in text
        assert str(tmp_path) not in text
        assert str(Path.home()) + "/" not in text
