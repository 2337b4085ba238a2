"""Reference pages from the code: the command line from its Typer app, the API from docstrings."""

from pathlib import Path
from typing import Any

PACKAGES = {
    "verification": "What a claim is: evidence, verdicts, proof steps, statistics, random streams, files.",
    "federated_lora": "The federated LoRA methods as pure functions of the factors.",
    "federation": "One server round of a federation, whatever the model.",
    "theory": "The mathematics in chapters: closed forms, derivations, claims.",
    "linear_model": "The linear model and its four simulators.",
    "nonlinear_model": "The paper's two-layer network, all clients in one tensor operation.",
    "llm_validation": "A thin harness on transformers and PEFT.",
    "rolora": "The command line, reports and figures.",
}


def command_line() -> str:
    """The page of the command line."""
    import typer

    from rolora.cli import app

    lines = [
        "# Command line",
        "",
        "Generated from the program; `rolora COMMAND --help` says the same.",
        "",
    ]
    _command(typer.main.get_command(app), "rolora", lines)
    return "\n".join(lines)


def _command(command: Any, name: str, lines: list[str]) -> None:
    if hasattr(command, "list_commands"):
        command.list_commands(None)  # imports a laboratory's commands
    children = getattr(command, "commands", {})
    if name != "rolora":
        lines += [f"## {name}", ""]
    if command.help:
        # Single line breaks in a docstring mean nothing; a form feed ends what is shown.
        lines += [command.help.split("\f")[0].strip(), ""]
    shown = [p for p in command.params if not getattr(p, "hidden", False)]
    rows = [_parameter(p) for p in shown]
    if rows:
        lines += ["| option | default | what it does |", "|---|---|---|", *rows, ""]
    for child, sub in children.items():
        _command(sub, f"{name} {child}", lines)


def _parameter(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = f"`{parameter.metavar or parameter.name.upper()}`"
    else:
        names = " ".join(parameter.opts + parameter.secondary_opts)
        metavar = "" if parameter.is_flag else f" {parameter.metavar or 'VALUE'}"
        name = f"`{names}{metavar}`"
    default = "" if parameter.default is None or callable(parameter.default) else parameter.default
    if default is False or default == [] or "Sentinel" in repr(default):
        default = ""
    text = " ".join((getattr(parameter, "help", "") or "").split())
    return f"| {_cell(name)} | {_cell(f'`{default}`') if default != '' else ''} | {_cell(text)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def api_pages(root: Path) -> dict[str, str]:
    """One page per package, by path inside the site; every module that has a docstring and content."""
    pages = {}
    index = ["# Python", "", "| package | what it holds |", "|---|---|"]
    for package, purpose in PACKAGES.items():
        index.append(f"| [`{package}`]({package}.md) | {purpose} |")
        lines = [f"# {package}", "", purpose, ""]
        for path in sorted((root / package).rglob("*.py")):
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            text = path.read_text(encoding="utf-8")
            if path.name == "__init__.py" or not (path.parent / "__init__.py").exists():
                continue
            if "def " not in text and "class " not in text:
                continue
            lines += [f"## {module}", "", f"::: {module}", ""]
        pages[f"api/{package}.md"] = "\n".join(lines)
    pages["api/index.md"] = "\n".join([*index, ""])
    return pages
