"""One run of a method on the linear model as plain values: what a user sets and a manifest records."""

from typing import Any, Literal, Self

import numpy as np
from pydantic import Field

from federation.parts import Privacy, Ranks
from linear_model.methods.base import LinearMethod
from linear_model.methods.registry import method_named, options_of
from linear_model.problem import Problem
from linear_model.run import Run
from linear_model.simulation import Progress, simulate
from linear_model.spectra import shifted_covariances, singular_values
from linear_model.start import Start
from verification.settings import Count, Natural, NonNegative, Positive, settings
from verification.streams import generator

AXIS = "linear run"
"""Name of the random streams."""
LEADING = 10.0
"""Condition number of a spectrum that is not flat."""


@settings
class Experiment(Privacy, Ranks):
    """Problem, method and sizes; clients differ by their B_i* and their features' covariances."""

    d: int = Field(default=50, ge=2, description="Input width.")
    clients: Count = Field(default=5, description="Number of clients N.")
    samples: Count = Field(default=100, description="Samples per client and half-step, m.")
    rank: Count = Field(default=1, description="LoRA rank r.")
    target_rank: Count | None = Field(
        default=None, description="Rank q of the targets, at least r; r if not given."
    )
    spectrum: Literal["flat", "linear", "geometric", "power"] = Field(
        default="flat",
        description="Singular values of the mean target: flat, linear, geometric or power.",
    )
    condition: float = Field(
        default=LEADING,
        ge=1,
        allow_inf_nan=False,
        description="Largest over smallest singular value, of a spectrum not flat.",
    )
    outputs: Count | None = Field(
        default=None, description="Number of outputs p; the targets' rank if not given."
    )
    method: str = Field(
        default="algorithm2",
        description="algorithm2, algorithm2-pooled, ffa-ls, ffa-pooled, any federated method's name, or"
        " module:Class.",
    )
    simulator: Literal["data", "gram", "chain", "population"] = Field(
        default="gram", description="data, gram, chain or population."
    )
    rounds: Count = Field(default=50, description="Number of rounds.")
    trials: Count = Field(default=100, description="Independent repetitions.")
    seed: Natural = Field(default=0, description="Root of all randomness.")
    kappa: Positive | None = Field(
        default=None, description="Step size 2η‖B̄*‖²; 0.5 if neither is given."
    )
    eta: Positive | None = Field(
        default=None, description="Step size η on the gradient, instead of kappa."
    )
    local_steps: Count | None = Field(
        default=None, description="Local steps K of rolora, fedavg and ffa; 1 if not given."
    )
    noise: NonNegative = Field(default=0.0, description="Label noise σ.")
    heterogeneity: NonNegative = Field(
        default=0.0, description="Root mean square distance of the clients' B* from their mean."
    )
    shift: float = Field(
        default=0.0, ge=0, lt=1, description="Spread of the clients' feature covariances about I."
    )
    data: Literal["fresh", "fixed"] = Field(
        default="fresh", description="fresh samples in every round, or fixed ones."
    )
    batches: Literal["separate", "shared"] = Field(
        default="separate", description="separate or shared samples in the two half-steps."
    )
    participants: Count | None = Field(
        default=None, description="Clients drawn in each round; all if not given."
    )
    start: str = Field(
        default="random", description="random, or the angle distance δ⁰ between 0 and 1 (rank 1)."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        q = self.target_rank or self.rank
        if self.target_rank is not None and not self.rank <= q <= self.d:
            raise ValueError(
                f"target_rank must lie between the rank {self.rank} and d = {self.d}, got {q}"
            )
        if q > self.rank and self.spectrum == "flat":
            raise ValueError(
                "spectrum must be linear, geometric or power for targets of a higher rank than LoRA's, or no"
                " directions lead, got flat"
            )
        if self.condition != LEADING and (self.spectrum == "flat" or q == 1):
            raise ValueError(
                "condition is about targets of several singular values that differ, got"
                f" {self.condition:g} with spectrum {self.spectrum} and targets of rank {q}"
            )
        if self.outputs is not None and self.outputs < q:
            raise ValueError(f"outputs must be at least the targets' rank {q}, got {self.outputs}")
        for name in ("heterogeneity", "shift"):
            if getattr(self, name) > 0.0 and self.clients < 2:
                raise ValueError(f"{name} needs at least 2 clients, got {self.clients}")
        self._start()

    def completed(self) -> Self:
        """With the values that follow from others filled in."""
        stepless = self.kappa is None and self.eta is None
        kappa = 0.5 if stepless and "kappa" in options_of(self.method) else self.kappa
        return self.changed(outputs=self.outputs or self.target_rank or self.rank, kappa=kappa)

    def rule(self) -> LinearMethod:
        """The method with its own options."""
        if self.dp_clip is not None and "privacy" not in options_of(self.method):
            raise ValueError(
                "dp_clip bounds the updates of local steps, but method"
                f" {self.method} sends least-squares solutions and gradients; use a federated method"
            )
        own: dict[str, Any] = {"privacy": self.policy(), "ranks": self.ranks or None}
        own |= {name: getattr(self, name) for name in ("kappa", "eta", "local_steps")}
        given = {name: value for name, value in own.items() if value is not None}
        return method_named(self.method, self.rounds, argument="--method", **given)

    def problem(self) -> Problem:
        """The distribution: B̄* is diagonal, the B_i* lie around it at the distance asked for."""
        q = self.target_rank or self.rank
        middle = np.zeros((q, self.outputs or q))
        np.fill_diagonal(middle, singular_values(self.spectrum, q, self.condition))
        B_star = np.broadcast_to(middle, (self.clients, *middle.shape))
        if self.heterogeneity > 0.0:
            apart = generator(self.seed, AXIS, "heterogeneity").standard_normal(B_star.shape)
            apart -= apart.mean(axis=0)
            apart /= np.sqrt(np.mean(np.sum(apart**2, axis=(1, 2))))
            B_star = B_star + self.heterogeneity * apart
        covariances = None
        if self.shift > 0.0:
            rng = generator(self.seed, AXIS, "shift")
            covariances = shifted_covariances(self.shift, self.clients, self.d, rng)
        shared = ("d", "clients", "samples", "rank", "noise", "data", "batches", "participants")
        given = {name: getattr(self, name) for name in shared}
        return Problem(**given, B_star=B_star, covariances=covariances)

    def run(self, progress: Progress | None = None) -> Run:
        """Simulate it. See `simulate`."""
        own = {name: getattr(self, name) for name in ("simulator", "rounds", "trials", "seed")}
        options = {**own, "start": self._start(), "axes": (AXIS,), "progress": progress}
        return simulate(self.problem(), self.rule(), **options)

    def _start(self) -> Start:
        if self.start == "random":
            return self.start
        try:
            value = float(self.start)
        except ValueError:
            value = 0.0
        if not 0.0 < value < 1.0:  # NaN fails this too
            raise ValueError(
                f"start must be random or a number between 0 and 1, got {self.start!r}"
            )
        return value
