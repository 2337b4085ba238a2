"""A file in a folder is its registration; so is an entry point, or `module:name` from outside."""

import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest

from verification import discovery
from verification.discovery import Catalogue, MissingExtraError, extras_named


@dataclass(frozen=True)
class Thing:
    name: str
    order: int = 100


def source(name, order=100):
    return f"from {__name__} import Thing\nONE = Thing({name!r}, {order})\n"


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """A house with three things in two floors, found from an otherwise empty current folder."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Thing.__module__])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    before = set(sys.modules)
    write = {
        "house/__init__.py": "",
        "house/b.py": source("zebra", 1),
        "house/a.py": source("ant", 2) + "from house.attic.c import ONE as again\n",
        "house/attic/__init__.py": "",
        "house/attic/c.py": source("cat", 2),
        "mine.py": source("dog") + "other = 3\n",
        "broken.py": "\nprint(missing)\n",
        "unspelt.py": "def (:\n",
        "needy.py": "import no_such_library\n",
        "taken.py": source("ant"),
    }
    for name, text in write.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    discovery._offered.cache_clear()
    yield Catalogue("thing", ("house",), "rolora.things", lambda value: isinstance(value, Thing))
    discovery._offered.cache_clear()
    for name in set(sys.modules) - before:
        del sys.modules[name]


def names(entries):
    return [one.name for one in entries]


def offer(monkeypatch, value):
    point = EntryPoint("any", value, "rolora.things")
    monkeypatch.setattr(
        discovery, "entry_points", lambda group: [point] if group == point.group else []
    )


def test_files_in_the_folder_are_found_in_the_order_they_state(catalogue):
    assert names(catalogue.entries()) == ["zebra", "ant", "cat"]
    assert catalogue.named("zebra").place == "house.b:ONE"
    assert names(catalogue.entries(["mine"])) == ["zebra", "ant", "cat", "dog"]


def test_one_from_outside_is_named_by_its_place(catalogue):
    found = catalogue.named("mine:ONE")
    assert (found.name, found.place) == ("dog", "mine:ONE")


def test_packages_of_others_offer_theirs_by_an_entry_point(catalogue, monkeypatch):
    offer(monkeypatch, "mine:ONE")
    assert catalogue.named("dog").place == "mine:ONE"
    assert catalogue.named("mine:ONE").name == "dog"  # itself is no second one of its name


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("zebro", "thing must be one of zebra, ant, cat, got 'zebro'; did you mean 'zebra'?"),
        ("mine:other", "module mine holds no thing 'other'"),
        ("mine:TWO", "module mine holds no thing 'TWO'"),
        ("absent:ONE", "there is no module 'absent', neither installed nor in "),
        ("broken:ONE", r"module broken cannot be imported: NameError: .*broken.py, line 2\)"),
        ("unspelt:ONE", "module unspelt cannot be imported: SyntaxError"),
        ("needy:ONE", "module needy cannot be imported: ModuleNotFoundError: .*no_such_library"),
        ("taken:ONE", "names must be unique, got 'ant' from both house.a:ONE and taken:ONE"),
    ],
)
def test_what_cannot_be_had_is_told_in_a_sentence(catalogue, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        catalogue.named(name)


def test_a_broken_file_in_a_folder_is_named(catalogue, tmp_path):
    (tmp_path / "house" / "d.py").write_text("1 / 0\n", "utf-8")
    with pytest.raises(ValueError, match=r"module house.d cannot be imported: ZeroDivisionError"):
        catalogue.entries()


@pytest.mark.parametrize(
    ("module", "raised"),
    [("torch.nn", MissingExtraError), ("sklearn", ValueError), ("elsewhere", ImportError)],
)
def test_only_an_extras_package_is_named(module, raised):
    with pytest.raises(raised) as told, extras_named():
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert ("pip install 'rolora-verify[nonlinear]'" in str(told.value)) == (module != "elsewhere")
