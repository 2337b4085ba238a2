"""The report as one HTML file: styles, formulas and pictures inline, nothing fetched from anywhere."""

from importlib import resources

from rolora.plotting import claim_plot
from rolora.report import content
from rolora.report.content import Report
from rolora.report.formulas import formula_html
from rolora.report.markdown import (
    OPEN,
    control_sentence,
    evidence_sentence,
    positive_sentence,
)
from rolora.report.numbers import number, seconds
from rolora.report.proofs import opinions_text
from verification.finding import Finding
from verification.verdict import Verdict

SYMBOLS = {
    "PROVED": "✓",
    "DERIVED": "✓",
    "CERTIFIED": "✓",
    "CONSISTENT": "≈",
    "SUPPORTED": "≈",
    "HOLDS_UNDER": "◐",
    "REFUTED": "✗",
    "UNDECIDED": "?",
    "NOT_RUN": "–",
    "ERROR": "!",
}
"""Beside the colour, so that a grey print and a colour-blind reader see the verdict too."""


def as_html(report: Report) -> str:
    """The whole report as one self-contained HTML page."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = resources.files("rolora.report")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    environment.filters["seconds"] = seconds
    template = environment.from_string(folder.joinpath("report.html.j2").read_text("utf-8"))
    claims = [
        {
            "outcome": outcome,
            "claim": outcome.claim,
            "finding": outcome.finding,
            "row": content.summary_row(outcome),
            "formula": Markup(formula_html(outcome.claim.latex)) if outcome.claim.latex else "",
            "figure": Markup(
                claim_plot.inline(outcome.svg, outcome.claim.id, _figure_label(outcome.finding))
            )
            if outcome.svg
            else "",
            "control": control_sentence(outcome),
            "positive": positive_sentence(outcome),
            "evidence": evidence_sentence(outcome) if outcome.finding else "",
        }
        for outcome in report.outcomes
    ]
    return template.render(
        report=report,
        style=Markup(folder.joinpath("report.css").read_text("utf-8")),
        claims=claims,
        symbols=SYMBOLS,
        meanings={str(v): v.meaning for v in Verdict} | {"ERROR": "the check stopped"},
        theory_text=content.theory_text,
        opinions_text=opinions_text,
        interval_text=content.interval_text,
        open_label=OPEN,
    )


def _figure_label(finding: Finding | None) -> str:
    return finding.plot.caption if finding is not None and finding.plot is not None else ""
