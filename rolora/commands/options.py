"""The options of a command from the fields of a configuration: names, help, ranges in words, completion."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer
from typer.core import TyperCommand, TyperGroup

from verification.names import one_of
from verification.settings import Settings, choices, default, described, part, read_toml, schema

if TYPE_CHECKING:
    from verification.budget import Budget

P = ParamSpec("P")
Given = tuple[dict[str, Any], dict[str, Any]]
"""What a user gave by field name: in the file of `--config`, and on the command line."""
Profile = Annotated[str, typer.Option(help="quick: minutes; full: the sizes for a publication.")]
Seed = Annotated[int, typer.Option(help="Root of all randomness.", min=0)]
Jobs = Annotated[
    int, typer.Option(help="Worker processes; any number gives the same results.", min=1)
]
_WHERE = "Run on the workers of this Dask scheduler, as tcp://host:8786."
Scheduler = Annotated[str | None, typer.Option(metavar="ADDRESS", help=_WHERE)]
_DATA = "Folder with the real data sets."
DataDir = Annotated[Path | None, typer.Option(metavar="DIR", help=_DATA, envvar="ROLORA_DATA_DIR")]
ResultsDir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder with finished language-model runs.")
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for what is written.")]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch missing MNIST files (needs a network).")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in DIR.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
Quiet = Annotated[bool, typer.Option(help="No progress and no table.")]
KINDS = {"integer": int, "number": float, "boolean": bool, "string": str, "array": str}


def budget_of(profile: str, seed: int, data_dir: Path | None, results_dir: Path | None) -> Budget:
    """The budget that options ask for."""
    from verification.budget import Budget, Profile

    one_of("--profile", profile, [str(each) for each in Profile])
    for name, folder in (("--data-dir", data_dir), ("--results-dir", results_dir)):
        if folder is not None and not folder.is_dir():
            raise ValueError(f"{name} must be an existing folder, got {folder}")
    return Budget(Profile(profile), seed, data_dir, results_dir)


class Later(TyperGroup):
    """A laboratory's commands, imported when one of them is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands."""
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name."""
        self._load()
        return super().get_command(ctx, cmd_name)

    def _load(self) -> None:
        if not self.commands:
            group = typer.main.get_command(import_module(f"rolora.commands.{self.name}").app)
            self.commands.update(group.commands)  # type: ignore[attr-defined]


class LaterCommand(TyperCommand):
    """One command, imported when it is asked for: `app` of the module of its name has it alone."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """That of the command itself."""
        return self._load().make_context(info_name, args, parent, **extra)

    def get_params(self, ctx: Any) -> list[Any]:
        """Those of the command itself."""
        return self._load().get_params(ctx)

    def _load(self) -> Any:
        gc.disable()  # what modules make stays: looking through it over and over takes a tenth of a second
        try:
            module = import_module(f"rolora.commands.{self.name}")
        finally:
            gc.enable()
        return typer.main.get_command(module.app)


def configured(
    configuration: type[Settings], *, old: tuple[str, ...] = ()
) -> Callable[[Callable[Concatenate[Given, P], None]], Callable[..., None]]:
    """Give a command, whose first argument receives what the user gave, the options of a configuration.

    `old` are names of options that had another one, so that they can be refused with the new one.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        options = list(_options(configuration, old))
        names = {option.name for option in options}

        def run(*, config: Path | None = None, **words: Any) -> None:
            told = {n: v for n, v in words.items() if n in names and v is not None}
            read = {} if config is None else read_toml(config)
            file = {name.replace("-", "_"): value for name, value in read.items()}
            command((file, told), **{n: v for n, v in words.items() if n not in names})

        help = "TOML file of these options; options given here win."
        file = _parameter("config", Path, typer.Option("--config", metavar="FILE", help=help))
        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        run.__signature__ = inspect.Signature([*options, file, *keyword])  # type: ignore[attr-defined]
        run.__annotations__ = {}
        run.__doc__ = command.__doc__
        return run

    return decorate


def _options(configuration: type[Settings], old: tuple[str, ...]) -> Iterator[inspect.Parameter]:
    for name, field in schema(configuration)["properties"].items():
        of = next((one for one in field.get("anyOf", ()) if one.get("type") != "null"), field)
        usual, values = default(configuration, name), choices(configuration, name)
        shown = ",".join(map(str, usual)) if isinstance(usual, tuple) else usual
        panel = (inspect.getdoc(part(configuration, name)) or "").split(".")[0].partition(":")[0]
        option = typer.Option(
            help=described(configuration, name)
            + (f" ({shown} if not given)" if shown not in (None, "") else ""),
            rich_help_panel=panel if part(configuration, name) is not configuration else None,
            autocompletion=_completing(values) if values else None,
        )
        yield _parameter(name, KINDS[of.get("type", "string")], option)
    for name in old:
        yield _parameter(name, str, typer.Option(hidden=True))


def _completing(values: tuple[str, ...]) -> Callable[[], list[str]]:
    return lambda: list(values)


def _parameter(name: str, kind: type, option: Any) -> inspect.Parameter:
    annotation = Annotated[kind | None, option]  # type: ignore[valid-type]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )
