"""Tests and `rolora verify` under other kernels of this machine; exit status 1 on a difference.

Each setting makes the libraries sum in another order, as another CPU would: torch's own kernels, oneDNN's,
MKL's (torch's products of matrices) and OpenBLAS's (numpy's), and the number of threads.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from numpy._core._multiarray_umath import __cpu_features__ as FEATURES  # noqa: N812

ROOT = Path(__file__).parents[2]
SETTINGS: tuple[tuple[dict[str, str], str], ...] = (
    ({}, ""),
    ({"ATEN_CPU_CAPABILITY": "default"}, ""),
    ({"ATEN_CPU_CAPABILITY": "avx2"}, "AVX512F"),
    ({"ATEN_CPU_CAPABILITY": "avx512"}, "AVX512F"),
    ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, ""),
    ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, "AVX512F"),
    ({"MKL_CBWR": "COMPATIBLE"}, ""),
    ({"OPENBLAS_CORETYPE": "Prescott"}, ""),
    ({"OPENBLAS_CORETYPE": "Haswell"}, "AVX512F"),
    ({"OPENBLAS_CORETYPE": "Zen"}, "AVX512F"),
    ({"OPENBLAS_CORETYPE": "SkylakeX"}, "AVX512_SKX"),
    ({"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}, ""),
    ({"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Prescott",
      "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}, ""),
)  # fmt: skip
"""What is set, and what a CPU must have for it to change anything: without, those kernels run anyway."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

Verdicts = dict[str, tuple[str, bool]]
"""Claim id to the verdict of its check, and whether its negative control failed as it must."""


def text_of(setting: Mapping[str, str]) -> str:
    """A setting in words."""
    return " ".join(f"{name}={value}" for name, value in setting.items()) or "as it is"


def can_show(needs: str) -> bool:
    """Whether this CPU has what a setting needs."""
    return not needs or bool(FEATURES[needs])


def verdicts(
    environment: Mapping[str, str], jobs: int, out: Path, more: Sequence[str] = ()
) -> tuple[Verdicts, str]:
    """The verdicts, those of the quick profile without `more`, and what `verify` says of itself."""
    words = [
        "verify",
        "--json",
        "--allow-open",
        "--jobs",
        str(jobs),
        *more,
        "--out",
        str(out.resolve()),
    ]
    code = "from rolora.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in (0, 1):
        return {}, done.stderr.strip().rsplit("\n", 1)[-1]
    claims = json.loads(done.stdout)["claims"]
    found = {c["id"]: (str(c["verdict"]), c["negative_control_failed"]) for c in claims}
    return found, f"{len(claims)} verdicts" + (", some not as expected" if done.returncode else "")


def tests(environment: Mapping[str, str], words: list[str]) -> str:
    """The last line of pytest, which says how many passed; "failed" or "error" stand in it otherwise."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]]
    named = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    status = "" if done.returncode == 0 else f"status {done.returncode}: "
    return "\n    ".join([status + lines[-1], *named])


def main() -> int:
    """Run every setting this CPU can; 0 if all tests pass and all verdicts are equal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="workers of verify")
    parser.add_argument("--only", default="", help="only settings whose text holds this")
    parser.add_argument("--no-verify", action="store_true", help="tests only")
    parser.add_argument("--no-tests", action="store_true", help="verify only")
    parser.epilog = "All other words go to pytest; without any, all tests run."
    asked, words = parser.parse_known_args()
    first: Verdicts | None = None
    sound = True
    for setting, needs in SETTINGS:
        text = text_of(setting)
        if asked.only not in text and (setting or asked.no_verify):
            continue
        if not can_show(needs):
            print(f"{text}\n    left out: this CPU has no {needs}", flush=True)
            continue
        environment = {**os.environ, **ONE_THREAD, **setting}
        print(text, flush=True)
        start = time.monotonic()
        if not asked.no_tests:
            said = tests(environment, words)
            sound &= not said.startswith("status")
            print(f"    tests: {said}", flush=True)
        if not asked.no_verify:
            with tempfile.TemporaryDirectory() as folder:
                found, said = verdicts(environment, asked.jobs, Path(folder, "v"))
            first = found if first is None else first
            pairs = {claim: (first.get(claim), found.get(claim)) for claim in first | found}
            differ = [f"{name} {one} → {two}" for name, (one, two) in pairs.items() if one != two]
            sound &= bool(found) and not differ and "not as expected" not in said
            print("\n    ".join([f"    verify: {said}", *differ]), flush=True)
        print(f"    {time.monotonic() - start:.0f} s", flush=True)
    print("all equal" if sound else "DIFFERENT, see above")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
