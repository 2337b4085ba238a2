"""A configuration as data: typed fields with choices and ranges.

From the fields follow what is refused and in which sentence, the options of the command line (names, help,
completion), what a TOML file may hold, and the JSON schema of what a run records.
"""

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from functools import cache, wraps
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from verification.names import one_of

T = TypeVar("T")

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
BOUNDS = {
    "exclusiveMinimum": "above",
    "minimum": "at least",
    "exclusiveMaximum": "below",
    "maximum": "at most",
}
"""Bounds of a JSON schema, in words."""


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def settings(cls: type[T]) -> type[T]:
    """Make a frozen dataclass whose fields are checked; what is wrong is said in one sentence."""
    made: Any = dataclass(frozen=True, config=ConfigDict(strict=True))(cls)
    check = made.__init__

    @wraps(check)
    def init(self: Any, *given: Any, **named: Any) -> None:
        try:
            check(self, *given, **named)
        except ValidationError as error:
            raise ValueError(_sentence(made, error)) from None

    made.__init__ = init
    return made


@settings
class Settings:
    """Base of configurations and of the parts they are made of: flat, so that every option has one name."""

    def changed(self, **values: Any) -> Self:
        """A copy with some fields exchanged, checked again."""
        return dataclasses.replace(self, **values)

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name, for a manifest."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def words(self, *always: str) -> list[str]:
        """Command-line words of the fields that differ from their defaults."""
        words: list[str] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in always and value == default(type(self), field.name):
                continue
            option = "--" + field.name.replace("_", "-")
            if isinstance(value, bool):
                words.append(option if value else f"--no-{option[2:]}")
            elif isinstance(value, tuple):
                words += [option, ",".join(map(str, value))]
            else:
                words += [option, str(value)]
        return words

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain values, as TOML, JSON and the command line give them.

        Raises:
            ValueError: on an unknown name (the nearest is suggested), a missing one, or a bad value.
        """
        properties = schema(cls)["properties"]
        known = [name.replace("-", "_") for name in values]
        for name in known:
            one_of("setting", name, properties)
        given = zip(known, values.values(), strict=True)
        return cls(**{name: _typed(properties[name], value) for name, value in given})


def schema(cls: Any) -> dict[str, Any]:
    """JSON schema of a configuration."""
    return _schema(cls)


@cache
def _schema(cls: Any) -> dict[str, Any]:
    return TypeAdapter(cls).json_schema()


def default(cls: type, name: str) -> Any:
    """The default of a field; None for one that must be given."""
    field: Any = cls.__pydantic_fields__[name]  # type: ignore[attr-defined]
    return None if field.is_required() else field.default


def described(cls: type, name: str) -> str:
    """What a field is, from the class that says so first: a part's default may be changed alone."""
    for owner in cls.__mro__:
        field = vars(owner).get("__pydantic_fields__", {}).get(name)
        if field is not None and field.description:
            return str(field.description)
    return ""


def part(cls: type, name: str) -> type:
    """The part of a configuration that brings in a field."""
    owners = [owner for owner in cls.__mro__ if name in vars(owner).get("__annotations__", {})]
    return owners[-1]


def choices(cls: type, name: str) -> tuple[str, ...]:
    """The values a field may take, () if they are not listed."""
    return tuple(_single(schema(cls)["properties"][name]).get("enum", ()))


def read_toml(path: Path) -> dict[str, Any]:
    """The keys of a TOML file.

    Raises:
        ValueError: if the file is missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"config file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"config file {path} is not valid TOML: {error}") from error


def _single(of: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a field without its alternative of being absent."""
    return next((one for one in of.get("anyOf", ()) if one.get("type") != "null"), of)


def _typed(of: Mapping[str, Any], value: Any) -> Any:
    """A plain value in the form the field has: TOML knows no tuples, and `true` may be a word."""
    kind = _single(of)
    if kind.get("type") == "array" and isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
        of_items = {"number": float, "integer": int}.get(_single(kind["items"]).get("type", ""))
        if of_items is not None:
            value = [_number(part, of_items) for part in value]
    if "enum" in kind and isinstance(value, bool):
        return str(value).lower()
    return tuple(value) if isinstance(value, list) else value


def _number(text: str, kind: Callable[[str], float]) -> float | str:
    try:
        return kind(text)
    except ValueError:
        return text  # refused with the field's sentence


def _sentence(cls: type, error: ValidationError) -> str:
    """What is wrong with the first field, or what the class itself said."""
    first = error.errors()[0]
    said = first.get("ctx", {}).get("error")
    if said is not None:
        return str(said)
    name = str(first["loc"][0]) if first["loc"] else cls.__name__
    if first["type"] in ("missing", "missing_argument"):
        return f"the configuration must name a {name}"
    field = schema(cls)["properties"].get(name)
    if field is None:
        return f"{name}: {first['msg']}"
    value, kind = first["input"], _single(field)
    if "enum" in kind:
        try:
            return one_of(name, value, kind["enum"])
        except ValueError as refusal:
            return str(refusal)
    return f"{name} must be {_allowed(kind)}, got {value!r}"


def _allowed(kind: Mapping[str, Any]) -> str:
    """What a field's schema allows, in words."""
    if kind.get("type") == "array":
        return f"a list, each {_allowed(_single(kind['items']))}"
    words = {"boolean": "true or false", "object": "a table of names and values"}
    if kind.get("type") in words:
        return words[kind["type"]]
    if kind.get("type") == "string":
        return "text that is not empty" if kind.get("minLength") else "text"
    bounds = [f"{words} {kind[name]:g}" for name, words in BOUNDS.items() if name in kind]
    if kind.get("type") == "integer":
        return f"a whole number of {' and '.join(bounds)}" if bounds else "a whole number"
    if kind.keys().isdisjoint(("exclusiveMaximum", "maximum")):
        bounds.append("finite")
    return " and ".join(bounds)
