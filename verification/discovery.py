"""Finding what is there: a file in a folder is its registration, and others may add from outside.

A `Catalogue` says what counts as a method, claim, figure or task, and where the house keeps its own.
Beside these it finds what installed packages offer by an entry point (`rolora.methods`,
`rolora.claims`, `rolora.figures`, `rolora.tasks`; its value a module, or `module:name` in it), and
what a user names as `module:name`, where a module in the current folder counts.

What is not there because an extra is not installed is named with the extra.
"""

import importlib
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from verification.names import one_of

T = TypeVar("T")
LAST = 1000
"""Order of a member that names none: after the house's own."""
EXTRAS = {
    "nonlinear": ("torch", "safetensors", "sklearn", "tqdm"),
    "llm": ("torch", "safetensors", "transformers", "peft", "datasets", "accelerate"),
    "privacy": ("opacus",),
    "flower": ("flwr",),
    "sweep": ("pyarrow",),
    "distributed": ("distributed", "pyarrow"),
}
"""Extras of rolora-verify and the modules each brings, the lighter extra first."""


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """Something found.

    Attributes:
        name: what users call it.
        value: itself.
        place: `module:attribute`, by which another process finds it again.
    """

    name: str
    value: T
    place: str


@dataclass(frozen=True, slots=True)
class Catalogue(Generic[T]):
    """Everything of one kind, in the order its members state.

    Attributes:
        kind: what a member is, in error messages.
        packages: the house's own folders, with the folders inside them.
        group: entry points of other packages.
        accepts: whether an attribute of a module is a member.
        name: a member's name.
        order: a member's place in listings; equal places go by name.
    """

    kind: str
    packages: tuple[str, ...]
    group: str
    accepts: Callable[[Any], bool]
    name: Callable[[T], str] = attrgetter("name")
    order: Callable[[T], Any] = attrgetter("order")

    def entries(self, more: Iterable[str] = ()) -> tuple[Found[T], ...]:
        """All members.

        Args:
            more: further modules, or `module:name`, given by the user.

        Raises:
            ValueError: if two members have one name, a module cannot be imported, or one that was
                given holds no member.
        """
        found: dict[str, Found[T]] = {}
        for member in self._everywhere(more):
            known = found.setdefault(member.name, member)
            if known.value is not member.value:  # not merely imported from where it is defined
                raise ValueError(
                    f"{self.kind} names must be unique, got {member.name!r} from both"
                    f" {known.place} and {member.place}"
                )
        return tuple(sorted(found.values(), key=lambda one: (self.order(one.value), one.name)))

    def named(self, name: str, argument: str | None = None) -> Found[T]:
        """The member of that name, or the one at `module:name`.

        Args:
            name: what the user asked for.
            argument: how the user calls the choice; None for the kind.

        Raises:
            ValueError: if there is none; the nearest name is suggested. See `entries` too.
        """
        if ":" in name:
            (given,) = self._within(name)
            self.entries([name])  # another of the same name would be taken for it in results
            return given
        known = {one.name: one for one in self.entries()}
        return known[one_of(argument or self.kind, name, known)]

    def _everywhere(self, more: Iterable[str]) -> Iterator[Found[T]]:
        for package in self.packages:
            for module in modules(package):
                yield from self._members(module)
        for place in (*_offered(self.group), *more):
            yield from self._within(place)

    def _members(self, module: ModuleType) -> Iterator[Found[T]]:
        for attribute, value in vars(module).items():
            if self.accepts(value):
                yield Found(self.name(value), value, f"{module.__name__}:{attribute}")

    def _within(self, place: str) -> tuple[Found[T], ...]:
        """The members a module holds, a package in its files too, or the one at `module:name`."""
        module_name, _, attribute = place.partition(":")
        module = outside(module_name)
        members = tuple(self._members(module))
        if attribute:
            members = tuple(one for one in members if one.place == place)
        elif hasattr(module, "__path__"):
            members += tuple(m for inner in modules(module_name) for m in self._members(inner))
        if not members:
            what = f"no {self.kind} {attribute!r}" if attribute else f"no {self.kind}"
            raise ValueError(f"module {module_name} holds {what}")
        return members


def modules(package: str) -> Iterator[ModuleType]:
    """The modules in a package's folder and in the folders inside it, by name.

    Raises:
        ValueError: if one of them cannot be imported.
    """
    for _, name, is_package in pkgutil.iter_modules(_loaded(package).__path__, package + "."):
        if is_package:
            yield from modules(name)
        else:
            yield _loaded(name)


def outside(module: str) -> ModuleType:
    """A module the user names: installed, or in the current folder.

    Raises:
        ValueError: if there is none, or it cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that a file here shadows nothing that is installed
    importlib.invalidate_caches()  # it may have been written a moment ago
    return _loaded(module)


def at(place: str) -> Any:
    """What lies at `module:attribute`, found again in another process.

    Raises:
        ValueError: if the module cannot be imported.
    """
    module, _, attribute = place.partition(":")
    return getattr(outside(module), attribute)


@cache
def _offered(group: str) -> tuple[str, ...]:
    return tuple(point.value for point in entry_points(group=group))


def _loaded(module: str) -> ModuleType:
    """The module. Whatever goes wrong inside somebody's file becomes one sentence that names it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise ValueError(
                f"there is no module {module!r}, neither installed nor in {Path.cwd()}"
            ) from error
        raise ValueError(_broken(module, error)) from error
    except Exception as error:
        raise ValueError(_broken(module, error)) from error


def _broken(module: str, error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if isinstance(error, SyntaxError) else f" ({frame.filename}, line {frame.lineno})"
    return f"module {module} cannot be imported: {type(error).__name__}: {error}{where}"


class MissingExtraError(ValueError, ImportError):
    """A package that only an extra brings is not installed."""


def require_extra(extra: str) -> None:
    """Check that everything an extra brings can be imported, without importing it.

    Raises:
        MissingExtraError: naming what is missing and the command that installs it.
    """
    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if missing:
        raise MissingExtraError(_sentence(", ".join(missing), extra))


@contextmanager
def extras_named() -> Iterator[None]:
    """Name the extra wherever an import inside fails for want of it.

    Raises:
        MissingExtraError: in place of ModuleNotFoundError, if an extra brings the module.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        extra = next((extra for extra, brought in EXTRAS.items() if name in brought), None)
        if extra is None:
            raise
        raise MissingExtraError(_sentence(name, extra)) from error


def _sentence(missing: str, extra: str) -> str:
    return f"this needs {missing}: pip install 'rolora-verify[{extra}]'"
