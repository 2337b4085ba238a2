"""The command `rolora`."""

import atexit
import gc
import sys
import traceback
from typing import Annotated

import typer

from rolora.commands import claims, compare, conformance, env, figures, new, verify
from rolora.commands.options import Later, LaterCommand
from rolora.console import fail
from verification.discovery import extras_named

atexit.register(gc.freeze)  # or the last collection of all modules takes a third of a second
app = typer.Typer(
    name="rolora",
    help="Verify the theory and the experiments of RoLoRA, federated fine-tuning by alternating "
    "optimisation of the LoRA factors.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Add --debug to any command to see the traceback behind an error.",
)
app.command("verify")(verify.verify)
app.command("claims")(claims.claims)
app.command("compare")(compare.compare)
app.command("figures")(figures.figures)
app.command("new")(new.new)
app.command("env")(env.env)
app.command("conformance")(conformance.conformance)
for _name, _help in (
    ("predict", "Floors, rounds to ε, traffic and winner on the linear model: exact and at once."),
    (
        "sweep",
        "A grid of runs of any laboratory, here or on a Dask cluster; goes on where it stopped.",
    ),
):
    app.command(_name, cls=LaterCommand, help=_help)(lambda: None)
for _name, _help in (
    ("linear", "Experiments on the linear model."),
    ("nonlinear", "The two-layer network study with label-split clients."),
    ("llm", "Federated fine-tuning of language models."),
):
    app.add_typer(typer.Typer(cls=Later, help=_help, no_args_is_help=True), name=_name)


def _version(asked: bool) -> None:
    if asked:
        import rolora

        typer.echo(f"rolora-verify {rolora.__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Exit status 0: done and as expected; 1: some verdict differs; 2: bad usage or an input or output
    that does not work; 3: claims are open; 129, 130, 143: stopped by SIGHUP, SIGINT, SIGTERM.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in given
    try:
        with extras_named():
            app([word for word in given if word != "--debug"], prog_name="rolora")
    except (ValueError, OSError) as error:
        if debug:
            traceback.print_exc()
        fail(str(error) or type(error).__name__)
        sys.exit(2)
