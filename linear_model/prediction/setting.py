"""What a prediction is asked for, as plain values: the linear model's problem, a step size and a target."""

from functools import cached_property
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, Field

from federation.participants import how_many
from linear_model.experiment import Experiment
from linear_model.problem import LARGEST_SAMPLE, LARGEST_SIZE
from verification.settings import Count, Natural, Settings, Share, settings

MOST_CLIENTS, MOST_TARGETS, MOST_TRIALS = 100_000, 10_000_000, 100_000
"""Beyond, the clients' targets alone, N·p numbers, take seconds; runs of the chain, gigabytes."""
MOST_UNLIKE = 100
"""Outputs up to which unlike targets, p² numbers a run and round, take a few seconds."""
FARTHEST = 1e6
"""Largest noise or heterogeneity, in units of ‖b̄*‖: squares of squares stay far from overflow."""

Size = Annotated[float, Field(ge=0.0, le=FARTHEST)]


def _word(start: object) -> object:
    """A number as the text of it."""
    number = isinstance(start, int | float) and not isinstance(start, bool)
    return repr(start) if number else start


@settings
class Setting(Settings):
    """Rank 1, fresh samples in each half-step; lengths are in units of the clients' mean target, ‖b̄*‖ = 1."""

    d: int = Field(default=50, ge=2, le=LARGEST_SIZE, description="Input width.")
    clients: int = Field(default=5, ge=1, le=MOST_CLIENTS, description="Number of clients N.")
    samples: int = Field(
        default=100, ge=1, le=LARGEST_SAMPLE, description="Samples per client and half-step, m."
    )
    kappa: float = Field(default=0.5, ge=1e-9, le=FARTHEST, description="Step size κ = 2η‖b̄*‖².")
    local_steps: int = Field(default=1, ge=1, le=100, description="Gradient steps on a in a round.")
    heterogeneity: Size = Field(
        default=0.0, description="Root mean square distance of the clients' b* from their mean."
    )
    noise: Size = Field(default=0.0, description="Label noise σ.")
    participation: Share = Field(default=1.0, description="Share of the clients in a round.")
    privacy_noise: Size = Field(
        default=0.0, description="Standard deviation of what a client adds to each number it sends."
    )
    outputs: Count = Field(default=1, description="Number of outputs p.")
    eps: float = Field(default=1e-3, ge=1e-30, lt=1.0, description="Error to reach, ε.")
    start: Annotated[str, BeforeValidator(_word)] = Field(
        default="random", description="random, or the angle distance δ⁰ between 0 and 1."
    )
    trials: int | None = Field(
        default=None,
        ge=1,
        le=MOST_TRIALS,
        description="Runs of the chain; as many as half a second allows if not given.",
    )
    seed: Natural = Field(default=0, description="Root of all randomness.")

    def __post_init__(self) -> None:
        most = MOST_TARGETS // self.clients
        if self.heterogeneity > 0.0:
            most = min(most, MOST_UNLIKE)
        if self.outputs > most:
            unlike = " of unlike targets" if self.heterogeneity > 0.0 else ""
            raise ValueError(
                f"outputs must be at most {most} for {self.clients} clients{unlike}, got {self.outputs}"
            )
        self._experiment()  # its refusals are ours

    def _experiment(self) -> Experiment:
        names = ("clients", "heterogeneity", "outputs", "start", "seed")
        return Experiment(d=2, **{name: getattr(self, name) for name in names})

    @property
    def active(self) -> int:
        """Clients in a round, n."""
        return how_many(self.clients, self.participation)

    @property
    def pooled(self) -> int:
        """Samples of a half-step over all its clients, M = n·m."""
        return self.active * self.samples

    @cached_property
    def targets(self) -> np.ndarray:
        """The b_i*, (N, p), as `rolora linear run` has them at this seed; their mean has length 1."""
        drawn: np.ndarray = self._experiment().problem().B_star[:, 0, :]
        return drawn

    @property
    def delta0(self) -> float:
        """Angle distance of the start; of a random one the root mean square, sqrt(1 − 1/d)."""
        return float(np.sqrt(1.0 - 1.0 / self.d)) if self.start == "random" else float(self.start)
