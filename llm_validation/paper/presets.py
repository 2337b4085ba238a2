"""Every published language-model cell as a run one can start, with what it would cost.

The recipe is public in part only: batch 32, 20 local steps, 128 tokens, LoRA alpha 32 and dropout 0.1 on
query and value, rounds such that rounds × clients stays constant (QNLI: 500 at 3 clients, 75 at 20, 30 at
50). Optimiser, head and learning rate are not named: `recipes` has two, and the manifest records them. Rounds
of the other tasks are taken to be QNLI's.

Published accuracies on commonsense questions lie far below chance, 1.61 % of two options: answers were
generated, and wrong where no option was found in them. These presets are scored that way.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from federated_lora import Shape, method_named
from federation.participants import how_many
from llm_validation.paper.published import AVERAGE, METHODS, PublishedNumber, cells
from llm_validation.paper.recipes import ADAMW, Recipe
from verification.names import unknown

ROUNDS_TIMES_CLIENTS = 1500
EVALUATIONS = 20
LOW_PRECISION: dict[str, Any] = {"dtype": "bfloat16", "products": "base", "tf32": True}
"""Of the frozen base and all products; adapters, heads and moments stay in float32."""
TERAFLOPS = 150.0
"""Assumed sustained speed of one data-centre GPU in bf16, TFLOP/s; hours scale with it."""


@dataclass(frozen=True, slots=True)
class BaseModel:
    """What the cost of a base depends on.

    Its parameters are the transformer layers', embeddings left out; its width that of the query, and of the
    value unless that has another.
    """

    id: str
    parameters: float
    width: int
    layers: int
    value: int = 0


ROBERTA_LARGE = BaseModel("FacebookAI/roberta-large", 302.3e6, 1024, 24)
LLAMA_2_7B = BaseModel("meta-llama/Llama-2-7b-hf", 6.476e9, 4096, 32)
MISTRAL_7B = BaseModel("mistralai/Mistral-7B-v0.3", 6.98e9, 4096, 32, value=1024)


@dataclass(frozen=True, slots=True)
class Preset:
    """A run: the published cell it stands beside, if any, and configuration keys as in a TOML file."""

    name: str
    cell: PublishedNumber | None
    options: dict[str, Any]
    base: BaseModel

    @property
    def examples(self) -> int:
        """Training examples gone through, one seed and one learning rate."""
        o = self.options
        return int(o["rounds"] * self._present * o["local_steps"] * o["batch_size"])

    @property
    def _present(self) -> int:
        """Clients of a round."""
        return how_many(self.options["clients"], self.options.get("participation", 1.0))

    @property
    def petaflop(self) -> float:
        """Work of one run at most: every example at full length, 4 FLOP per parameter and token.

        Two for the forward pass and two for the gradients of the activations; the frozen weights' own
        gradients, which make up the usual third pair, are never computed.
        """
        return 4.0 * self.base.parameters * self.examples * self.options["max_length"] / 1e15

    @property
    def hours(self) -> float:
        """One run at `TERAFLOPS`, in hours."""
        return self.petaflop * 1e3 / TERAFLOPS / 3600.0

    @property
    def numbers_up(self) -> int:
        """Adapter numbers all clients send up in one run."""
        method = method_named(self.options["method"], self.options["rounds"])
        base, rank = self.base, self.options["rank"]
        widths = (base.width, base.value or base.width) * base.layers
        shapes = [Shape(base.width, rank, width) for width in widths]
        rounds = range(1, self.options["rounds"] + 1)
        return sum(method.traffic(shapes, t).up for t in rounds) * self._present

    def toml(self) -> str:
        """The preset as a configuration file."""
        lines = [f"# {self.name}: no number is published"]
        if self.cell:
            lines = [f"# {self.name}: the paper reports {self.cell.value:.2f} %"]
            lines += ["# (from a second-hand source)"] * (not self.cell.confirmed)
        lines += [f"{key} = {json.dumps(value)}" for key, value in self.options.items()]
        return "\n".join(lines) + "\n"

    def record(self) -> dict[str, Any]:
        """The preset as JSON data."""
        return {
            "name": self.name,
            "published": asdict(self.cell) if self.cell else None,
            "options": self.options,
            "examples": self.examples,
            "petaflop": self.petaflop,
            "hours": self.hours,
            "hours_assume_teraflops": TERAFLOPS,
            "numbers_up": self.numbers_up,
            "command": f"rolora llm run --preset {self.name}",
        }


def presets(recipe: Recipe = ADAMW) -> tuple[Preset, ...]:
    """Every published cell, in the order of the tables, and what has no published number."""
    of_cells = (replace(one, options={**one.options, **recipe.options}) for one in _cells())
    return tuple(
        replace(one, options={**one.options, "evaluate_every": seldom(one.options["rounds"])})
        for one in (*of_cells, *_flowertune())
    )


def seldom(rounds: int) -> int:
    """Rounds between two of about `EVALUATIONS` evaluations: the last counts, the rest is a curve."""
    return max(1, rounds // EVALUATIONS)


def preset_named(name: str, recipe: Recipe = ADAMW) -> Preset:
    """The preset of that name."""
    known = {preset.name: preset for preset in presets(recipe)}
    if name not in known:
        raise ValueError(unknown("preset", name, known, listing="`rolora llm presets` lists them"))
    return known[name]


def task_of(cell: PublishedNumber) -> str:
    """The name of a cell's task in this toolkit."""
    return cell.task.lower().replace("sst-2", "sst2")


def _cells() -> Iterator[Preset]:
    glue_tasks = dict.fromkeys(
        task_of(c) for c in cells() if c.table == "glue" and c.task != AVERAGE
    )
    for cell in cells():
        method = METHODS[cell.method]
        if cell.table == "glue-rank8":
            # Only the average over the tasks is published.
            for task in glue_tasks:
                yield _glue(cell, f"glue-rank8-{task}-{cell.clients}-{method}", task, rank=8)
        elif cell.task == AVERAGE:
            continue
        elif cell.table == "glue":
            task = task_of(cell)
            yield _glue(cell, f"glue-{task}-{cell.clients}-{method}", task)
        elif cell.table == "mnli-dirichlet":
            alpha = float(cell.setting.removeprefix("Dirichlet(").removesuffix(")"))
            name = f"mnli-dirichlet-{alpha:g}-{cell.clients}-{method}"
            yield _glue(cell, name, "mnli", split="dirichlet", dirichlet_alpha=alpha)
        elif cell.table == "mnli-local-steps":
            steps = int(cell.setting.split()[0])
            yield _glue(
                cell, f"mnli-steps-{steps}-{cell.clients}-{method}", "mnli", local_steps=steps
            )
        elif cell.table == "commonsense":
            task = task_of(cell)
            options = _recipe(cell, task, rank=8) | LLAMA
            yield Preset(f"commonsense-{task}-{cell.clients}-{method}", cell, options, LLAMA_2_7B)


def _glue(cell: PublishedNumber, name: str, task: str, rank: int = 4, **changes: Any) -> Preset:
    options = (
        {"model": ROBERTA_LARGE.id, **LOW_PRECISION, "cuda_graphs": True}
        | _recipe(cell, task, rank)
        | changes
    )
    steps = options["local_steps"]
    # The number of samples stays constant, so fewer local steps mean more rounds.
    options["rounds"] = ROUNDS_TIMES_CLIENTS * 20 // (cell.clients * steps)
    return Preset(name, cell, options, ROBERTA_LARGE)


def _recipe(cell: PublishedNumber, task: str, rank: int) -> dict[str, Any]:
    return {
        "task": task,
        "method": METHODS[cell.method],
        "clients": cell.clients,
        "rounds": ROUNDS_TIMES_CLIENTS // cell.clients,
        "local_steps": 20,
        "batch_size": 32,
        "max_length": 128,
        "rank": rank,
        "lora_alpha": 32.0,
        "lora_dropout": 0.1,
    }


LLAMA = {"model": LLAMA_2_7B.id, **LOW_PRECISION, "scoring": "extract"}
FLOWERTUNE: dict[str, Any] = {
    "model": MISTRAL_7B.id,
    "quantisation": "4bit",
    "dtype": "bfloat16",
    "gradient_checkpointing": True,
    "task": "boolq",
    "scoring": "extract",
    "participation": 0.1,
    "rounds": 200,
    "local_steps": 10,
    "batch_size": 16,
    "max_length": 512,
    "rank": 32,
    "lora_alpha": 64.0,
    "lora_dropout": 0.075,
    "optimiser": "adamw",
    "learning_rate": 5e-5,
    "learning_rate_end": 1e-6,
    "schedule": "cosine",
}
"""The form of Flower's baseline for its FlowerTune leaderboard. Its instructions have no options to score:
any commonsense set takes their place."""


def _flowertune() -> Iterator[Preset]:
    for clients in (20, 50):
        for method in METHODS.values():
            options = FLOWERTUNE | {"clients": clients, "method": method}
            yield Preset(f"flowertune-{clients}-{method}", None, options, MISTRAL_7B)
