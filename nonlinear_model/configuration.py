"""Everything that fixes a run of the non-linear study, checked before any work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import TYPE_CHECKING, Any

from federated_lora import method_named
from federation.participants import how_many
from federation.policies import WEIGHTINGS, refuse_old_names
from nonlinear_model.data.dataset import check_dataset_name
from nonlinear_model.data.splits import SplitRule
from verification.names import one_of

if TYPE_CHECKING:
    from federation.optimisers import Optimiser

DTYPES = ("float32", "float64")


@dataclass(frozen=True, slots=True)
class Configuration:
    """One federated run. Every policy is named here and recorded with the result.

    Attributes:
        dataset: `mnist` or `digits`.
        method: a name for `federated_lora.method_named`.
        clients, split, labels_per_client, dirichlet_alpha, proportions, equal_sizes: see
            `splits.SplitRule`.
        participation: share of the clients drawn in each round, in (0, 1].
        weighting: clients count by their `examples`, or `uniform`.
        rounds: server rounds.
        local_steps: steps K a client takes in a round; ignored if `local_epochs` is given.
        local_epochs: passes over its data a client makes instead, or None.
        batch_size: images a step.
        optimiser, momentum, optimiser_state: see `federation.optimisers.Optimiser`.
        learning_rate: finite and positive.
        variant, rank, hidden, scale, head, b_start, base_classes: see `network.NetworkSpec`.
        dtype: `float32` or `float64`.
        device: `cpu`, `cuda`, or one of several as `cuda:1`.
        seed: root of every random stream: split, start, batches, participants.
        repeats: independent repetitions run side by side, with seeds seed, seed + 1, …
        evaluate_every: rounds between two rows of the record; the last round always has one.
        probe: images per client on which gradient norms are measured; 0 to leave them out.
        loss_bound: a batch loss above it counts as divergence.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """

    dataset: str = "digits"
    method: str = "rolora"
    clients: int = 5
    split: str = "shards"
    labels_per_client: int | None = None
    dirichlet_alpha: float = 0.5
    proportions: tuple[float, ...] | None = None
    equal_sizes: bool = False
    participation: float = 1.0
    weighting: str = "examples"
    rounds: int = 100
    local_steps: int = 10
    local_epochs: int | None = None
    batch_size: int = 32
    optimiser: str = "sgd"
    momentum: float = 0.9
    optimiser_state: str = "reset"
    learning_rate: float = 0.1
    variant: str = "plain"
    rank: int = 16
    hidden: int = 200
    scale: float = 1.0
    head: str = "frozen"
    b_start: str = "gaussian"
    base_classes: int = 5
    dtype: str = "float32"
    device: str = "cpu"
    seed: int = 0
    repeats: int = 1
    evaluate_every: int = 1
    probe: int = 32
    loss_bound: float = 1e3

    def __post_init__(self) -> None:
        refuse_old_names(self.as_dict())
        check_dataset_name(self.dataset)
        for name, least in (
            ("rounds", 1),
            ("local_steps", 1),
            ("batch_size", 1),
            ("repeats", 1),
            ("evaluate_every", 1),
            ("probe", 0),
            ("seed", 0),
        ):
            _check_count(name, getattr(self, name), least)
        if self.local_epochs is not None:
            _check_count("local_epochs", self.local_epochs, 1)
        for name in ("learning_rate", "loss_bound"):
            value = getattr(self, name)
            if not isfinite(value) or value <= 0.0:
                raise ValueError(f"{name} must be finite and positive, got {value}")
        one_of("weighting", self.weighting, WEIGHTINGS)
        one_of("dtype", self.dtype, DTYPES)
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device must be cpu, cuda or cuda:0, cuda:1, …, got {self.device!r}")
        self.split_rule()
        how_many(self.clients, self.participation)
        method_named(self.method, self.rounds)
        # The network and the optimiser check their own fields; torch is imported only here.
        self.network_spec()
        self.optimiser_rule()

    def split_rule(self) -> SplitRule:
        """How images are dealt."""
        return SplitRule(
            self.split,
            self.clients,
            self.labels_per_client,
            self.dirichlet_alpha,
            None if self.proportions is None else tuple(self.proportions),
            self.equal_sizes,
        )

    def network_spec(self) -> Any:
        """The network, a `network.NetworkSpec`."""
        from nonlinear_model.network import NetworkSpec

        return NetworkSpec(
            self.variant,
            self.rank,
            self.hidden,
            self.scale,
            self.head,
            self.b_start,
            self.base_classes,
        )

    def optimiser_rule(self) -> Optimiser:
        """The update rule."""
        from federation.optimisers import Optimiser

        return Optimiser(self.optimiser, self.momentum, state=self.optimiser_state)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the repetitions."""
        return tuple(range(self.seed, self.seed + self.repeats))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Configuration:
        """The inverse of `as_dict`.

        Raises:
            ValueError: on an unknown field, with the nearest one suggested.
        """
        refuse_old_names(values)
        known = [field.name for field in fields(cls)]
        for name in values:
            one_of("setting", name, known)
        given = dict(values)
        if given.get("proportions") is not None:
            given["proportions"] = tuple(float(value) for value in given["proportions"])
        return cls(**given)


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
