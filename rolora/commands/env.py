"""`rolora env`: what results of this installation are made with."""

from typing import Annotated, Any

import typer

from rolora.commands.options import Json
from rolora.console import output

SCHEMAS = {
    "report": "",
    "run": "",
    "prediction": "",
    "sweep": "",
    "sweep-file": "verification.sweep.specification:Specification",
    "predict": "linear_model.prediction.setting:Setting",
    "linear": "linear_model.experiment:Experiment",
    "nonlinear": "nonlinear_model.configuration:Configuration",
    "llm": "llm_validation.config:Config",
}
"""Schemas by name: shipped as a file, or that of a configuration."""


def env(
    schema: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Print a JSON schema: {', '.join(SCHEMAS)}.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print versions, platform and commit, as every report and run records them."""
    from rolora.storage.environment import environment
    from verification.codec import json_text
    from verification.names import one_of

    if schema is not None:
        typer.echo(json_text(_schema(one_of("--schema", schema, SCHEMAS))), nl=False)
        return
    facts = environment()
    if as_json:
        typer.echo(json_text(facts), nl=False)
        return
    packages = facts.pop("packages")
    console = output()
    for name, value in {**facts, **packages}.items():
        console.print(f"{name:<20} {value}", markup=False)


def _schema(name: str) -> Any:
    import json
    from importlib import import_module, resources

    from verification import settings

    module, _, attribute = SCHEMAS[name].partition(":")
    if module:
        return settings.schema(getattr(import_module(module), attribute))
    return json.loads(resources.files("rolora.schemas").joinpath(f"{name}.json").read_text("utf-8"))
