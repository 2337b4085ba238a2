"""Everything that decides the outcome of one federated run, validated before any work is done."""

from __future__ import annotations

import hashlib
import json
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated_lora import method_named
from federation.policies import ENGINES, HEADS, STATE_POLICIES, WEIGHTINGS, refuse_old_names
from verification.names import one_of

if TYPE_CHECKING:
    from federation.optimisers import Optimiser

CHOICES: dict[str, tuple[str, ...]] = {
    "split": ("iid", "shards", "dirichlet"),
    "optimiser": ("adamw", "sgd"),
    "optimiser_state": STATE_POLICIES,
    "schedule": ("constant", "linear"),
    "head": HEADS,
    "weighting": WEIGHTINGS,
    "init": ("true", "false", "gaussian", "orthogonal"),
    "base_dropout": ("off", "model"),
    "dtype": ("float32", "bfloat16", "float64"),
    "quantisation": ("none", "4bit"),
    "engine": ENGINES,
    "device": ("auto", "cpu", "cuda"),
    "scoring": ("likelihood", "generate"),
}
"""Allowed values of every named policy, the default first."""

_PLACES = frozenset({"data_dir", "checkpoint_every", "device", "threads"})
"""Fields that say where and how conveniently a run happens, not what it computes."""


@dataclass(frozen=True, slots=True)
class Config:
    """One federated fine-tuning run.

    Attributes:
        model: Hugging Face id or local folder of a sequence classifier or causal LM.
        task: sst2, qnli, mnli, qqp, rte; a commonsense set; or `custom`.
        data_dir: folder with one subfolder per task, or None for the hub.
        method: name of a `federated_lora` method.
        clients: number of clients N ≥ 1.
        participation: share of the clients drawn every round, in (0, 1].
        rounds: server rounds T ≥ 1.
        local_steps: gradient steps K ≥ 1 of each client in a round.
        batch_size: examples per local step; a client with fewer uses all it has.
        split: how examples are dealt out: iid, shards (by label) or dirichlet.
        labels_per_client: labels a client holds in a shard split.
        dirichlet_alpha: concentration of a Dirichlet split.
        seed: root of every random stream.
        rank: LoRA rank r.
        lora_alpha: LoRA alpha; the scale is alpha / r, or alpha / sqrt(r) with `rslora`.
        lora_dropout: dropout on the adapters' input.
        rslora: rank-stabilised scale.
        target_modules: name endings of the adapted layers; empty for the query and value projections.
        init: initialisation of the factors, by PEFT's name (`true` is its default: A random, B = 0).
        optimiser: adamw or sgd.
        momentum: of sgd.
        optimiser_state: reset in every round, or keep per client across rounds.
        learning_rate: step size.
        learning_rate_grid: the grid the step size was chosen from, recorded with the result.
        schedule: constant, or linear decay over the rounds.
        weight_decay: decoupled for adamw, L2 for sgd.
        clip: bound on each client's gradient norm; 0 for none.
        head: classification head trained and averaged, kept local, or frozen at its initialisation.
        weighting: clients weighted by their number of examples, or uniformly.
        base_dropout: dropout inside the frozen base switched off, or as the model has it.
        dtype: of the frozen base; adapters, heads and optimiser state are float32, or float64 with it.
        quantisation: 4bit needs bitsandbytes.
        gradient_checkpointing: recompute activations in the backward pass.
        engine: all-at-once (many clients in one pass) or one-by-one (the reference).
        clients_at_once: clients per pass of the all-at-once engine; 0 to fit memory.
        device: auto, cpu or cuda.
        threads: CPU threads; 0 leaves torch's choice.
        max_length: tokens an example is cut to.
        train_examples, eval_examples: at most so many (drawn by seed); 0 for all.
        text_columns, label_column: columns of a custom task.
        scoring: of causal tasks: likelihood of the options, or exact match of the generated answer.
        evaluate_every: rounds between evaluations; the last round is always evaluated.
        checkpoint_every: rounds between checkpoints.
    """

    model: str
    task: str
    data_dir: str | None = None
    method: str = "rolora"
    clients: int = 3
    participation: float = 1.0
    rounds: int = 16
    local_steps: int = 10
    batch_size: int = 16
    split: str = "iid"
    labels_per_client: int = 1
    dirichlet_alpha: float = 0.5
    seed: int = 0
    rank: int = 4
    lora_alpha: float = 32.0
    lora_dropout: float = 0.1
    rslora: bool = False
    target_modules: tuple[str, ...] = ()
    init: str = "true"
    optimiser: str = "adamw"
    momentum: float = 0.0
    optimiser_state: str = "reset"
    learning_rate: float = 2e-3
    learning_rate_grid: tuple[float, ...] = ()
    schedule: str = "constant"
    weight_decay: float = 0.0
    clip: float = 0.0
    head: str = "average"
    weighting: str = "examples"
    base_dropout: str = "off"
    dtype: str = "float32"
    quantisation: str = "none"
    gradient_checkpointing: bool = False
    engine: str = "all-at-once"
    clients_at_once: int = 0
    device: str = "auto"
    threads: int = 0
    max_length: int = 128
    train_examples: int = 0
    eval_examples: int = 0
    text_columns: tuple[str, ...] = ()
    label_column: str = "label"
    scoring: str = "likelihood"
    evaluate_every: int = 1
    checkpoint_every: int = 5

    def __post_init__(self) -> None:
        for name in ("model", "task"):
            if not getattr(self, name):
                raise ValueError(f"{name} must not be empty")
        refuse_old_names({name: getattr(self, name) for name in CHOICES})
        for name, allowed in CHOICES.items():
            one_of(name, getattr(self, name), allowed)
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(
                    f"{name} must be a whole number of at least {least}, got {value!r}"
                )
        if method_named(self.method, self.rounds).personal:
            raise ValueError(f"method {self.method} keeps personal factors, not supported here")
        for name, (low, high, open_low) in _RANGES.items():
            value = getattr(self, name)
            if not isfinite(value) or value > high or value < low or (open_low and value == low):
                bounds = f"{'above' if open_low else 'at least'} {low:g}"
                bounds += f" and at most {high:g}" if high != _INF else " and finite"
                raise ValueError(f"{name} must be {bounds}, got {value}")
        for rate in self.learning_rate_grid:
            if not isfinite(rate) or rate <= 0.0:
                raise ValueError(f"learning_rate_grid must hold positive numbers, got {rate}")
        if self.engine == "all-at-once" and self.base_dropout == "model":
            raise ValueError(
                "base_dropout = model draws one mask for all clients of a pass; use engine = one-by-one"
                " with it, or base_dropout = off"
            )
        if self.optimiser == "adamw" and self.momentum:
            raise ValueError(f"momentum belongs to optimiser = sgd, got {self.momentum} with adamw")

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the outcome."""
        return hashlib.sha256(json.dumps(self.deciding, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def deciding(self) -> dict[str, Any]:
        """Everything that decides the outcome; a checkpoint is refused under anything else."""
        kept = {name: value for name, value in asdict(self).items() if name not in _PLACES}
        kept["model"] = Path(self.model).name if Path(self.model).is_dir() else self.model
        return kept

    def optimiser_rule(self) -> Optimiser:
        """The update rule; torch is imported only here."""
        from federation.optimisers import Optimiser

        return Optimiser(
            "momentum" if self.optimiser == "sgd" and self.momentum else self.optimiser,
            self.momentum,
            weight_decay=self.weight_decay,
            clip=self.clip,
            state=self.optimiser_state,
        )

    def changed(self, **values: Any) -> Config:
        """A copy with some fields exchanged, validated again."""
        return replace(self, **values)

    def command(self) -> str:
        """The command line that starts this run."""
        parts = ["rolora llm run"]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("model", "task") and value == field.default:
                continue
            option = "--" + field.name.replace("_", "-")
            if isinstance(value, bool):
                parts.append(option if value else "--no-" + option[2:])
            elif isinstance(value, tuple):
                parts.append(f"{option} {shlex.quote(','.join(map(str, value)))}")
            else:
                parts.append(f"{option} {shlex.quote(str(value))}")
        return " ".join(parts)


_INF = float("inf")
_LEAST = {
    "clients": 1, "rounds": 1, "local_steps": 1, "batch_size": 1, "labels_per_client": 1, "seed": 0,
    "rank": 1, "clients_at_once": 0, "threads": 0, "max_length": 4, "train_examples": 0,
    "eval_examples": 0, "evaluate_every": 1, "checkpoint_every": 1,
}  # fmt: skip
_RANGES = {
    "participation": (0.0, 1.0, True),
    "dirichlet_alpha": (0.0, _INF, True),
    "lora_alpha": (0.0, _INF, True),
    "lora_dropout": (0.0, 0.95, False),
    "momentum": (0.0, 0.9999, False),
    "learning_rate": (0.0, _INF, True),
    "weight_decay": (0.0, _INF, False),
    "clip": (0.0, _INF, False),
}


def from_mapping(values: Mapping[str, Any]) -> Config:
    """Build a configuration from plain values, as read from TOML or JSON.

    Raises:
        ValueError: on an unknown key (the nearest is suggested), a missing one or a wrong type.
    """
    known = {field.name: field for field in fields(Config)}
    clean: dict[str, Any] = {}
    refuse_old_names({key.replace("-", "_"): value for key, value in values.items()})
    for key, value in values.items():
        name = key.replace("-", "_")
        one_of("configuration key", name, known)
        clean[name] = _coerced(name, value, str(known[name].type))
    for name in ("model", "task"):
        if name not in clean:
            raise ValueError(f"the configuration must name a {name}")
    return Config(**clean)


def from_toml(path: Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a TOML file of configuration keys; `overrides` win over the file.

    Raises:
        ValueError: if the file is missing or not TOML, or for any reason of `from_mapping`.
    """
    return from_mapping({**read_toml(path), **(overrides or {})})


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


def _coerced(name: str, value: Any, kind: str) -> Any:
    """The value in the field's type; TOML has no tuples and writes 1 for 1.0."""
    if kind.startswith("tuple"):
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise ValueError(f"{name} must be a list, got {value!r}")
        return tuple(_number(name, x) if "float" in kind else str(x) for x in items)
    if kind == "float":
        return _number(name, value)
    if kind == "bool" and not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {value!r}")
    if kind == "int" and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if kind == "str" and isinstance(value, bool) and name == "init":
        return "true" if value else "false"
    if kind == "str" and not isinstance(value, str):
        raise ValueError(f"{name} must be text, got {value!r}")
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(f"{name} must be a number, got {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number, got {value!r}") from error
