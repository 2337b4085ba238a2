"""`rolora new`: a working file of one's own to start from, and its test."""

import keyword
import re
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from rolora.commands.options import Out
from rolora.console import output

KINDS = ("method", "claim")
NEXT = {
    "method": "rolora linear run --method {module}:{title}",
    "claim": "rolora verify --claims {module}",
}


def new(
    kind: Annotated[str, typer.Argument(metavar="method|claim", help="What to begin.")],
    name: Annotated[str, typer.Argument(help="Its name, in kebab-case: two-to-one.")],
    out: Out = Path(),
) -> None:
    """Write a method or a claim that works, and its test, to go on from."""
    from importlib import resources

    from verification.files import write
    from verification.names import one_of

    one_of("kind", kind, KINDS)
    module = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(module):
        raise ValueError(f"name must be kebab-case and no word of Python's, got {name!r}")
    words = {
        "name": name,
        "module": module,
        "title": "".join(part.capitalize() for part in name.split("-")),
    }
    files = {out / f"{module}.py": kind, out / f"test_{module}.py": f"test_{kind}"}
    for path in files:
        if path.exists():
            raise ValueError(f"{path} exists already; choose another name or --out")
    templates = resources.files("rolora.templates")
    for path, template in files.items():
        text = templates.joinpath(f"{template}.py.txt").read_text("utf-8")
        write(path, Template(text).substitute(words))
        output().print(f"wrote {path}", markup=False, soft_wrap=True)
    command = NEXT[kind].format(**words)
    output().print(
        f"Next: pytest {out / f'test_{module}.py'}; {command}", markup=False, soft_wrap=True
    )
