"""Final accuracies of finished runs, from run folders and from the committed study."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from llm_validation.config import Config, fingerprint
from llm_validation.paper.presets import presets
from llm_validation.training.manifest import digest, manifest

RESULTS = "results"
"""Folder of the committed studies: a table NAME.csv each, and its NAME.json."""
Setting = Mapping[str, Any]
"""Values of a configuration, by name."""


@dataclass(frozen=True, slots=True)
class Record:
    """One finished run, and where it was found.

    Settings are its configuration as its manifest tells it, and the digest of its data; the final accuracy
    is in per cent.
    """

    settings: Setting
    accuracy: float
    place: str = ""

    @property
    def task(self) -> str:
        """Its task, by this toolkit's name."""
        return str(self.settings["task"])

    @property
    def method(self) -> str:
        """Its method, by this toolkit's name."""
        return str(self.settings["method"])

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.settings["seed"])

    def fits(self, setting: Setting) -> bool:
        """Whether the run was made at these values."""
        return all(self.settings.get(name) == value for name, value in setting.items())


def from_folders(root: Path | None) -> tuple[list[Record], list[str]]:
    """Every finished language-model run below a folder, in the order of its paths; a sentence for the others.

    A run cannot be trusted with an unreadable manifest or table, a table that ends early, or a configuration
    that is not the one its fingerprint was made of.
    """
    found, faults = [], []
    for path in sorted(root.rglob("manifest.json")) if root is not None else []:
        place = path.parent.relative_to(root).as_posix()  # type: ignore[arg-type]
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(told, dict) and told.get("kind") == "llm":
                found.append(_record(told, (path.parent / "run.csv").read_text("utf-8"), place))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            said = str(error) if isinstance(error, _UnsoundError) else "cannot be read"
            faults.append(f"the run in {place} {said}: finish it, or take it away")
    return found, faults


class _UnsoundError(ValueError):
    """A run's files contradict each other."""


def _record(told: Mapping[str, Any], table: str, place: str) -> Record:
    settings, rows = told["configuration"], list(csv.DictReader(table.splitlines()))
    # A folder called `model` is told with its parent, of which the fingerprint does not know.
    names = {settings["model"], settings["model"].rpartition("/")[2]}
    if told["fingerprint"] not in {fingerprint(settings | {"model": name}) for name in names}:
        raise _UnsoundError("has a configuration that is not the one its fingerprint was made of")
    # Runs of earlier versions tell no digest of their table.
    if told.get("table_sha256", digest(table)) != digest(table):
        raise _UnsoundError("has another table than the one its manifest was written with")
    if int(rows[-1]["round"]) != settings["rounds"]:
        raise _UnsoundError("has a table that ends before the last round")
    data = told["facts"].get("data_digest")
    accuracy = 100.0 * float(rows[-1]["accuracy"])
    return Record(_comparable({**settings, "data_digest": data}), accuracy, place)


def _comparable(settings: Setting) -> dict[str, Any]:
    """A rate that was not chosen from a grid is a grid of one, as it is when it is run."""
    grid = settings["learning_rate_grid"] or [settings["learning_rate"]]
    return {**settings, "learning_rate_grid": grid}


def study(name: str) -> tuple[list[dict[str, str]], dict[str, Any], list[str]]:
    """Rows and manifest of a committed study, none where there is none, and what is wrong with them."""
    folder = Path(str(resources.files("llm_validation").joinpath(RESULTS)))
    place = folder / f"{name}.csv"
    if not place.is_file():
        return [], {}, []
    text = place.read_text("utf-8")
    described = json.loads(place.with_suffix(".json").read_text("utf-8"))
    if described["table_sha256"] != digest(text):
        return [], described, [f"{name}.csv is not the table that {name}.json describes"]
    return list(csv.DictReader(text.splitlines())), described, []


def from_study() -> tuple[list[Record], list[str]]:
    """The final runs of the committed study on MiniLM, and what is wrong with them, as in `from_folders`."""
    rows, described, faults = study("minilm")
    records = []
    for row in rows:
        if row["purpose"] == "final" and row["accuracy"]:
            own: dict[str, Any] = {"model": "all-MiniLM-L6-v2"}
            own |= {"task": row["task"], "method": row["method"]}
            own |= {name: int(row[name]) for name in ("clients", "rounds", "seed")}
            rate = {"learning_rate": float(row["learning_rate"])}
            settings = _comparable({**described["policies"], **own, **rate})
            records.append(Record(settings, 100.0 * float(row["accuracy"])))
    return records, faults


def from_paper(seeds: Sequence[int] = (1,)) -> list[Record]:
    """The published numbers as if they were runs of their presets, alike for every seed."""
    found = {}
    for preset in presets():
        for seed in seeds:
            config = Config.read(preset.options | {"seed": seed})
            settings = _comparable(manifest(config, {})["configuration"])
            # One cell stands in two tables.
            found[config.fingerprint] = Record(settings, preset.cell.value, preset.name)
    return list(found.values())


def by_seed(
    records: Iterable[Record], method: str, setting: Setting, tasks: Sequence[str]
) -> dict[int, float]:
    """Mean accuracy over the tasks, for every seed that has them all."""
    scores: dict[int, dict[str, float]] = {}
    for r in records:
        if r.method == method and r.task in tasks and r.fits(setting):
            scores.setdefault(r.seed, {})[r.task] = r.accuracy
    return {
        seed: sum(own.values()) / len(own)
        for seed, own in sorted(scores.items())
        if set(own) == set(tasks)
    }
