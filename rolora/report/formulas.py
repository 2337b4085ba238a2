"""LaTeX formulas as MathML, which browsers typeset themselves: no TeX, no script and no network."""

import re
from html import escape


def formula_html(latex: str) -> str:
    """The formula as HTML: one `<math>` per part between wide spaces, or its source if it cannot be read."""
    from latex2mathml.converter import convert

    try:
        parts = [convert(part) for part in _parts(latex)]
    except Exception:  # noqa: BLE001 - the library has many, and any of them leaves the source readable
        parts = []
    # A command the library does not know stays as it is.
    if not parts or any("\\" in part for part in parts):
        return f'<code class="latex">{escape(latex)}</code>'
    # HTML knows `math` without its namespace, so the page names no address.
    drawn = "".join(
        re.sub(r"<math [^>]*>", '<math displaystyle="true">', part, count=1) for part in parts
    )
    return f'<span class="formula" role="img" aria-label="{escape(latex)}">{drawn}</span>'


def _parts(latex: str) -> list[str]:
    """Split at wide spaces and line breaks outside braces, so that a narrow page can break lines."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(
        r"[{}]|\\left(?![a-zA-Z])|\\right(?![a-zA-Z])|\\q?quad(?![a-zA-Z])|\\\\", latex
    ):
        token = match.group()
        if token in ("{", "\\left"):
            depth += 0 if _escaped(latex, match.start()) else 1
        elif token in ("}", "\\right"):
            depth -= 0 if _escaped(latex, match.start()) else 1
        elif depth == 0:
            parts.append(latex[start : match.start()])
            start = match.end()
    parts.append(latex[start:])
    return [part.strip() for part in parts if part.strip()]


def _escaped(text: str, at: int) -> bool:
    return text[at] in "{}" and at > 0 and text[at - 1] == "\\"
