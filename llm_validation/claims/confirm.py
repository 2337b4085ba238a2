"""The paper's scaling claim on a real encoder: MiniLM, SST-2 and RTE, 3 against 20 clients, on a CPU.

    python -m llm_validation.claims.confirm --data-dir ../shared/data/glue --out results/confirm

Every method gets the same grid of learning rates (chosen on held-out training data with seed 0, per
task, number of clients and method), the same seeds, splits, minibatches and number of samples. Each cell is
one small file, so an interrupted study goes on where it stopped. The finished table and its manifest are
what `llm_validation/results/` holds and the claim `llm-minilm-confirmation` reads.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llm_validation.base.encoder import minilm_folder
from llm_validation.config import Config
from verification.codec import columns_of, csv_text, json_text
from verification.files import require_writable, write

TASKS = ("sst2", "rte")
CLIENTS = (3, 20)
METHODS = ("fedavg", "ffa", "rolora")
SEEDS = (1, 2, 3, 4, 5)
GRID = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
TUNING_SEED = 0
HELD_OUT = 400
BATCH, STEPS = 4, 5
SAMPLES = {"sst2": 2400, "rte": 800}
"""Training examples gone through by all clients together, whatever their number."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the study."""

    task: str
    clients: int
    method: str
    seed: int
    learning_rate: float

    @property
    def name(self) -> str:
        """Name of the cell's file."""
        return f"{self.task}-{self.clients}-{self.method}-{self.seed}-{self.learning_rate:g}"


def configuration(cell: Cell, model: str, data_dir: str) -> Config:
    """The run of a cell: rounds such that the number of samples is the task's."""
    rounds = SAMPLES[cell.task] // (cell.clients * STEPS * BATCH)
    return Config(
        model=model,
        task=cell.task,
        data_dir=data_dir,
        method=cell.method,
        clients=cell.clients,
        rounds=rounds,
        local_steps=STEPS,
        batch_size=BATCH,
        seed=cell.seed,
        learning_rate=cell.learning_rate,
        learning_rate_grid=GRID,
        dtype="bfloat16",
        max_length=64,
        evaluate_every=rounds,
        checkpoint_every=rounds,
        clients_at_once=20,
        device="cpu",
        threads=1,
    )


def measure(cell: Cell, model: str, data_dir: str) -> dict[str, Any]:
    """Run one cell: tuning cells on held-out training data, the others on the validation split."""
    from llm_validation.tasks import registry
    from llm_validation.training.loop import DivergedError, run
    from llm_validation.training.sweep import held_out

    config = configuration(cell, model, data_dir)
    data = registry.load(config)
    if cell.seed == TUNING_SEED:
        config = config.changed(eval_examples=HELD_OUT)
        data = held_out(data, TUNING_SEED)
    record: dict[str, Any] = asdict(cell) | {"purpose": purpose(cell), "rounds": config.rounds}
    try:
        result = run(config, data=data, evaluate_start=False)
    except DivergedError:
        return record | dict.fromkeys(RESULTS)
    last = result.rows[-1]
    return record | {
        "accuracy": last["accuracy"],
        "loss": last["loss"],
        "train_loss": last["train_loss"],
        "numbers_up": last["numbers_up"],
        "tokens": last["tokens"],
        "aggregation_error": last["aggregation_error"],
        "examples": result.facts["evaluation_examples"],
    }


RESULTS = (
    "accuracy", "loss", "train_loss", "numbers_up", "tokens", "aggregation_error", "examples",
)  # fmt: skip


def purpose(cell: Cell) -> str:
    """Whether a cell chooses a learning rate or counts for the verdict."""
    return "tuning" if cell.seed == TUNING_SEED else "final"


def tuning_cells() -> Iterator[Cell]:
    """The cells that choose the learning rates."""
    for task in TASKS:
        for clients in CLIENTS:
            for method in METHODS:
                for rate in GRID:
                    yield Cell(task, clients, method, TUNING_SEED, rate)


def final_cells(tuned: list[dict[str, Any]]) -> Iterator[Cell]:
    """The cells that count, each at its method's own best learning rate."""
    from llm_validation.training.sweep import choose

    for task in TASKS:
        for seed in SEEDS:
            for clients in CLIENTS:
                for method in METHODS:
                    own = [
                        record
                        for record in tuned
                        if (record["task"], record["clients"], record["method"])
                        == (task, clients, method)
                    ]
                    yield Cell(task, clients, method, seed, choose(own))


def study(out: Path, model: str, data_dir: str) -> list[dict[str, Any]]:
    """Every cell in turn; cells that are there already are read."""

    def cell_record(cell: Cell) -> dict[str, Any]:
        path = out / "cells" / f"{cell.name}.json"
        if path.is_file():
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return found
        record = measure(cell, model, data_dir)
        write(path, json_text(record, by_name=True))
        print(f"{cell.name}: {record['accuracy']}", flush=True)
        return record

    tuned = [cell_record(cell) for cell in tuning_cells()]
    return tuned + [cell_record(cell) for cell in final_cells(tuned)]


def main() -> None:
    """Run or continue the study, and write `minilm.csv` and `minilm.json`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", required=True, help="folder with sst2/ and rte/")
    parser.add_argument("--out", type=Path, default=Path("results/confirm"))
    parser.add_argument("--model", default=None, help="checkpoint folder; MiniLM if not given")
    chosen = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    require_writable(chosen.out)
    records = study(chosen.out, chosen.model or str(minilm_folder()), chosen.data_dir)
    write(chosen.out / "minilm.csv", csv_text(columns_of(records)))
    write(chosen.out / "minilm.json", json_text(described(), by_name=True))
    print(f"{len(records)} cells: {chosen.out / 'minilm.csv'}")


def described() -> dict[str, Any]:
    """Manifest of the study: design, policies and versions."""
    import platform
    from importlib.metadata import version

    example = configuration(Cell("sst2", 20, "rolora", 1, GRID[0]), "all-MiniLM-L6-v2", "glue")
    varied = {"task", "clients", "method", "seed", "learning_rate", "rounds", "evaluate_every"}
    return {
        "schema_version": 1,
        "command": "python -m llm_validation.claims.confirm --data-dir ../shared/data/glue",
        "model": "all-MiniLM-L6-v2 (BERT, 6 layers, 22.7 M parameters), frozen, bfloat16",
        "design": {
            "tasks": TASKS,
            "clients": CLIENTS,
            "methods": METHODS,
            "seeds": SEEDS,
            "learning_rate_grid": GRID,
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
