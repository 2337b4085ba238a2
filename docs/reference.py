"""Reference pages from the code: the command line from its Typer app, the API from docstrings."""

from pathlib import Path

PACKAGES = {
    "verification": "What a claim is: evidence, verdicts, proof steps, statistics, streams, files; sweeps.",
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
    from typer.cli import get_docs_for_click

    from rolora.cli import app

    command = typer.main.get_command(app)
    context = typer.Context(command)
    text = get_docs_for_click(obj=command, ctx=context, name="rolora", title="Command line")
    said = "Generated from the program; `rolora COMMAND --help` says the same."
    return text.replace("\n\n", f"\n\n{said}\n\n", 1)


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
