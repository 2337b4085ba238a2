"""Files and folders that are there whole or not at all."""

import os

import pytest

from verification.codec import columns_of, csv_text, json_text
from verification.files import staged, write


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", ["σ", b"\x00\xff"])
def test_a_file_takes_the_place_of_an_older_one(tmp_path, content):
    path = tmp_path / "deep" / "file"
    for _ in range(2):
        write(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(tmp_path / "deep") == ["file"]


def test_a_folder_takes_the_place_of_an_older_one_whole(tmp_path):
    for name in ("one", "two"):
        with staged(tmp_path / "folder") as place:
            (place / "deep").mkdir(parents=True)
            (place / "deep" / name).write_text(name)
    assert names(tmp_path) == ["folder"]
    assert names(tmp_path / "folder" / "deep") == ["two"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("folder", [False, True])
def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch, failing, folder):
    path = tmp_path / "old"
    (path.mkdir if folder else path.touch)()
    put = os.replace

    def fail(source, target=None):
        if target is None or (os.fspath(target) == os.fspath(path) and ".tmp" in os.fspath(source)):
            raise OSError(28, "No space left on device")
        put(source, target)

    def attempt():
        with staged(path) as place:
            if folder:
                place.mkdir()
            (place / "file" if folder else place).write_text("new")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(ValueError, match=r"old cannot be written: No space"):
        attempt()
    assert names(tmp_path) == ["old"]
    assert names(path) == [] if folder else path.read_bytes() == b""


def test_what_another_error_interrupts_is_not_put_in_place(tmp_path):
    def attempt():
        with staged(tmp_path / "file") as place:
            place.write_text("half")
            raise KeyError("stop")

    with pytest.raises(KeyError):
        attempt()
    assert names(tmp_path) == []


def test_records_as_columns_and_json_by_name():
    rows = [{"b": 0.1, "a": None}, {"b": 1 / 3, "c": True}]
    assert csv_text(columns_of(rows)) == "b,a,c\n0.1,,\n0.3333333333333333,,True\n"
    assert json_text({"b": 1, "a": 2}, indent=None, by_name=True) == '{"a": 2, "b": 1}\n'
