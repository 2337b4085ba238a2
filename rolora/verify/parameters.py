"""A claim at the user's own parameters, from the command line or from Python."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from rolora.verify import registry
from verification.budget import Budget, Profile
from verification.claim import Claim
from verification.finding import Finding
from verification.names import one_of

TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found at some parameters: measured and theoretical value of its headline, NaN if none."""

    measured: float
    theory: float
    finding: Finding

    def __repr__(self) -> str:
        seen = self.finding.headline
        told = (
            f"{seen.quantity}: {self.measured:.6g} {seen.relation} {self.theory:.6g}"
            if seen
            else ""
        )
        return f"<{self.finding.verdict}{': ' * bool(told)}{told}>"


def check(
    claim_id: str,
    *,
    profile: str = "quick",
    seed: int = 0,
    claims: Sequence[str] = (),
    **parameters: Any,
) -> Checked:
    """Decide one claim, at the user's own parameters.

    Args:
        claim_id: key of the claim, as `rolora claims` lists it.
        profile: `quick` or `full`.
        seed: root of all randomness, a non-negative integer.
        claims: further modules that state claims.
        parameters: values for the check's parameters.

    Raises:
        ValueError: on an unknown claim, profile or parameter, or a value the check refuses.
    """
    chosen = Profile(one_of("profile", profile, [str(p) for p in Profile]))
    (entry,) = registry.select([claim_id], claims)
    finding = entry.value.check(Budget(chosen, seed), **parameters)
    seen = finding.headline
    missing = float("nan")
    return Checked(seen.measured if seen else missing, seen.theory if seen else missing, finding)


def read(words: Iterable[str], claims: Sequence[Claim]) -> dict[str, Any]:
    """Values of `NAME=VALUE` words, each in the type of the parameter's default.

    Raises ValueError on a word of another form, a name not every selected claim has, or no such value.
    """
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise ValueError(f"--set must be NAME=VALUE, got {word!r}")
        for claim in claims:
            claim.require_known([name])
            found[name] = _value(f"--set {name}", text, claim.parameters[name])
    return found


def _value(option: str, text: str, default: Any) -> Any:
    if isinstance(default, tuple):
        like = default[0] if default else 0.0
        return tuple(_value(option, part, like) for part in text.split(","))
    if isinstance(default, bool):
        if text.lower() not in TRUTH:
            raise ValueError(f"{option} must be true or false, got {text!r}")
        return TRUTH[text.lower()]
    if isinstance(default, str):
        return text
    return _number(option, text, default)


def _number(option: str, text: str, default: Any) -> Any:
    from sympy import Basic, Rational

    # Not sympify: it evaluates what it is given.
    kind = Rational if isinstance(default, Basic) else int if isinstance(default, int) else float
    try:
        value = kind(text)
    except (TypeError, ValueError) as error:
        whole = "a whole number" if kind is int else "a number"
        raise ValueError(f"{option} must be {whole}, got {text!r}") from error
    if kind is float and not isfinite(value):
        raise ValueError(f"{option} must be finite, got {text!r}")
    return value
