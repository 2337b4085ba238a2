"""Everything that fixes a run of the non-linear study, checked before any work."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from federation import parts
from federation.parts import LocalTraining, Privacy, Ranks, Server, Split
from federation.refusals import require_able
from verification.settings import Count, Natural, Positive, Settings, settings

if TYPE_CHECKING:
    import numpy as np

    from federation.optimisers import Optimiser
    from federation.partition import Partition


@settings
class Images(Split):
    """Data: images and how they are dealt."""

    dataset: str = Field(
        default="digits", description="mnist (IDX files), or digits (ships with scikit-learn)."
    )
    proportions: tuple[Positive, ...] | None = Field(
        default=None, description="Relative client sizes of the iid split, as 1,2,3."
    )
    equal_sizes: bool = Field(
        default=False, description="Cut all clients to the smallest one's number of images."
    )

    def __post_init__(self) -> None:
        if self.proportions is not None and self.split != "iid":
            raise ValueError(f"proportions go with the iid split only, got split {self.split!r}")

    def deal(self, labels: np.ndarray, rng: np.random.Generator) -> Partition:
        """As `Split.deal`, in the given proportions, cut to equal sizes if asked for."""
        import numpy as np

        from federation import partition

        if self.proportions is not None:
            parts = partition.iid(labels.size, self.clients, rng, proportions=self.proportions)
        else:
            parts = super().deal(labels, rng)
        if self.equal_sizes:
            smallest = min(part.size for part in parts)
            parts = tuple(np.sort(rng.permutation(part)[:smallest]) for part in parts)
        return parts


@settings
class Network(Settings):
    """Model and adapter: what the network is and how it starts."""

    variant: Literal["plain", "base"] = Field(
        default="plain",
        description="plain, ReLU(x·sAB)W_out, or base, LoRA on a W0 pretrained on some labels.",
    )
    rank: Count = Field(default=16, description="LoRA rank r.")
    hidden: Count = Field(default=200, description="Width of the hidden layer.")
    scale: Positive = Field(default=1.0, description="Scale s of the adapter.")
    b_start: Literal["gaussian", "zero"] = Field(
        default="gaussian",
        description="How B starts: gaussian, N(0, 1/r), or zero (with a base only).",
    )
    b_scale: Positive = Field(default=1.0, description="Factor on a gaussian B's start.")
    base_classes: Count = Field(
        default=5, description="Labels the base was pretrained on, counted from 0."
    )

    def __post_init__(self) -> None:
        if self.variant == "plain" and self.b_start == "zero":
            raise ValueError(
                "b_start must not be 'zero' without a base: x·A·0 = 0 and ReLU'(0) = 0 leave every"
                " gradient zero for ever, so nothing could train"
            )


@settings
class Machine(parts.Machine):
    """Where, in which precision and by which engine."""

    dtype: Literal["float32", "float64"] = Field(default="float32", description="Precision.")
    device: str = Field(default="cpu", description="cpu, cuda, or one of several as cuda:1.")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device must be cpu, cuda or cuda:0, cuda:1, …, got {self.device!r}")


@settings
class Configuration(Machine, Privacy, LocalTraining, Ranks, Network, Server, Images):
    """One federated run. Every policy is named here and recorded with the result."""

    optimiser: Literal["sgd", "momentum", "adam", "adamw"] = "sgd"
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    head: Literal["average", "local", "frozen"] = "frozen"
    local_epochs: Count | None = Field(
        default=None, description="Passes over the client's data instead of local steps."
    )
    repeats: Count = Field(default=1, description="Repetitions with seeds seed, seed + 1, …")
    probe: Natural = Field(
        default=32, description="Images per client for gradient norms; 0 leaves them out."
    )
    loss_bound: Positive = Field(default=1e3, description="A batch loss above it is divergence.")

    def __post_init__(self) -> None:
        from federated_lora import method_named
        from federation.ranks import require_ranks
        from nonlinear_model.data.registry import IMAGES

        for owner in (Machine, Privacy, Network, Images):
            owner.__post_init__(self)
        IMAGES.named(self.dataset)
        traits = () if self.optimiser == "sgd" else ("controls", "preconditions")
        cannot = dict.fromkeys(traits, f"optimiser = {self.optimiser}")
        method = method_named(self.method, self.rounds)
        require_able(method, cannot)
        require_ranks(method, self.ranks, self.clients, self.rank)

    def optimiser_rule(self) -> Optimiser:
        """The update rule."""
        from federation.optimisers import Optimiser

        return Optimiser(self.optimiser, self.momentum, state=self.optimiser_state)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the repetitions."""
        return tuple(range(self.seed, self.seed + self.repeats))
