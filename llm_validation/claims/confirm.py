"""The paper's scaling claim on a real encoder: MiniLM, SST-2 and RTE, 3 against 20 clients, on a CPU.

    python -m llm_validation.claims.confirm --data-dir DIR --out results/confirm

Every method gets the same grid of learning rates (chosen on held-out training data with seed 0, per
task, number of clients and method), the same seeds, splits, minibatches and number of samples. Each run is
one small file, so an interrupted study goes on where it stopped. The finished table and its manifest are
what `llm_validation/results/` holds and the claim `llm-minilm-confirmation` reads.
"""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from federation.learning_rates import Sweep, tuned_sweep
from llm_validation.base.encoder import minilm_folder
from llm_validation.claims.decision import RULE
from llm_validation.config import Config
from llm_validation.training.manifest import digest
from verification import paired_study
from verification.codec import json_text
from verification.files import require_writable, write
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
        dtype="bfloat16",
        max_length=64,
        evaluate_every=rounds,
        checkpoint_every=rounds,
        clients_at_once=20,
        device="cpu",
        threads=1,
    )


def measure(
    model: str, data_dir: str, point: Point, method: str, rate: float, seeds: Sequence[int]
) -> Iterator[Run]:
    """Run one cell, seed by seed: tuning seeds on held-out training data, others on the validation split."""
    from llm_validation.tasks import registry
    from llm_validation.training.loop import DivergedError, run
    from llm_validation.training.sweep import held_out

    for seed in seeds:
        config = configuration(point, method, rate, model, data_dir).changed(seed=seed)
        data = registry.load(config)
        if seed == TUNING_SEED:
            config = config.changed(eval_examples=HELD_OUT)
            data = held_out(data, TUNING_SEED)
        rounds, told = (config.rounds,), {"learning_rate": rate}
        try:
            result = run(config, data=data, evaluate_start=False)
        except DivergedError:
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


def main() -> None:
    """Run or continue the study, and write `minilm.csv` and `minilm.json`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", required=True, help="folder with sst2/ and rte/")
    parser.add_argument("--out", type=Path, default=Path("results/confirm"))
    parser.add_argument("--model", default=None, help="checkpoint folder; MiniLM if not given")
    chosen = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    require_writable(chosen.out)
    table = chosen.out / "minilm.csv"
    own = partial(measure, chosen.model or str(minilm_folder()), chosen.data_dir)
    paired_study.run(
        DESIGN, own, tuned_sweep, table=table, rows=rows_of, progress=partial(print, flush=True)
    )
    write(table.with_suffix(".json"), json_text(described(table.read_text("utf-8")), by_name=True))
    print(f"finished: {table}")


def described(table: str) -> dict[str, Any]:
    """Manifest of the study: design, policies and versions, and the digest of its table."""
    import platform
    from importlib.metadata import version

    example = configuration(("sst2", 20), "rolora", DESIGN.rates[0], "all-MiniLM-L6-v2", "glue")
    varied = {"task", "clients", "method", "seed", "learning_rate", "rounds", "evaluate_every"}
    return {
        "schema_version": 1,
        "table_sha256": digest(table),
        "command": "python -m llm_validation.claims.confirm --data-dir DIR",
        "model": "all-MiniLM-L6-v2 (BERT, 6 layers, 22.7 M parameters), frozen, bfloat16",
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
            if name not in varied | {"checkpoint_every", "model", "data_dir"}
        },
        "environment": {
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "packages": {
                name: version(name) for name in ("torch", "transformers", "peft", "numpy")
            },
        },
    }


if __name__ == "__main__":
    main()
