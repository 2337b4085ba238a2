"""The report as Markdown."""

from rolora.report.content import Report, measured_text, summary_row, theory_text
from rolora.report.numbers import number, seconds
from rolora.report.proofs import opinions_text
from rolora.verify.runner import Outcome
from verification.finding import Finding
from verification.verdict import Verdict

OPEN = {Verdict.UNDECIDED: "What would decide", Verdict.NOT_RUN: "Missing"}
"""What stands before what an open verdict says."""


def as_markdown(report: Report, figures: dict[str, str]) -> str:
    """The whole report as one Markdown text.

    Args:
        report: the run.
        figures: path of the picture, relative to the report, by claim id.
    """
    lines = [
        "# Verification of the RoLoRA theory",
        "",
        f"**{report.headline}** {' '.join(report.details)}",
        "",
        f"Profile `{report.profile}`, seed {report.seed}, {seconds(report.seconds)}; "
        f"repeat with `{report.command}`.",
        "",
        *_head("claim", "verdict", "expected", "theory", "measured", "margin", "controls"),
    ]
    for outcome in report.outcomes:
        row = summary_row(outcome)
        expected = row.standing if row.standing == "yes" else f"{row.standing}, {row.expected}"
        measured = f"{row.measured} {row.interval}".rstrip()
        link = f"[{row.id}](#{row.id})"
        lines.append(
            _row(link, row.verdict, expected, row.theory, measured, row.margin, row.control)
        )
    for outcome in report.outcomes:
        lines += ["", *_claim(outcome, figures.get(outcome.claim.id))]
    environment = report.environment
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    commit = environment["commit"] or "unknown"
    lines += [
        "",
        "## Environment",
        "",
        f"Python {environment['python']} on {environment['platform']}; {packages}; "
        f"commit {commit}{' with local changes' if environment['modified'] else ''}.",
        "",
    ]
    return "\n".join(lines)


def _claim(outcome: Outcome, figure: str | None) -> list[str]:
    claim, finding, control = outcome.claim, outcome.finding, outcome.control
    lines = [
        f"## {claim.id}",
        "",
        f"**{claim.title}.** {claim.statement}",
        "",
        f"$${claim.latex}$$",
        "",
        f"- Source: {claim.source}",
        f"- Assumptions: {'; '.join(claim.assumptions) or 'none'}",
        f"- Verdict: **{outcome.verdict}** (expected {claim.expected})",
    ]
    if claim.exact:
        lines.append(f"- Exact result: {claim.exact}")
    if outcome.error:
        lines.append(f"- Error: {outcome.error}")
    if finding is not None:
        lines.append(f"- Method: {finding.method}")
        lines += _found(finding)
    lines += ["", f"Negative control: {claim.says}. " + control_sentence(outcome)]
    if claim.positive:
        lines += ["", f"Positive control: {claim.positive_says}. " + positive_sentence(outcome)]
    if figure is not None and finding is not None and finding.plot is not None:
        lines += ["", f"![{_cell(claim.title)}]({figure})", "", finding.plot.caption]
    if control is not None and finding is not None:
        lines += ["", evidence_sentence(outcome)]
    return lines


def _found(finding: Finding) -> list[str]:
    said = {
        "Added assumption": finding.added_assumption,
        "Counterexample": finding.counterexample,
        OPEN.get(finding.verdict, ""): finding.missing,
    }
    lines = [f"- {label}: {text}" for label, text in said.items() if text]
    lines += [f"- Note: {note}" for note in finding.notes]
    if finding.comparisons:
        headings = "quantity", "theory", "measured", "margin", "standing"
        lines += ["", *_head(*headings)]
    for c in finding.comparisons:
        margin = number(c.margin, 3)
        lines.append(_row(c.quantity, theory_text(c), measured_text(c), margin, c.standing))
    if finding.proof:
        lines += ["", "Proof steps, checked by machine:", ""]
    for index, step in enumerate(finding.proof, 1):
        mark = "holds" if step.holds else "FAILS"
        further = f"; {opinions_text(step)}" if step.opinions else ""
        lines.append(f"{index}. {step.statement} — {mark}: {step.certificate}{further}")
    if finding.argued:
        lines += ["", "Proof steps, argued in words:", ""]
    for index, argued in enumerate(finding.argued, 1):
        lines.append(f"{index}. {argued.statement}, because {argued.because}")
    return lines


def control_sentence(outcome: Outcome) -> str:
    """How the negative control came out, in one sentence."""
    control = outcome.control
    if control is None:
        return "It did not run."
    if outcome.control_failed and control.counterexample:
        return f"Refuted, as it must be: {control.counterexample}."
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


def _head(*headings: str) -> list[str]:
    return [_row(*headings), "|" + "---|" * len(headings)]


def _row(*cells: str) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
