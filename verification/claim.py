"""A claim: a statement, its source, the one function that decides it and its control; and what states it."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from verification.budget import Budget
from verification.discovery import LAST, MissingExtraError, extras_named
from verification.evidence import Evidence as Evidence
from verification.evidence import between as between
from verification.finding import Finding
from verification.finding import Mark as Mark
from verification.finding import Plot as Plot
from verification.finding import Series as Series
from verification.verdict import Verdict as Verdict

OURS = "ours"
PAPER = "arXiv 2502.01755"

ELSEWHERE = (
    "at the claim's own parameters, since at those given no measurement tells it from the claim"
)
"""What a negative control says that had to leave the user's setting."""

Check = Callable[..., None]
"""`check(evidence, *, name=default, …)`: gathers evidence; its keywords are the user's parameters."""


@dataclass(frozen=True)
class Claim:
    """One statement to verify.

    Attributes:
        id: kebab-case name, the key on the command line and in reports.
        title: a few words.
        statement: the statement in plain words and symbols.
        latex: the same as LaTeX (no surrounding dollars).
        source: `ours`, or the paper with version and number.
        section: the chapter it belongs to.
        assumptions: everything the statement needs.
        expected: the verdict a correct toolkit reaches.
        confirms: the verdict if all evidence holds.
        function: gathers the evidence.
        mutant: values of its parameters that make the statement false: the negative control.
        says: what the mutant says, in words.
        control_at: parameters of the negative control that the user's own go before: where it tells best.
        positive: values that make the statement true, for a claim that expects REFUTED: the positive control.
        positive_says: what it says there, in words.
        exact: the exact result stated beside the paper's bound, in words ("" if the same).
        order: place in lists and reports.
    """

    id: str
    title: str
    statement: str
    latex: str
    source: str
    section: str
    assumptions: tuple[str, ...]
    expected: Verdict
    confirms: Verdict
    function: Check
    mutant: Mapping[str, Any]
    says: str
    control_at: Mapping[str, Any]
    exact: str
    order: int
    positive: Mapping[str, Any]
    positive_says: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-zA-Z0-9]+)*", self.id):
            raise ValueError(f"claim id must be kebab-case, got {self.id!r}")
        if not self.mutant:
            raise ValueError(
                f"claim {self.id} must have a mutant: a check that cannot fail decides nothing"
            )
        if self.expected.open or not self.confirms.confirms:
            raise ValueError(
                f"claim {self.id} must expect a verdict that decides, and confirm by one that does,"
                f" got {self.expected} and {self.confirms}"
            )
        if bool(self.positive) != bool(self.positive_says) or (
            self.expected is Verdict.REFUTED and not self.positive
        ):
            raise ValueError(
                f"claim {self.id} must have a positive control with its words: a check that only refutes"
                " decides nothing"
            )
        self.require_known([*self.mutant, *self.control_at, *self.positive])

    @property
    def module(self) -> str:
        """Name of the module that states it."""
        return self.function.__module__

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The check's parameters and their defaults, the claim's own setting."""
        found = list(inspect.signature(self.function).parameters.values())[1:]
        return MappingProxyType({p.name: p.default for p in found})

    def check(self, budget: Budget, **parameters: Any) -> Finding:
        """Decide the statement, at the user's own parameters if any are given.

        Raises:
            ValueError: on a parameter the check does not have, or a value it refuses.
        """
        self.require_known(parameters)
        evidence = Evidence(self.id, budget)
        try:
            with extras_named():
                self.function(evidence, **parameters)
        except MissingExtraError as error:
            evidence.not_run(str(error), command=f"rolora verify --only {self.id}")
        return evidence.conclude(self.confirms)

    __call__ = check

    def negative_control(self, budget: Budget, **parameters: Any) -> Finding:
        """The same check on the mutant of the statement; must come out REFUTED.

        Where the user's parameters leave mutant and statement alike in all that is measured, whatever the
        proof says, it is judged at the claim's own, and says so.
        """
        found = self.check(budget, **{**self.control_at, **parameters, **self.mutant})
        if not parameters or found.measured_false or found.verdict is Verdict.NOT_RUN:
            return found
        own = self.check(budget, **{**self.control_at, **self.mutant})
        if not own.measured_false:
            return found
        return replace(own, counterexample=f"{ELSEWHERE}: {own.counterexample}")

    def positive_control(self, budget: Budget, **parameters: Any) -> Finding:
        """The same check where the statement is true; must confirm it."""
        return self.check(budget, **{**parameters, **self.positive})

    def require_known(self, given: Iterable[str]) -> None:
        """Raise ValueError for a name that is no parameter of the check."""
        known = self.parameters
        for name in given:
            if name not in known:
                allowed = ", ".join(known) or "none"
                raise ValueError(f"claim {self.id} has no parameter {name!r}; it has: {allowed}")


def claim(
    id: str,
    title: str,
    *,
    statement: str,
    latex: str,
    source: str,
    assumptions: tuple[str, ...],
    expected: Verdict,
    mutant: Mapping[str, Any],
    says: str,
    control_at: Mapping[str, Any] | None = None,
    exact: str = "",
    section: str = "",
    confirms: Verdict | None = None,
    order: int = LAST,
    positive: Mapping[str, Any] | None = None,
    positive_says: str = "",
) -> Callable[[Check], Claim]:
    """Make a claim of the function that gathers its evidence. Fields as in `Claim`.

    Args:
        section: the chapter; that of the file's folder if not given.
        confirms: the verdict if all evidence holds; None for `expected`.
    """

    def make(function: Check) -> Claim:
        folder = function.__module__.split(".")[-2:][0].replace("_", "-")
        return Claim(
            id, title, statement, latex, source, section or folder, assumptions, expected,
            confirms or expected, function, MappingProxyType(dict(mutant)), says,
            MappingProxyType(dict(control_at or {})), exact, order, MappingProxyType(dict(positive or {})),
            positive_says,
        )  # fmt: skip

    return make
