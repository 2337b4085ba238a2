"""A claim: a statement, where it comes from, and the two checks that decide it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from verification.budget import Budget
from verification.finding import Finding
from verification.verdict import Verdict

OURS = "ours"
PAPER = "arXiv 2502.01755"


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement to verify.

    Attributes:
        id: kebab-case name, the key on the command line and in reports.
        title: a few words.
        statement: the statement in plain words and symbols.
        latex: the same as LaTeX (no surrounding dollars).
        source: `ours`, or the paper with version and number.
        assumptions: everything the statement needs.
        expected: the verdict a correct toolkit reaches.
        check: decides the statement.
        negative_control: runs the same check on a mutant of the statement; must come out REFUTED.
        control: what the mutant says, in words.
        exact: the exact result stated beside the paper's bound, in words ("" if the same).
    """

    id: str
    title: str
    statement: str
    latex: str
    source: str
    assumptions: tuple[str, ...]
    expected: Verdict
    check: Callable[[Budget], Finding]
    negative_control: Callable[[Budget], Finding]
    control: str
    exact: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-zA-Z0-9]+)*", self.id):
            raise ValueError(f"claim id must be kebab-case, got {self.id!r}")
