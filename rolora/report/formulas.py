"""LaTeX formulas as inline SVG, typeset by matplotlib's mathtext: no TeX and no network."""

from __future__ import annotations

import re
from html import escape

SIZE = 10.0
"""Points at which a formula is set; one em of the page it is put on."""

_REPLACEMENTS = (
    (r"\\[td]frac(?![a-zA-Z])", r"\\frac"),
    (r"\\[lr]Vert(?![a-zA-Z])", r"\\|"),
    (r"\\[lr]vert(?![a-zA-Z])", "|"),
    (r"\\(?:big|Big|bigg|Bigg)[lrm]?(?![a-zA-Z])", ""),
    (r"\\(?:le)(?![a-zA-Z])", r"\\leq"),
    (r"\\(?:ge)(?![a-zA-Z])", r"\\geq"),
    (r"\\(?:ne)(?![a-zA-Z])", r"\\neq"),
    (r"\\(?:to)(?![a-zA-Z])", r"\\rightarrow"),
    (r"\\top(?![a-zA-Z])", r"\\mathsf{T}"),
    (r"\\implies(?![a-zA-Z])", r"\\;\\Longrightarrow\\;"),
    (r"\\iff(?![a-zA-Z])", r"\\;\\Longleftrightarrow\\;"),
    (r"\\[!]", ""),
    # mathtext sets what follows too close to the limits.
    (r"(\\(?:sum|prod|int)(?![a-zA-Z])(?:\s*[_^](?:\{[^{}]*\}|\\[a-zA-Z]+|[^\\{}]))+)", r"\1\\,"),
)


_ARGUMENTS = {
    **dict.fromkeys(("frac", "dfrac", "tfrac", "binom"), 2),
    **dict.fromkeys(("sqrt", "mathbb", "mathbf", "mathrm", "mathcal", "mathsf", "mathit"), 1),
}
"""Commands after which TeX takes single tokens as arguments and mathtext insists on braces."""


def formula_html(latex: str) -> str:
    """The formula as HTML: one SVG per part between wide spaces, or its source if mathtext fails."""
    try:
        parts = [_svg(part) for part in _parts(latex)]
    except (ValueError, RuntimeError):
        return f'<code class="latex">{escape(latex)}</code>'
    return f'<span class="formula">{"".join(parts)}</span>'


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


def _svg(latex: str) -> str:
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    source = "".join(_braced(_TOKENS.findall(latex)))
    for pattern, replacement in _REPLACEMENTS:
        source = re.sub(pattern, replacement, source)
    source = _display_fractions(source)
    font = FontProperties(family="STIXGeneral", math_fontfamily="stix")
    path = TextPath((0, 0), f"${source}$", size=SIZE, prop=font)
    if not len(path.vertices):
        raise ValueError(f"empty formula {latex!r}")
    box = path.get_extents()
    letters = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}
    words = []
    for points, code in path.iter_segments(curves=True, simplify=False):
        if code == Path.CLOSEPOLY:
            words.append("Z")
        elif code in letters:
            words.append(letters[code] + " ".join(_coordinate(v, i) for i, v in enumerate(points)))
    margin = 0.6
    x, y = box.x0 - margin, -box.y1 - margin
    width, height = box.width + 2 * margin, box.height + 2 * margin
    return (
        f'<svg class="math" role="img" aria-label="{escape(latex)}" '
        f'viewBox="{x:.2f} {y:.2f} {width:.2f} {height:.2f}" '
        f'style="width:{width / SIZE:.3f}em;vertical-align:{(box.y0 - margin) / SIZE:.3f}em">'
        f'<path fill="currentColor" d="{"".join(words)}"/></svg>'
    )


_TOKENS = re.compile(r"\\[a-zA-Z]+|\\.|\s+|.", re.DOTALL)


def _braced(tokens: list[str]) -> list[str]:
    r"""Give every argument its braces: \frac1N, \sqrt m and \mathbb E are TeX, not mathtext."""
    out: list[str] = []
    rest = list(reversed(tokens))
    while rest:
        token = rest.pop()
        out.append(token)
        if token == "\\sqrt" and rest and rest[-1] == "[":
            continue
        for _ in range(_ARGUMENTS.get(token[1:], 0) if token.startswith("\\") else 0):
            while rest and rest[-1].isspace():
                rest.pop()
            if not rest:
                break
            argument = [rest.pop()]
            if argument == ["{"]:
                depth = 1
                while rest and depth:
                    argument.append(rest.pop())
                    depth += (argument[-1] == "{") - (argument[-1] == "}")
                out += ["{", *_braced(argument[1:-1]), "}"]
            else:
                out += ["{", *argument, "}"]
    return out


def _display_fractions(latex: str) -> str:
    """Full-size fractions outside braces, as in a displayed formula."""
    depth = 0
    words = []
    for match in re.finditer(r"\\frac(?![a-zA-Z])|\\.|[{}]|[^\\{}]+", latex):
        word = match.group()
        depth += (word == "{") - (word == "}")
        words.append("\\dfrac" if word == "\\frac" and depth == 0 else word)
    return "".join(words)


def _coordinate(value: float, index: int) -> str:
    # SVG's y axis points down.
    text = f"{value if index % 2 == 0 else -value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
