"""The parts that both torch laboratories' configurations share: one name, one meaning, one range each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field

from federation.refusals import refuse_old_names
from verification.settings import (
    Count,
    Natural,
    NonNegative,
    Positive,
    Settings,
    Share,
    settings,
)

if TYPE_CHECKING:
    import numpy as np

    from federation.partition import Partition
    from federation.privacy import Policy

SplitName = Literal["shards", "iid", "dirichlet"]


@settings
class Split(Settings):
    """Data: how examples are dealt to clients."""

    clients: Count = Field(default=5, description="Number of clients N.")
    split: SplitName = Field(
        default="shards", description="How examples are dealt: shards (by label), iid or dirichlet."
    )
    labels_per_client: Count | None = Field(
        default=None, description="Labels a client holds in shards; labels ÷ clients if not given."
    )
    dirichlet_alpha: Positive = Field(
        default=0.5, description="Concentration α of a Dirichlet split."
    )

    def deal(self, labels: np.ndarray, rng: np.random.Generator) -> Partition:
        """Positions of each client's examples, disjoint, increasing and not empty."""
        import numpy as np

        from federation import partition

        if self.split == "iid":
            return partition.iid(labels.size, self.clients, rng)
        if self.split == "dirichlet":
            return partition.dirichlet(labels, self.clients, self.dirichlet_alpha, rng)
        each = self.labels_per_client or max(1, -(-np.unique(labels).size // self.clients))
        return partition.shards(labels, self.clients, each, rng)


@settings
class LocalTraining(Settings):
    """What a client does between two averages."""

    local_steps: Count = Field(default=10, description="Local gradient steps K of a round.")
    batch_size: Count = Field(default=32, description="Examples of a local step.")
    optimiser: str = Field(default="sgd", description="Rule of a local step.")
    momentum: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="Heavy-ball factor of momentum."
    )
    optimiser_state: Literal["reset", "keep"] = Field(
        default="reset", description="Optimiser state: reset in every round, or keep per client."
    )
    learning_rate: Positive = Field(default=0.1, description="Step size of every client.")


@settings
class Ranks(Settings):
    """Clients of different ranks."""

    ranks: tuple[Count, ...] = Field(
        default=(),
        description="LoRA rank of each client, as 2,4,8, for flexlora and flora; rank if not given.",
    )


@settings
class Privacy(Settings):
    """Differential privacy of what clients send."""

    dp_clip: Positive | None = Field(
        default=None,
        description="Bound C on the norm of what a client sends, less what it received.",
    )
    dp_noise: NonNegative = Field(
        default=0.0, description="Deviation of the noise a client adds to it, over C."
    )
    dp_delta: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=1e-5, description="δ at which the ε of the noise is told."
    )

    def __post_init__(self) -> None:
        if self.dp_noise and self.dp_clip is None:
            raise ValueError(
                f"dp_noise is in units of dp_clip, which must be given with it, got {self.dp_noise:g}"
                " and no dp_clip"
            )

    def policy(self) -> Policy | None:
        """What clients do to their updates; None for nothing.

        Raises:
            ValueError: if there is noise, and what accounts for it is not installed.
        """
        if self.dp_clip is None:
            return None
        from federation.privacy import Policy
        from verification.discovery import require_extra

        if self.dp_noise:
            require_extra("privacy")
        return Policy(self.dp_clip, self.dp_noise, self.dp_delta)

    def private(self, rounds: int) -> dict[str, Any]:
        """A manifest's entry on privacy; nothing without a policy."""
        policy = self.policy()
        return {} if policy is None else {"privacy": policy.told(rounds)}


@settings
class Machine(Settings):
    """Where, in which precision and by which engine."""

    engine: Literal["all-at-once", "one-by-one"] = Field(
        default="all-at-once",
        description="all-at-once: many clients in one pass; one-by-one: literal.",
    )


@settings
class Server(Settings):
    """What the server does with what comes back."""

    method: str = Field(
        default="rolora",
        description="fedavg, ffa, rolora, flexlora, flora, fedex, fedsa, fedsvd, fedrot, la-lora,"
        " lora-fair:0.01 (the strength), rolora-cv, fedavg-cv, rolora-momentum:0.5,"
        " rolora-precond:1e-6, a-heavy, b-heavy, rolora-then-ffa:20,"
        " ffa-then-rolora:20 (a percentage of the rounds), or one's own as module:Class.",
    )
    participation: Share = Field(
        default=1.0, description="Share of the clients drawn in every round."
    )
    weighting: Literal["examples", "uniform"] = Field(
        default="examples", description="Clients count by their examples, or uniform."
    )
    head: Literal["average", "local", "frozen"] = Field(
        default="average",
        description="Head: trained and average, kept local, or frozen at its start.",
    )
    rounds: Count = Field(default=100, description="Server rounds T.")
    evaluate_every: Count = Field(default=1, description="Rounds between two evaluations.")
    seed: Natural = Field(default=0, description="Root of all randomness.")

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """As `Settings.read`; names of earlier versions get a sentence that says the new one."""
        refuse_old_names({name.replace("-", "_"): value for name, value in values.items()})
        return super().read(values)
