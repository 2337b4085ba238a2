"""What the how-to pages tell a contributor to write, a folder to write it into, and a page of HTML read."""

import re
import sys
from html.parser import HTMLParser

import pytest

from docs import build


def block(page, number=0, language="python"):
    """One of a page's listings."""
    text = (build.PAGES / "how-to" / page).read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[number]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


class Page(HTMLParser):
    """Tags, identifiers and links of a page of HTML, and where its tags do not nest."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})
    LINKS = frozenset({"href", "src", "xlink:href", "action", "data"})

    def __init__(self, text):
        super().__init__()
        self.stack, self.astray, self.tags, self.ids, self.names, self.links = (
            [] for _ in range(6)
        )
        self.feed(text)
        self.close()
        self.astray += self.stack

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        self.names += [value for name, value in attributes if name == "name"]
        self.links += [(tag, value) for name, value in attributes if name in self.LINKS and value]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        if self.stack[-1:] == [tag]:
            self.stack.pop()
        else:
            self.astray.append(tag)
