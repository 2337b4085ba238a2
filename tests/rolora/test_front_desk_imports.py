"""What the front desk loads, and when."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "scipy", "sympy", "matplotlib", "torch", "transformers", "joblib", "jinja2")


def loaded(code: str, names: tuple[str, ...]) -> str:
    script = f"{code}\nimport sys\nprint([m for m in {names!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("module", ["rolora", "rolora.cli"])
def test_the_command_line_loads_nothing_heavy_before_a_command_runs(module):
    assert loaded(f"import {module}", HEAVY) == "[]"


def test_listing_and_checking_the_linear_theory_never_loads_torch(tmp_path):
    code = (
        "from rolora import cli\n"
        "for words in (['claims'], ['verify', '--only', 'population-map', '--out', "
        f"{str(tmp_path)!r}], ['linear', 'run', '--trials', '2', '--rounds', '2', '--out', "
        f"{str(tmp_path)!r}]):\n"
        "    try:\n"
        "        cli.main(words)\n"
        "    except SystemExit as stop:\n"
        "        assert not stop.code, stop.code\n"
    )
    assert loaded(code, ("torch", "transformers")) == "[]"
