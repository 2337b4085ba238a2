"""The paper's scaling claim on a real encoder: MiniLM, SST-2 and RTE, 3 against 20 clients, on a CPU.

    python -m llm_validation.study.confirm --data-dir DIR

Every method gets the same grid of learning rates (chosen on held-out training data with seed 0, per
task, number of clients and method), the same seeds, splits, minibatches and number of samples. Each run is
one small file, so an interrupted study goes on where it stopped. The finished table and its manifest are
what `llm_validation/results/` holds and the claim `llm-minilm-confirmation` reads.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

from federation.learning_rates import Sweep, tuned_sweep
from llm_validation.claims.decision import RULE
from llm_validation.config import Config
from llm_validation.study import cell
from verification.paired_study import Design, Point, Run

TASKS = ("sst2", "rte")
CLIENTS = (3, 20)
TUNING_SEED = 0
HELD_OUT = 400
BATCH, STEPS = 4, 5
SAMPLES = {"sst2": 2400, "rte": 800}
"""Training examples gone through by all clients together, whatever their number."""
DESIGN = Design(
    axes=("task", "clients"),
    points=tuple(product(TASKS, CLIENTS)),
    methods=("fedavg", "ffa", "rolora"),
    rates=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    tuning_seeds=(TUNING_SEED,),
    seeds=(1, 2, 3, 4, 5),
    score="accuracy after the last round: of held-out training data where a rate is chosen, of the"
    " validation split where it counts",
    rule=RULE,
    fixed={"held_out": HELD_OUT, "batch_size": BATCH, "local_steps": STEPS, "samples": SAMPLES},
)
RESULTS = ("loss", "train_loss", "numbers_up", "tokens", "aggregation_error")


def configuration(point: Point, method: str, rate: float, model: str, data_dir: str) -> Config:
    """A run without its seed: rounds such that the number of samples is the task's."""
    task, clients = point
    rounds = SAMPLES[task] // (clients * STEPS * BATCH)
    return Config(
        model=model,
        task=task,
        data_dir=data_dir,
        method=method,
        clients=clients,
        rounds=rounds,
        local_steps=STEPS,
        batch_size=BATCH,
        learning_rate=rate,
        learning_rate_grid=DESIGN.rates,
        evaluate_every=rounds,
        checkpoint_every=rounds,
        **cell.MACHINE,
    )


def measure(
    model: str, data_dir: str, point: Point, method: str, rate: float, seeds: Sequence[int]
) -> Iterator[Run]:
    """Run one cell, seed by seed: tuning seeds on held-out training data, others on the validation split."""
    for seed in seeds:
        config = configuration(point, method, rate, model, data_dir).changed(seed=seed)
        result = cell.result_of(config, HELD_OUT if seed == TUNING_SEED else 0)
        rounds, told = (config.rounds,), {"learning_rate": rate}
        if result is None:
            yield Run(rounds, (None,), diverged=True, facts=told)
            continue
        last = result.rows[-1]
        facts = told | {name: last[name] for name in RESULTS}
        facts["examples"] = result.facts["evaluation_examples"]
        yield Run(rounds, (last["accuracy"],), facts=facts)


def rows_of(found: Mapping[Point, Mapping[str, Sweep]]) -> list[dict[str, Any]]:
    """The study as tidy rows: the runs that chose the rates, then those that count, seed by seed."""
    rows = []
    for (task, clients), sweeps in found.items():
        for method, judged in sweeps.items():
            for purpose, sweep in (("tuning", judged.tuned), ("final", judged)):
                for (_, seed), run in (sweep.runs if sweep else {}).items():
                    row = {"task": task, "clients": clients, "method": method, "seed": seed}
                    row |= {"learning_rate": run.facts["learning_rate"], "purpose": purpose}
                    row |= {"rounds": run.rounds[-1], "accuracy": run.scores[-1]}
                    rows.append(
                        row | {name: run.facts.get(name) for name in (*RESULTS, "examples")}
                    )
    return [row for row in rows if row["purpose"] == "tuning"] + sorted(
        (row for row in rows if row["purpose"] == "final"),
        key=lambda row: (TASKS.index(row["task"]), row["seed"]),
    )


def told() -> dict[str, Any]:
    """What the manifest says of the study: design, history and policies."""
    example = configuration(("sst2", 20), "rolora", DESIGN.rates[0], cell.MODEL, "glue")
    varied = {"task", "clients", "method", "seed", "learning_rate", "rounds", "evaluate_every"}
    return {
        "command": "python -m llm_validation.study.confirm --data-dir DIR",
        "design": {
            "tasks": TASKS,
            "clients": CLIENTS,
            "methods": DESIGN.methods,
            "seeds": DESIGN.seeds,
            "learning_rate_grid": DESIGN.rates,
            "tuning": f"seed {TUNING_SEED}, {HELD_OUT} held-out training examples",
            "samples": SAMPLES,
        },
        "history": "The grid was moved down once after three tuning runs and later widened at both ends,"
        " since best rates lay at its ends; at that time the seeds that count were raised from 3 to 5. Two"
        " of the runs that count had been made by then (SST-2, 3 clients, seed 1: FedAvg-LoRA and FFA-LoRA),"
        " so no lead of RoLoRA was known; both were kept, as their rates were chosen again. The"
        " samples of RTE were cut from 1200 to 800 for time. With 4800 samples RTE was not learned"
        " either in the two runs tried (tuning seed, 3 clients, FedAvg-LoRA and RoLoRA).",
        "policies": {
            name: value
            for name, value in asdict(example).items()
            if name not in varied | cell.FOLDERS
        },
    }


if __name__ == "__main__":
    cell.command(__doc__, "minilm", DESIGN, measure, tuned_sweep, rows_of, told)
