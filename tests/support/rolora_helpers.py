"""Runs the command line inside the test process."""

import json
from typing import Any

from rolora import cli


def run(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of one command."""
    capsys.readouterr()
    try:
        cli.main([str(argument) for argument in arguments])
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys: Any, *arguments: str) -> str:
    """The sentence with which a command is refused, on one line, once nothing else was said."""
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    return " ".join(err.replace("│", " ").split())


def strict_json(text: str) -> Any:
    """Standard JSON only: NaN and Infinity literals are refused."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def report(folder: Any) -> Any:
    """The report.json in a folder."""
    return strict_json((folder / "report.json").read_text(encoding="utf-8"))


def files(folder: Any) -> set[str]:
    """Every file under a folder, hidden ones included."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
