"""Claims on the theory page: statement, exact result, proof idea, figure, all from a report."""

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from rolora.report.formulas import formula_html
from rolora.report.numbers import number
from verification.claim import Claim

MARKER = re.compile(r"<!-- claim: ([a-zA-Z0-9-]+) -->")
REST = "<!-- claims: rest -->"


def placed(text: str) -> list[str]:
    """Ids of the claims the page has a place for, in order."""
    return MARKER.findall(text)


def fill(
    text: str, claims: Iterable[Claim], rows: Mapping[str, Mapping[str, Any]], pictures: set[str]
) -> str:
    """The page with every claim written out at its marker, the unplaced ones at the end.

    Args:
        rows: the report's entry by claim id; a claim without one is stated but has no evidence.
        pictures: ids of claims with a picture `verify/figures/ID.svg`.

    Raises:
        ValueError: if the page has a place for a claim that does not exist, or two places for one.
    """
    known = {claim.id: claim for claim in claims}
    ids = placed(text)
    for claim_id in ids:
        if claim_id not in known:
            raise ValueError(f"the theory page has a place for an unknown claim {claim_id!r}")
        if ids.count(claim_id) > 1:
            raise ValueError(f"the theory page has two places for the claim {claim_id!r}")

    def block(claim_id: str) -> str:
        return _block(known[claim_id], rows.get(claim_id), claim_id in pictures)

    text = formulas(text)
    text = MARKER.sub(lambda match: block(match.group(1)), text)
    rest = [claim_id for claim_id in known if claim_id not in ids]
    return text.replace(REST, "\n".join(block(claim_id) for claim_id in rest) or "None yet.")


def formulas(text: str) -> str:
    """Inline code of the hand-written text, which on this page is mathematics, set as such."""
    return re.sub(r"`([^`\n]+)`", lambda match: _formula(match.group(1)), text)


def _formula(text: str) -> str:
    text = plain(text)
    lowered = re.sub(
        r"\\_(?:\\\{(.+?)\\\}|(\w[\u0300-\u036f]?))",
        lambda match: f"<sub>{match.group(1) or match.group(2)}</sub>",
        text,
    )
    return f'<span class="math">{lowered}</span>'


def _block(claim: Claim, row: Mapping[str, Any] | None, picture: bool) -> str:
    lines = [f"### {claim.title} {{#{claim.id}}}", ""]
    own = row["verdict"] if row else "not in this report"
    verdict = row.get("committed", own) if row else own
    other = "" if verdict == own else f" ({own} in the run this page was built with)"
    lines += [
        f'<span class="verdict verdict-{verdict.lower().replace(" ", "-")}">{escape(verdict)}</span>{other} '
        f"`{claim.id}` · source: {plain(claim.source)}",
        "",
        plain(claim.statement),
        "",
        formula_html(claim.latex),
        "",
        f"*Assumptions:* {plain('; '.join(claim.assumptions))}.",
        "",
    ]
    if claim.exact:
        lines += [f"*Exact result:* {plain(claim.exact)}", ""]
    if row and row["finding"]:
        lines += _evidence(row["finding"])
    if picture:
        lines += [f"![{plain(claim.title)}](verify/figures/{claim.id}.svg)", ""]
    lines += [f"*Negative control, refuted by the same check:* {plain(claim.says)}.", ""]
    return "\n".join(lines)


def _evidence(finding: Mapping[str, Any]) -> list[str]:
    lines = [f"*How it was decided:* {plain(finding['method'])}.", ""]
    for label, key in (
        ("Added assumption", "added_assumption"),
        ("Counterexample", "counterexample"),
        ("Missing", "missing"),
    ):
        if finding[key]:
            lines += [f"*{label}:* {plain(finding[key])}", ""]
    if finding["proof"]:
        lines += ["*Proof idea*, each step checked by machine:", ""]
        lines += [f"{k}. {plain(step['statement'])}" for k, step in enumerate(finding["proof"], 1)]
        lines.append("")
    if finding["argued"]:
        lines += ["*Argued in words*, not checked by machine:", ""]
        lines += [
            f"{k}. {plain(step['statement'])}, because {plain(step['because'])}"
            for k, step in enumerate(finding["argued"], 1)
        ]
        lines.append("")
    if finding["comparisons"]:
        lines += ["| quantity | theory | measured |", "|---|---|---|"]
        for seen in finding["comparisons"]:
            measured = _number(seen["measured"])
            if seen["interval"]:
                low, high = (_number(end) for end in seen["interval"])
                measured += f" [{low}, {high}]"
            theory = f"{seen['relation']} {_number(seen['theory'])}"
            lines.append(f"| {plain(seen['quantity'])} | {theory} | {measured} |")
        lines.append("")
    for note in finding["notes"]:
        lines += [plain(note), ""]
    return lines


def _number(value: Any) -> str:
    return number(float(value))


def plain(text: str) -> str:
    """Plain text as Markdown shows it: nothing in it is markup."""
    text = escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_{}\[\]|])", r"\\\1", text)
