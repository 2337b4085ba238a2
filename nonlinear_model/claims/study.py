"""The training runs behind the claims: one setting per profile, the same grid for every method.

Nothing here imports torch before a study runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from federation.learning_rates import Sweep, tuned_sweep
from nonlinear_model.configuration import Configuration
from nonlinear_model.data import mnist
from nonlinear_model.data.registry import load
from nonlinear_model.training import sweep
from verification import paired_study
from verification.budget import Budget
from verification.evidence import Evidence
from verification.finding import Comparison, Plot, Rule
from verification.paired_study import Design, Point, Run
from verification.statistics import mean_estimate

ALPHA = 0.01
"""Error probability of all intervals of one claim together. These are empirical studies of a few seeds; an
interval at the toolkit's usual 1e-6 would need hundreds."""

RULE = Rule(ALPHA, "+.4f")

SCORE = "test accuracy after the last round"

RATES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""The learning-rate grid of every method in every study. Below it all methods are slower; from 3.0 on the
methods that train A diverge. FFA-LoRA does not: only B trains, and with few local steps 10 to 100 is best."""

CLIENTS, LOCAL_STEPS = (5, 10), 10
"""The paper's splits, and the local steps of most studies."""

FIRST_TUNING_SEED = 900
"""Seeds from here on choose the learning rates; those below judge."""

COUNTS = "a lead counts, or is denied, if its whole interval lies on one side of what is demanded"
CHOSEN = "each method at its own best learning rate of one grid, chosen on other seeds"


@dataclass(frozen=True, slots=True)
class Setting:
    """One point of a study: what the methods share there.

    Attributes:
        clients: number of clients N.
        local_steps: K.
        rounds: T.
    """

    clients: int
    local_steps: int
    rounds: int


def settings(
    budget: Budget, clients: Sequence[int] = CLIENTS, local_steps: int = LOCAL_STEPS
) -> tuple[Setting, ...]:
    """The paper's two splits, 5 clients with 2 labels each and 10 with 1, or others."""
    return tuple(Setting(n, local_steps, budget.pick(40, 60)) for n in clients)


def dataset_of(budget: Budget) -> str:
    """`digits` in the quick profile, which needs no files; `mnist` in the full one."""
    return budget.pick("digits", "mnist")


def seeds_of(budget: Budget, count: int) -> tuple[int, ...]:
    """Seeds of the repetitions: neighbouring user seeds share none."""
    return tuple(1000 * budget.seed + place for place in range(count))


def tuning_seeds_of(budget: Budget) -> tuple[int, ...]:
    """Seeds that choose the learning rates and judge nothing."""
    first = 1000 * budget.seed + FIRST_TUNING_SEED
    return tuple(range(first, first + budget.pick(3, 4)))


def trained(
    evidence: Evidence,
    settings: Sequence[Setting],
    methods: Sequence[str],
    seeds: int,
    *,
    lead: float = 0.0,
    axis: str = "clients",
    rule: Rule = RULE,
    beside: str = "",
) -> dict[tuple[int, str], Sweep]:
    """Every method in every setting; nothing, and the claim left open, if the profile's data are not there.

    Args:
        evidence: is told how it was done and by what rule it is judged.
        settings: one run of every method and seed at each.
        methods: names of the methods.
        seeds: how many judge.
        lead: demanded accuracy, checked here before the work.
        axis: the attribute in which the settings differ, first part of the keys.
        rule: from paired intervals to a verdict.
        beside: what else is judged, behind the description of the runs.

    Raises:
        ValueError: on a number of seeds or a lead that cannot be.
    """
    if not 3 <= seeds < FIRST_TUNING_SEED:
        raise ValueError(
            f"seeds must be 3 to {FIRST_TUNING_SEED - 1}, or 0 for the profile's, got {seeds}"
        )
    if not -1.0 < lead < 1.0:
        raise ValueError(f"lead must be a difference of accuracies between -1 and 1, got {lead}")
    budget = evidence.budget
    if dataset_of(budget) != "digits" and mnist.find_folder(budget.data_dir) is None:
        command = f"rolora verify --profile full --only {evidence.id} --data-dir DIR"
        there = mnist.missing_message(budget.data_dir)
        evidence.not_run(there, command=command)
        return {}
    evidence.judge(rule)
    evidence.method(describe(budget, seeds, settings) + beside)
    evidence.record(trials=seeds)
    return {
        (getattr(setting, axis), method): runs(budget, setting, method, seeds)
        for setting in settings
        for method in methods
    }


def settle(
    evidence: Evidence,
    live: Sequence[Comparison],
    on_map: Mapping[Any, Sequence[Comparison]],
    regime: Callable[[Sequence[Any]], str],
    missing: str = "",
) -> None:
    """Judge by the profile's runs if they bear the statement out, else by what of the map does, else by all.

    Args:
        evidence: of the claim.
        live: from the profile's runs.
        on_map: from the committed map, by place.
        regime: the assumption under which the statement holds, from the places where it does.
        missing: what would decide where all of it leaves the statement open.
    """
    good = [place for place, group in on_map.items() if all(c.holds for c in group)]
    if all(c.holds for c in live):
        evidence.compare(*live)
    elif good:
        evidence.compare(*(c for place in good for c in on_map[place]))
        evidence.record(added_assumption=regime(good))
    else:
        evidence.compare(*(c for group in on_map.values() for c in group), *live)
        evidence.record(**{"missing": missing} if missing else {})


def configuration(budget: Budget, setting: Setting) -> Configuration:
    """The paper's network and split in one setting, with plain SGD and equal client sizes."""
    return Configuration(
        dataset=dataset_of(budget),
        clients=setting.clients,
        split="shards",
        equal_sizes=True,
        rounds=setting.rounds,
        local_steps=setting.local_steps,
        batch_size=budget.pick(8, 16),
        optimiser="sgd",
        evaluate_every=max(setting.rounds // 4, 1),
        probe=0,
        # At the largest rates float32's rounding grows to whole per cents of accuracy, and a verdict with it.
        dtype=budget.pick("float64", "float32"),
    )


# A pure function of its arguments, remembered so that a claim's negative control, which judges the same runs
# by another statement, does not train them again.
@lru_cache(maxsize=16)
def runs(budget: Budget, setting: Setting, method: str, seeds: int) -> Sweep:
    """One method in one setting on the given number of seeds, at the rate that other seeds chose."""
    return judged(budget, configuration(budget, setting), (method,), seeds)[method]


def judged(
    budget: Budget, config: Configuration, methods: Sequence[str], seeds: int
) -> dict[str, Sweep]:
    """Each method in one setting on the given number of seeds, at the rate that other seeds chose for it."""
    data = load(config.dataset, budget.data_dir)
    point: Point = (config.clients, config.local_steps, config.rounds)
    design = Design(
        axes=("clients", "local_steps", "rounds"),
        points=(point,),
        methods=tuple(methods),
        rates=RATES,
        tuning_seeds=tuning_seeds_of(budget),
        seeds=seeds_of(budget, seeds),
        score=SCORE,
        rule=RULE,
    )

    def measure(_point: Point, method: str, rate: float, seeds: Sequence[int]) -> list[Run]:
        return sweep.runs(config, data, method, rate, seeds)

    with one_thread():
        return paired_study.run(design, measure, tuned_sweep)[point]


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: claims run side by side, and sums must not depend on the thread count."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def scores_table(found: dict[tuple[Any, ...], Sweep], names: Sequence[str]) -> list[dict[str, Any]]:
    """Tidy rows: the score of every seed, with what the key says of it."""
    rows = []
    for key, result in found.items():
        scores = result.scores()
        for place, seed in enumerate(result.seeds):
            rows.append(
                {
                    **dict(zip(names, key, strict=True)),
                    "seed": seed,
                    "learning_rate": result.rates[result.best()],
                    "accuracy": float(scores[place]),
                }
            )
    return rows


def means_table(found: dict[tuple[Any, ...], Sweep], names: Sequence[str]) -> list[dict[str, Any]]:
    """Tidy rows: mean, 95 % interval and spread of the scores over seeds, one per key."""
    rows = []
    for key, result in found.items():
        estimate = mean_estimate(result.scores(), 0.05)
        rows.append(
            {
                **dict(zip(names, key, strict=True)),
                "accuracy": estimate.mean,
                "low": estimate.interval[0],
                "high": estimate.interval[1],
                "std": float(result.scores().std(ddof=1)),
                "best_rate": result.rates[result.best()],
                "restarted": sum(run.restarts > 0 for run in result.runs.values()),
            }
        )
    return rows


def tables(
    evidence: Evidence, found: dict[Any, Sweep], names: Sequence[str], plot: Plot | None = None
) -> None:
    """Give the means as the claim's table, or as `profile` without a plot; beside it every seed's score."""
    means = means_table(found, names)
    if plot is None:
        evidence.extra_table("profile", means)
    else:
        evidence.table(means, plot)
    evidence.extra_table("seeds", scores_table(found, names))


def describe(budget: Budget, seeds: int, settings: Sequence[Setting]) -> str:
    """The study in one sentence."""
    config = configuration(budget, settings[0])
    rounds = ", ".join(f"{n}" for n in sorted({setting.rounds for setting in settings}))
    return (
        f"{config.dataset}, label shards, SGD with batch {config.batch_size}, {rounds} rounds, {seeds} seeds;"
        f" each method at the learning rate of {{{', '.join(f'{r:g}' for r in RATES)}}} that is best for it"
        f" on {len(tuning_seeds_of(budget))} other seeds, a run that diverges begun anew at the next"
        f" lower one; paired Student intervals, {ALPHA:.0%} error"
        f" together"
    )
