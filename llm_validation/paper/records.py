"""Final accuracies of finished runs, from run folders and from the committed study."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from federation.rates import choose
from llm_validation.config import PLACES, Config, fingerprint
from llm_validation.paper.presets import presets
from llm_validation.training.manifest import digest, manifest

RESULTS = "results"
"""Folder of the committed studies: a table NAME.csv each, and its NAME.json."""
Setting = Mapping[str, Any]
"""Values of a configuration, by name."""
DIGESTS = ("data_digest", "base_digest")
"""Facts of a run that are part of what it is: its examples, and the weights of its base."""
FREE = frozenset(
    {
        "method", "learning_rate", "seed", "engine", "device", "threads",
        "clients_at_once", "cuda_graphs", "data_dir", "checkpoint_every", "evaluate_every",
    }
)  # fmt: skip
"""Values in which compared runs may differ. The grid of rates is none, and the data have their digest."""
BY_SEED = frozenset({"data_digest"})
"""What differs with the seed, if only some examples are drawn."""


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

    A run cannot be trusted with an unreadable manifest or table, a table that ends early, a configuration
    that is not the one its fingerprint was made of, no digest of its data, or a learning rate that is not
    the best of its grid.
    """
    found, faults = [], []
    for path in sorted(root.rglob("manifest.json")) if root is not None else []:
        place = path.parent.relative_to(root).as_posix()  # type: ignore[arg-type]
        try:
            if run := record_of(path.parent, place):
                found.append(run[0])
        except UnsoundError as error:
            faults.append(f"the run in {place} {error}: finish it, or take it away")
    return found, faults


def finished(folder: Path, config: Config) -> dict[str, Any] | None:
    """The manifest of a run of this configuration that is finished in a folder, None if there is none.

    Neither model nor data are looked at, but for the name of the data's folder.
    """
    try:
        found = record_of(folder, folder.name)
    except UnsoundError:
        return None
    if found is None:
        return None
    told, asked = found[1], manifest(config, {})["configuration"]
    # A rate of a grid is the best of it, or the record would not be sound.
    free = {*PLACES - {"data_dir"}, *(["learning_rate"] if config.learning_rate_grid else [])}
    mine, theirs = (
        {name: value for name, value in one.items() if name not in free}
        for one in (asked, told["configuration"])
    )
    there = all((folder / place).is_dir() for place in told.get("adapters", [""]))
    return told if mine == theirs and there else None


class UnsoundError(ValueError):
    """A run's files contradict each other, or leave out what a comparison rests on."""


def record_of(folder: Path, place: str) -> tuple[Record, dict[str, Any]] | None:
    """A run folder's finished run and its manifest, None if it is of another laboratory.

    Raises:
        UnsoundError: if it cannot be trusted, as in `from_folders`.
    """
    try:
        told = json.loads((folder / "manifest.json").read_text("utf-8"))
        if not isinstance(told, dict) or told.get("kind") != "llm":
            return None
        return _record(told, (folder / "run.csv").read_text("utf-8"), place), told
    except UnsoundError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnsoundError("cannot be read") from error


def _record(told: Mapping[str, Any], table: str, place: str) -> Record:
    settings, rows = told["configuration"], list(csv.DictReader(table.splitlines()))
    # A folder called `model` is told with its parent, of which the fingerprint does not know.
    names = {settings["model"], settings["model"].rpartition("/")[2]}
    if told["fingerprint"] not in {fingerprint(settings | {"model": name}) for name in names}:
        raise UnsoundError("has a configuration that is not the one its fingerprint was made of")
    # Runs of earlier versions tell no digest of their table.
    if told.get("table_sha256", digest(table)) != digest(table):
        raise UnsoundError("has another table than the one its manifest was written with")
    if int(rows[-1]["round"]) != settings["rounds"]:
        raise UnsoundError("has a table that ends before the last round")
    accuracy = 100.0 * float(rows[-1]["accuracy"])
    if not 0.0 <= accuracy <= 100.0:
        raise UnsoundError(f"has an accuracy of {accuracy:g} %")
    if not told["facts"].get("data_digest"):
        raise UnsoundError("tells no digest of its data")
    _require_chosen(settings, told.get("learning_rate_trials", []))
    known = {name: told["facts"].get(name) for name in DIGESTS}
    return Record(_comparable({**settings, **known}), accuracy, place)


def _require_chosen(settings: Setting, trials: Sequence[Mapping[str, Any]]) -> None:
    """See that the learning rate is the one that the trials of its grid choose.

    Raises:
        UnsoundError: if it is another one, or the trials are of another grid.
    """
    grid = _comparable(settings)["learning_rate_grid"]
    tried, rate = [trial["learning_rate"] for trial in trials], settings["learning_rate"]
    if len(grid) > 1 and tried != grid:
        raise UnsoundError(f"has learning_rate_trials of {tried or 'nothing'}, its grid is {grid}")
    found = np.array([[t["accuracy"], t["loss"]] for t in trials], dtype=np.float64)
    best = choose(grid, found[:, :1], found[:, 1:]) if len(grid) > 1 else 0
    if grid[best] != rate:
        raise UnsoundError(f"has learning_rate = {rate:g}, its grid's best is {grid[best]:g}")


def _comparable(settings: Setting) -> dict[str, Any]:
    """A rate that was not chosen from a grid is a grid of one, as it is when it is run."""
    grid = settings["learning_rate_grid"] or [settings["learning_rate"]]
    return {**settings, "learning_rate_grid": grid}


def difference(runs: Iterable[Record], free: Iterable[str] = FREE) -> str:
    """The first value in which runs of one task differ, or the data of one seed; "" if they do not."""
    first: dict[tuple[str, int], Record] = {}
    for r in runs:
        task, seed = first.setdefault((r.task, -1), r), first.setdefault((r.task, r.seed), r)
        own = dict.fromkeys((r.settings.keys() | task.settings.keys()) - BY_SEED, task)
        own |= dict.fromkeys(BY_SEED, seed)
        for name, other in sorted(own.items(), key=lambda pair: pair[0]):
            here, there = (one.settings.get(name, "not told") for one in (r, other))
            if here != there and name not in free:
                return f"{name} is {there} in {other.place}, {here} in {r.place}"
    return ""


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
        if preset.cell is None:
            continue
        for seed in seeds:
            config = Config.read(preset.options | {"seed": seed})
            settings = _comparable(manifest(config, {})["configuration"])
            # One cell stands in two tables.
            found[config.fingerprint] = Record(settings, preset.cell.value, preset.name)
    return list(found.values())


def by_seed(
    records: Iterable[Record], method: str, setting: Setting, tasks: Sequence[str]
) -> dict[int, float]:
    """Mean accuracy over the tasks, for every seed that has each of them once: of two runs none is right."""
    scores: dict[int, list[Record]] = {}
    for r in records:
        if r.method == method and r.task in tasks and r.fits(setting):
            scores.setdefault(r.seed, []).append(r)
    return {
        seed: sum(r.accuracy for r in own) / len(own)
        for seed, own in sorted(scores.items())
        if sorted(r.task for r in own) == sorted(tasks)
    }
