"""The report as Markdown, and as one HTML file: styles, formulas and pictures inline, nothing fetched."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

from rolora.console import VERDICTS
from rolora.plotting import claim_plot
from rolora.report import content
from rolora.report.content import Report
from rolora.report.formulas import formula_html
from rolora.report.numbers import number, seconds
from rolora.report.proofs import opinions_text
from rolora.report.sentences import OPEN, control_sentence, evidence_sentence, positive_sentence
from rolora.verify.runner import Outcome
from verification.verdict import Verdict


def as_markdown(report: Report, figures: Mapping[str, str]) -> str:
    """The whole report as one Markdown text; pictures by claim id, as paths relative to the report."""
    return _filled("report.md.j2", report, autoescape=False, figures=figures)


def as_html(report: Report) -> str:
    """The whole report as one self-contained HTML page."""
    from markupsafe import Markup

    formulas = {o.claim.id: Markup(formula_html(o.claim.latex)) for o in report.outcomes}
    figures = {o.claim.id: Markup(_drawing(o)) for o in report.outcomes if o.svg}
    return _filled(
        "report.html.j2",
        report,
        autoescape=True,
        formulas=formulas,
        figures=figures,
        style=Markup(_text("report.css")),
        symbols={name: shown.symbol for name, shown in VERDICTS.items()},
        meanings={str(v): v.meaning for v in Verdict} | {"ERROR": "the check stopped"},
    )


def _filled(template: str, report: Report, *, autoescape: bool, **more: Any) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not autoescape,
    )
    environment.filters |= {"number": number, "seconds": seconds, "cell": _cell}
    claims = [
        {
            "outcome": outcome,
            "claim": outcome.claim,
            "finding": outcome.finding,
            "row": content.summary_row(outcome),
            "control": control_sentence(outcome),
            "positive": positive_sentence(outcome),
            "evidence": evidence_sentence(outcome) if outcome.finding else "",
        }
        for outcome in report.outcomes
    ]
    return environment.from_string(_text(template)).render(
        report=report,
        claims=claims,
        theory_text=content.theory_text,
        measured_text=content.measured_text,
        interval_text=content.interval_text,
        opinions_text=opinions_text,
        open_label=OPEN,
        **more,
    )


def _text(name: str) -> str:
    return resources.files("rolora.report").joinpath(name).read_text("utf-8")


def _drawing(outcome: Outcome) -> str:
    plot = outcome.finding.plot if outcome.finding is not None else None
    return claim_plot.inline(outcome.svg, outcome.claim.id, plot.caption if plot else "")


def _cell(text: str) -> str:
    """Text in a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
