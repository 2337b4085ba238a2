"""Compile the Coq files of a report: `python -m rolora.verify.certify DIR`.

Exit status 0: every lemma expected to compile does, or there is no `coqc`; 1: some do not; 2: no such report.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from verification.proof.coq import CERTAIN, ENCLOSED, ENCLOSURES, HOPED, PREAMBLE

MISSING = (
    "not compiled, for coqc is missing (Debian: apt-get install coq); "
    "the .smt2 files beside them need only an SMT solver."
)
WITHOUT_INTERVAL = (
    "not compiled, for Coq's Interval is missing (Debian: apt-get install libcoq-interval)."
)
_LEMMA = re.compile(rf"^\(\* ({CERTAIN}|{HOPED}|{ENCLOSED}) \*\)\n(?:.*\n)*?.*Qed\.$", re.MULTILINE)
_COMMENT = re.compile(r"^\(\* (\d+)\. (.*) \*\)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Lemma:
    """One lemma of a file: its claim, the number and statement of its step, and what Coq is given.

    The text is statement and proof, with the comment that says whether it should compile.
    """

    claim: str
    step: str
    text: str

    @property
    def body(self) -> str:
        """The text without the name, so that the same lemma of two claims is compiled once."""
        return re.sub(r"Lemma \w+", "Lemma it", self.text)

    @property
    def expected(self) -> bool:
        """Whether it must compile."""
        return not self.text.startswith(f"(* {HOPED} *)")

    @property
    def enclosed(self) -> bool:
        """Whether it is proved by interval arithmetic, which needs a library of its own."""
        return self.text.startswith(f"(* {ENCLOSED} *)")


def lemmas(folder: Path) -> list[Lemma]:
    """Every lemma of the report's `proofs/*.v`; ValueError if there are none."""
    found = []
    for path in sorted(folder.glob("proofs/*.v")):
        text = path.read_text(encoding="utf-8")
        steps = [(m.start(), f"{m[1]}. {m[2]}") for m in _COMMENT.finditer(text)]
        for match in _LEMMA.finditer(text):
            step = next((words for start, words in reversed(steps) if start < match.start()), "")
            found.append(Lemma(path.stem, step, match[0]))
    if not found:
        raise ValueError(
            f"DIR must hold a report with proofs/*.v, got {folder}: run rolora verify first"
        )
    return found


def failing(chosen: Sequence[Lemma], coqc: str, preamble: str = PREAMBLE) -> dict[str, str]:
    """The bodies that do not compile, with Coq's last words.

    What stands before a failing lemma has compiled; Coq goes on behind it.
    """
    failed: dict[str, str] = {}
    left = list(dict.fromkeys(lemma.body for lemma in chosen))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lemmas.v"
        while left:
            text, ends = preamble, []
            for index, body in enumerate(left):
                text += body.replace("Lemma it ", f"Lemma l{index} ") + "\n"
                ends.append(text.count("\n"))
            path.write_text(text, encoding="utf-8")
            ran = subprocess.run([coqc, path.name], cwd=folder, capture_output=True, text=True)
            if ran.returncode == 0:
                break
            line = re.search(r"line (\d+)", ran.stderr)
            if line is None or int(line[1]) <= preamble.count("\n"):
                raise ChildProcessError(f"coqc stopped: {ran.stderr.strip()[-300:]}")
            at = next(index for index, end in enumerate(ends) if int(line[1]) <= end)
            failed[left[at]] = " ".join(ran.stderr.split())[-120:]
            left = left[at + 1 :]
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile, and say of every lemma that does not whether it was expected to."""
    parser = argparse.ArgumentParser(prog="certify", description=__doc__)
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder of a report")
    parser.add_argument("--jobs", type=int, default=1, help="processes of coqc")
    given = parser.parse_args(arguments)
    try:
        found = lemmas(given.folder)
    except ValueError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    coqc = shutil.which("coqc")
    if coqc is None:
        print(f"{len(found)} lemmas {MISSING}")
        return 0
    start = time.perf_counter()
    plain = [lemma for lemma in found if not lemma.enclosed]
    parts = [plain[place :: given.jobs] for place in range(given.jobs)]
    with ThreadPoolExecutor(given.jobs) as pool:
        failed = dict(
            chain.from_iterable(one.items() for one in pool.map(partial(failing, coqc=coqc), parts))
        )
    enclosed = [lemma for lemma in found if lemma.enclosed]
    try:
        failed |= failing(enclosed, coqc, PREAMBLE + ENCLOSURES)
    except ChildProcessError:
        print(f"{len(enclosed)} lemmas {WITHOUT_INTERVAL}")
        found = plain
    wrong = [lemma for lemma in found if lemma.body in failed]
    for lemma in wrong:
        word = "FAILS" if lemma.expected else "not proved by its tactics"
        print(f"{lemma.claim}, step {lemma.step}: {word}: {failed[lemma.body]}")
    broken = sum(lemma.expected for lemma in wrong)
    print(
        f"{len(found) - len(wrong)} of {len(found)} lemmas compile ({broken} of those expected to do not),"
        f" {time.perf_counter() - start:.0f} s."
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
