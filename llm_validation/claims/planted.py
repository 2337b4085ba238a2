"""Runs in which the answer is known, for controls: the user's own, or made-up ones read from folders.

The rivals are lowered until RoLoRA's lead, at its real spread, exceeds what is demanded by a tenth more than
the interval's half-width: a claim must be confirmed by that, and refuted once methods' names are exchanged.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from llm_validation.claims.question import LEAST_SEEDS, Question, Scores
from llm_validation.config import Config
from llm_validation.paper.presets import ROUNDS_TIMES_CLIENTS, Preset, preset_named, seldom
from llm_validation.paper.records import FREE, Record, Setting, from_folders
from llm_validation.training.manifest import LABELS, digest, manifest
from verification.codec import csv_text, json_text
from verification.statistics import mean_estimate

BEYOND = 1.1
"""Planted leads in units of the interval's half-width."""
NARROWEST = 0.01
"""Half-width in points that a planted lead takes for granted where the runs have less."""
SEEDS = range(1, LEAST_SEEDS + 1)


def planted(
    question: Question, records: Sequence[Record], lead: float, alpha: float
) -> list[Record]:
    """The same runs with the rivals lowered, where they should be behind, until all leads are there.

    Args:
        question: what is compared.
        records: runs that can answer it.
        lead: points demanded of every lead.
        alpha: error probability of all intervals together.
    """
    found = question.leads(records)
    short = shortfall(found.values(), lead, alpha / len(found))
    behind = question.at(records, *question.ahead, *question.falls[1:])
    lowered = {id(r) for r in behind if r.method in question.rivals}
    return [replace(r, accuracy=r.accuracy - short * (id(r) in lowered)) for r in records]


def shortfall(leads: Iterable[Scores], lead: float, alpha: float) -> float:
    """Points that the leads must grow by, until each exceeds what is demanded as a planted one should."""
    short = []
    for own in leads:
        seen = mean_estimate(np.array(list(own.values())), alpha)
        half = max(seen.interval[1] - seen.mean, NARROWEST)
        short.append(lead + BEYOND * half - seen.mean)
    return max(short)


def exchanged(question: Question, records: Sequence[Record]) -> list[Record]:
    """The same runs with the names of RoLoRA and the first rival exchanged."""
    rival = question.rivals[0]
    names = {"rolora": rival, rival: "rolora"}
    return [altered(r, method=names.get(r.method, r.method)) for r in records]


def altered(record: Record, **values: Any) -> Record:
    """The run with other values in its configuration."""
    return replace(record, settings={**record.settings, **values})


def require_noticed(question: Question, records: Sequence[Record]) -> None:
    """See that no answer rests on a run of which the method's name, or any value, was exchanged.

    Raises:
        RuntimeError: if one does.
    """
    one = next(r for r in question.at(records, *question.settings) if r.method == "rolora")
    values = {"method": question.rivals[0]}
    values |= {name: exchanged_value(v) for name, v in one.settings.items() if name not in FREE}
    for name, value in values.items():
        other = altered(one, **{name: value})
        if question.at([other], *question.settings):
            changed = [other if r is one else r for r in records]
            if not question.obstacle(changed):
                raise RuntimeError(f"a run with another {name} was compared as if it were the same")


def exchanged_value(value: Any) -> Any:
    """Another value of a configuration."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return [*value, "another"] if isinstance(value, list) else f"{value}, another"


def presets_of(question: Question, setting: Setting) -> Iterator[Preset]:
    """The published recipe at a setting, for every method and task."""
    table = "glue" if question.model == "roberta-large" else "commonsense"
    for task, method in product(question.tasks, question.methods):
        base = preset_named(f"{table}-{task}-50-{method}")
        own = at_length(setting)
        yield replace(
            base, options={**base.options, **own, "evaluate_every": seldom(own["rounds"])}
        )


def at_length(setting: Setting) -> Setting:
    """A setting with the rounds that go through the published number of samples."""
    rounds = ROUNDS_TIMES_CLIENTS * 20 // (setting["clients"] * setting["local_steps"])
    return {**setting, "rounds": rounds}


def command(question: Question, claim_id: str) -> str:
    """What makes the runs and decides by them, for a shell; what another claim's command made is kept."""
    table = "glue" if question.model == "roberta-large" else "commonsense"
    said = []
    for setting in question.settings:
        own = at_length(setting)
        values = {
            name: ",".join(value) if isinstance(value, list) else str(value)
            for name, value in own.items()
        }
        options = " ".join(
            f"--{name.replace('_', '-')} {value}" for name, value in values.items() if value
        )
        options += f" --evaluate-every {seldom(own['rounds'])}"
        folder = "-".join(value or "usual" for value in values.values())
        said.append(
            f"for t in {' '.join(question.tasks)}; do for m in {' '.join(question.methods)}; do for s in"
            f" {' '.join(map(str, SEEDS))}; do rolora llm run --preset {table}-$t-50-$m {options} --seed $s"
            f" --out results/llm/{folder}-$t-$m-$s --resume; done; done; done"
        )
    return f"{'; '.join(said)}; rolora verify --only {claim_id} --results-dir results/llm"


def cost(question: Question) -> str:
    """What the command takes at most, in words."""
    found = [preset for one in question.settings for preset in presets_of(question, one)]
    rates = len(found[0].options["learning_rate_grid"])
    hours = sum(preset.hours for preset in found) * len(SEEDS) * (rates + 1)
    return (
        f"at most {hours:,.0f} hours of one data-centre GPU, with {len(SEEDS)} seeds and a grid of"
        f" {rates} learning rates"
    )


def made_up(question: Question, rng: np.random.Generator) -> list[Record]:
    """Runs of equal methods with some spread, written as run folders and read back."""
    with TemporaryDirectory() as folder:
        for i, setting in enumerate(question.settings):
            for j, preset in enumerate(presets_of(question, setting)):
                for seed in SEEDS:
                    config = Config.read(preset.options | {"seed": seed})
                    accuracy = 0.8 + 0.01 * float(rng.standard_normal())
                    write_run(Path(folder) / f"{i}-{j}-{seed}", config, accuracy)
        return from_folders(Path(folder))[0]


def write_run(folder: Path, config: Config, accuracy: float) -> None:
    """Write what is read of a finished run: its manifest and the end of its table."""
    columns = {"round": [config.rounds]} | {name: [nan] for name in LABELS}
    columns["accuracy"] = [accuracy]
    table = csv_text(columns)
    facts = {"data_digest": f"{config.task}, {config.seed}", "base_digest": config.model}
    told = manifest(config, facts) | {"table_sha256": digest(table)}
    if len(config.learning_rate_grid) > 1:
        told["learning_rate_trials"] = [
            {"learning_rate": r, "accuracy": float(r == config.learning_rate), "loss": 1.0}
            for r in config.learning_rate_grid
        ]
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json_text(told), "utf-8")
    (folder / "run.csv").write_text(table, "utf-8")
