"""Everything that decides the outcome of one federated run, checked before any work is done."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from federation import parts
from federation.parts import LocalTraining, Privacy, Ranks, Server, Split, SplitName
from federation.refusals import require_able
from verification.names import one_of
from verification.settings import Count, Natural, NonNegative, Positive, Settings, settings

if TYPE_CHECKING:
    from federation.optimisers import Optimiser

PLACES = frozenset({"data_dir", "checkpoint_every", "device", "threads"})
"""Fields that say where and how conveniently a run happens, not what it computes."""


def fingerprint(values: Mapping[str, Any]) -> str:
    """Hash of a configuration's values that decide the outcome, those of a manifest as well."""
    kept = {name: value for name, value in values.items() if name not in PLACES}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


@settings
class Model(Settings):
    """The base model and the task."""

    model: str = Field(
        min_length=1, description="Hugging Face id or local folder of a classifier or causal model."
    )
    task: str = Field(
        min_length=1, description="sst2, qnli, mnli, qqp, rte, a commonsense set, or custom."
    )
    base_dropout: Literal["off", "model"] = Field(
        default="off", description="Dropout inside the frozen base: off, or as the model has it."
    )
    quantisation: Literal["none", "4bit"] = Field(
        default="none", description="4bit needs bitsandbytes."
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Recompute activations in the backward pass."
    )


@settings
class Texts(Split):
    """Data: examples and how they are dealt."""

    clients: Count = 3
    split: SplitName = "iid"
    labels_per_client: Count = Field(default=1, description="Labels a client holds in shards.")
    data_dir: str | None = Field(
        default=None, description="Folder with a subfolder per task; the hub if not given."
    )
    max_length: Annotated[int, Field(ge=4)] = Field(
        default=128, description="Tokens an example is cut to."
    )
    train_examples: Natural = Field(
        default=0, description="At most so many, drawn by seed; 0 for all."
    )
    eval_examples: Natural = Field(default=0, description="At most so many; 0 for all.")
    text_columns: tuple[str, ...] = Field(default=(), description="Text columns of a custom task.")
    label_column: str = Field(default="label", description="Label column of a custom task.")
    scoring: Literal["likelihood", "generate", "extract"] = Field(
        default="likelihood",
        description="Causal tasks: likelihood of the options; generate an answer that must be the right"
        " one's words; or extract the first option from what is generated, as LLM-Adapters does.",
    )


@settings
class Adapters(Settings):
    """The adapters put into the base."""

    rank: Count = Field(default=4, description="LoRA rank r.")
    lora_alpha: Positive = Field(
        default=32.0, description="LoRA alpha; the scale is alpha / r, with rslora alpha / sqrt(r)."
    )
    lora_dropout: float = Field(
        default=0.1, ge=0.0, le=0.95, description="Dropout on the adapters' input."
    )
    rslora: bool = Field(default=False, description="Rank-stabilised scale.")
    target_modules: tuple[str, ...] = Field(
        default=(), description="Name endings of the adapted layers; query and value if not given."
    )
    init: Literal["true", "false", "gaussian", "orthogonal"] = Field(
        default="true", description="Start of the factors by PEFT's name; true: A random, B = 0."
    )


@settings
class Machine(parts.Machine):
    """Where, in which precision and by which engine."""

    dtype: Literal["float32", "bfloat16", "float64"] = Field(
        default="float32",
        description="Of the frozen base; adapters, heads and moments are float32, or float64 with it.",
    )
    products: Literal["own", "base"] = Field(
        default="own",
        description="Precision of the adapters' products, whose values keep their own: own, or the base's.",
    )
    tf32: bool = Field(
        default=False, description="TF32 in float32 matrix products, where the GPU has it."
    )
    cuda_graphs: bool = Field(
        default=False,
        description="On a GPU, record a pass once for each length and replay it (all-at-once).",
    )
    clients_at_once: Natural = Field(default=0, description="Clients per pass; 0 to fit memory.")
    device: str = Field(default="auto", description="auto, cpu, cuda, or one of several as cuda:1.")
    threads: Natural = Field(default=0, description="CPU threads; 0 leaves torch's choice.")
    checkpoint_every: Count = Field(default=5, description="Rounds between checkpoints.")


@settings
class Config(Machine, Privacy, LocalTraining, Ranks, Adapters, Server, Texts, Model):
    """One federated fine-tuning run."""

    rounds: Count = 16
    batch_size: Count = 16
    optimiser: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Positive = 2e-3
    learning_rate_grid: tuple[Positive, ...] = Field(
        default=(), description="Run each of these rates and keep the best on held-out data."
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="constant",
        description="Step size over the rounds: constant, linear or cosine decay.",
    )
    learning_rate_end: NonNegative = Field(
        default=0.0, description="What linear and cosine decay towards."
    )
    warmup_rounds: Natural = Field(
        default=0, description="First rounds, in which the step size grows linearly."
    )
    server_momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=0.0,
        description="Share of a tensor's last movement that the server adds to its next.",
    )
    weight_decay: NonNegative = Field(
        default=0.0, description="Weight decay: decoupled for adamw, L2 for sgd."
    )
    clip: NonNegative = Field(
        default=0.0, description="Bound on each client's gradient norm; 0 for none."
    )

    def __post_init__(self) -> None:
        from federated_lora import Averaging, method_named
        from federation.ranks import require_ranks

        Privacy.__post_init__(self)
        if not re.fullmatch(r"cuda:\d+", self.device):
            one_of("device", self.device, ("auto", "cpu", "cuda", "cuda:1"))
        cannot = {"merges": "quantisation = 4bit"} if self.quantisation == "4bit" else {}
        if self.optimiser != "sgd" or self.momentum or self.clip or self.weight_decay:
            plain = "anything but optimiser = sgd without momentum, clip and weight decay"
            cannot |= {"controls": plain, "preconditions": plain}
        method = method_named(self.method, self.rounds)
        require_able(method, cannot)
        require_ranks(method, self.ranks, self.clients, self.rank)
        averages = type(method).combine is Averaging.combine and not method.controls
        if self.server_momentum and not averages:
            raise ValueError(
                f"server_momentum must be 0 with {method.name}, which does more than average what came back,"
                f" got {self.server_momentum:g}"
            )
        self._require_schedule()
        if self.engine == "all-at-once" and self.base_dropout == "model":
            raise ValueError(
                "base_dropout = model draws one mask for all clients of a pass; use engine = one-by-one"
                " with it, or base_dropout = off"
            )
        if self.optimiser == "adamw" and self.momentum:
            raise ValueError(f"momentum belongs to optimiser = sgd, got {self.momentum} with adamw")

    def _require_schedule(self) -> None:
        if self.warmup_rounds >= self.rounds:
            raise ValueError(
                f"warmup_rounds must be below rounds = {self.rounds}, got {self.warmup_rounds}"
            )
        rates = self.learning_rate_grid or (self.learning_rate,)
        if self.learning_rate_end > min(rates):
            raise ValueError(
                f"learning_rate_end must be at most the learning rate {min(rates):g},"
                f" got {self.learning_rate_end:g}"
            )

    def rate_in(self, round: int) -> float:
        """The step size in a round, counting from 1."""
        from federation.rates import scheduled

        return scheduled(
            self.learning_rate,
            round,
            self.rounds,
            shape=self.schedule,
            end=self.learning_rate_end,
            warmup=self.warmup_rounds,
        )

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

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the outcome."""
        return fingerprint(self.deciding)

    @property
    def deciding(self) -> dict[str, Any]:
        """Everything that decides the outcome; a checkpoint is refused under anything else."""
        kept = {name: value for name, value in self.as_dict().items() if name not in PLACES}
        kept["model"] = Path(self.model).name if Path(self.model).is_dir() else self.model
        return kept
