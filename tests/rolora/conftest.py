"""Makes the fake claims and helpers in tests/support importable, in worker processes too."""

import errno
import os
import sys
from pathlib import Path

import pytest

from rolora.verify import registry

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))


@pytest.fixture
def verify(monkeypatch, capsys, tmp_path):
    """`rolora verify` on sets of claims, into a folder: exit status, standard output and errors."""
    import fake_claims
    import rolora_helpers

    def call(sets, *words, into=tmp_path):
        monkeypatch.setattr(registry, "SOURCES", fake_claims.sources(*sets.split()))
        return rolora_helpers.run(capsys, "verify", "--out", into, *words)

    return call


@pytest.fixture
def fill_disk(monkeypatch):
    """Makes the disk full in the middle of a file of this name."""

    def full_at(name):
        write = Path.write_bytes

        def fill(path, content):
            if path.name == name:
                write(path, content[:10])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(path, content)

        monkeypatch.setattr(Path, "write_bytes", fill)

    return full_at
