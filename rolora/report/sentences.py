"""What is said of a claim's controls and evidence, in every form of the report."""

from rolora.report.numbers import number, seconds
from rolora.verify.runner import Outcome
from verification.verdict import Verdict

OPEN = {Verdict.UNDECIDED: "What would decide", Verdict.NOT_RUN: "Missing"}
"""What stands before what an open verdict says."""


def control_sentence(outcome: Outcome) -> str:
    """How the negative control came out, in one sentence."""
    control = outcome.control
    if control is None:
        return "It did not run."
    if outcome.control_failed and control.counterexample:
        steps = sum(step.refuted for step in control.proof)
        numbers = sum(comparison.violated for comparison in control.comparisons)
        counts = {"proof step": steps, "comparison": numbers}
        by = " and ".join(f"{n} {word}{'s' * (n > 1)}" for word, n in counts.items() if n)
        return f"Refuted, as it must be, by {by}: {control.counterexample}."
    if control.verdict is Verdict.REFUTED:
        return (
            f"Its proof alone refutes it ({control.counterexample}), so these measurements cannot tell the"
            " claim from a false one."
        )
    if outcome.control_failed:
        return f"Open as the claim is, {control.verdict}: {control.missing}."
    return f"It came out {control.verdict}, so this check cannot tell the claim from a false one."


def positive_sentence(outcome: Outcome) -> str:
    """How the positive control came out, in one sentence."""
    control = outcome.positive
    if control is None:
        return "It did not run."
    if control.verdict.confirms:
        return f"Confirmed, as it must be: {control.verdict}."
    if outcome.positive_held:
        return f"Open as the claim is, {control.verdict}: {control.missing}."
    return (
        f"It came out {control.verdict}, so this check cannot tell a true statement from the claim."
    )


def evidence_sentence(outcome: Outcome) -> str:
    """Trials, error probability, detectable gap, seed and time of the check."""
    finding = outcome.finding
    assert finding is not None
    parts = []
    if finding.trials:
        parts.append(f"{finding.trials:,} trials")
    if finding.alpha is not None:
        parts.append(f"false-failure probability at most {number(finding.alpha)}")
    if finding.detectable is not None:
        parts.append(f"smallest detectable relative gap {number(finding.detectable, 2)}")
    if finding.seed is not None:
        parts.append(f"seed {finding.seed}")
    parts.append(f"{seconds(finding.seconds)} for the check")
    if outcome.control is not None:
        parts.append(f"{seconds(outcome.control.seconds)} for its negative control")
    text = ", ".join(parts) + "."
    return text[0].upper() + text[1:]
