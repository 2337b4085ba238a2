"""Checkpoints: whole or not at all, the newest sound one of the same run."""

import json
import math
import os
from dataclasses import replace

import pytest
import torch

from federation import checkpoint
from federation.checkpoint import STATE, TENSORS, Checkpoint

RUN = {"learning_rate": 0.1, "layers": ("q", "v"), "data": "abc"}


def state(round):
    shared = torch.arange(6.0).reshape(2, 3) + round
    tensors = {"A": shared, "B": shared.T, "steps": torch.tensor(3.0, dtype=torch.float64)}
    rows = [{"round": t, "loss": math.nan if t else 1 / 3, "note": None} for t in range(round + 1)]
    return Checkpoint(round, tensors, rows, {"visits": {"7": round}})


def fill(folder, *rounds):
    for number in rounds:
        checkpoint.write(folder, RUN, state(number))


def same(found, wanted):
    assert found.round == wanted.round
    assert repr(found.rows) == repr(wanted.rows)
    assert found.values == wanted.values
    assert found.tensors.keys() == wanted.tensors.keys()
    for name, value in wanted.tensors.items():
        assert torch.equal(found.tensors[name], value)
        assert found.tensors[name].dtype == value.dtype


def test_what_was_written_is_read_to_the_bit_and_two_are_kept(tmp_path):
    assert checkpoint.read(tmp_path / "none", RUN) is None
    (tmp_path / ".round-000002.999.tmp").mkdir()  # what a killed process was writing
    fill(tmp_path, 1, 2, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["round-000002", "round-000003"]
    found = checkpoint.read(tmp_path, RUN)
    same(found, state(3))
    assert found.warning == ""
    checkpoint.forget(tmp_path)
    assert checkpoint.read(tmp_path, RUN) is None


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGE = {
    "tensors truncated": (TENSORS, lambda content: content[:-7], "truncated or corrupt"),
    "tensors flipped": (TENSORS, lambda content: flipped(content, -2), "truncated or corrupt"),
    "tensors empty": (TENSORS, lambda content: b"", "truncated or corrupt"),
    "tensors gone": (TENSORS, None, "tensors.safetensors cannot be read"),
    "a number changed": (STATE, lambda content: content.replace(b"0.33", b"0.34"), "corrupt"),
    "no mapping": (STATE, lambda content: b"[]", "lacks its format"),
    "half a state": (STATE, lambda content: content[:40], "is no JSON"),
    "no text": (STATE, lambda content: b"\xff\xfe", "is no JSON"),
    "only a format": (STATE, lambda content: b'{"format": 2}', "corrupt"),
    "state gone": (STATE, None, "is no JSON"),
}


@pytest.mark.parametrize(("name", "harm", "said"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_and_that_is_said(tmp_path, name, harm, said):
    fill(tmp_path, 1, 2)
    for number in (2, 1):
        path = tmp_path / f"round-{number:06d}" / name
        path.write_bytes(harm(path.read_bytes())) if harm else path.unlink()
        if number == 2:
            found = checkpoint.read(tmp_path, RUN)
            same(replace(found, warning=""), state(1))
            assert said in found.warning
            assert found.warning.endswith("; went on from round-000001")
    with pytest.raises(ValueError, match=rf"round-000002 is damaged.*{said}.*round-000001.*delete"):
        checkpoint.read(tmp_path, RUN)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"learning_rate": 0.2}, r"its learning_rate is 0\.1, this run's is 0\.2; choose"),
        ({"data": "xyz"}, "its data is 'abc', this run's is 'xyz'"),
        ({"layers": ("q",)}, r"its layers is \['q', 'v'\], this run's is \['q'\]"),
        ({"clip": 1.0}, r"its clip is None, this run's is 1\.0"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, other, said):
    fill(tmp_path, 1)
    with pytest.raises(ValueError, match=rf"round-000001 belongs to another run: {said}"):
        checkpoint.read(tmp_path, RUN | other)


def test_an_older_layout_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "checkpoint.previous.safetensors").touch()
    said = "has format 1, this version reads 2: finish that run with the version that began it"
    with pytest.raises(ValueError, match=said):
        checkpoint.read(tmp_path, RUN)
    checkpoint.forget(tmp_path)
    fill(tmp_path, 1)
    path = tmp_path / "round-000001" / STATE
    path.write_text(json.dumps({"schema": 1, "fingerprint": "abc"}))
    with pytest.raises(ValueError, match=said):
        checkpoint.read(tmp_path, RUN)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_sound_checkpoint(tmp_path, monkeypatch, failing):
    fill(tmp_path, 1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(ValueError, match="round-000002 cannot be written: No space"):
        fill(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["round-000001"]
    same(checkpoint.read(tmp_path, RUN), state(1))
