"""The same learning-rate grid, seeds, partitions and budget for every method, all side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from nonlinear_model.configuration import Configuration
from nonlinear_model.data.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Sweep:
    """Final results of one method over a grid of learning rates and seeds.

    Attributes:
        config: the run, without its learning rate and seed.
        rates: learning rates, (L,).
        seeds: (S,).
        accuracy: test accuracy at the tracked rounds, (rounds tracked, L, S).
        rounds: the tracked rounds.
        diverged: (L, S).
        tuned: the runs on other seeds that chose the learning rate; None if these runs choose it themselves.
        restarted: how often a run diverged and was begun anew at the next lower rate, (L, S); None if
            diverged runs were left where they stood.
    """

    config: Configuration
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    accuracy: np.ndarray
    rounds: tuple[int, ...]
    diverged: np.ndarray
    tuned: Sweep | None = None
    restarted: np.ndarray | None = None

    @property
    def final(self) -> np.ndarray:
        """Accuracy after the last round, (L, S); of a diverged run, where it stood when it was stopped."""
        return self.accuracy[-1]

    def best(self) -> int:
        """Place of the learning rate with the best final accuracy averaged over seeds (the paper's rule).

        Where other seeds chose it, the place of their choice: then the scores owe nothing to the choice.
        """
        if self.tuned is not None:
            return self.rates.index(self.tuned.rates[self.tuned.best()])
        return int(np.argmax(self.final.mean(axis=1)))

    def scores(self) -> np.ndarray:
        """Final accuracy of each seed at the method's best learning rate, (S,)."""
        return self.final[self.best()]

    def on_seeds(self, seeds: Sequence[int]) -> Sweep:
        """The same sweep on some of its seeds only, in the given order."""
        places = [self.seeds.index(seed) for seed in seeds]
        return replace(
            self,
            seeds=tuple(seeds),
            accuracy=self.accuracy[:, :, places],
            diverged=self.diverged[:, places],
            restarted=None if self.restarted is None else self.restarted[:, places],
        )

    def halfway(self) -> Sweep:
        """The same sweep stopped after half of the rounds, or at the tracked round just after."""
        last = next(i for i, number in enumerate(self.rounds) if 2 * number >= self.rounds[-1])
        return replace(
            self,
            accuracy=self.accuracy[: last + 1],
            rounds=self.rounds[: last + 1],
            tuned=None if self.tuned is None else self.tuned.halfway(),
        )

    def curve(self) -> np.ndarray:
        """Accuracy over the tracked rounds at the best rate, (rounds tracked, S)."""
        return self.accuracy[:, self.best()]


def sweep(
    config: Configuration,
    data: Dataset,
    methods: Sequence[str],
    rates: Sequence[float],
    seeds: Sequence[int],
) -> dict[str, Sweep]:
    """Every method on the same grid. Diverged runs are kept where they stood, and counted.

    Args:
        config: what all runs share; its method, learning rate, seed and repeats are not looked at.
        data: the data set.
        methods: names for `method_named`.
        rates: learning rates, finite and positive.
        seeds: at least one; they fix split, start and batches, the same for all methods.

    Raises:
        ValueError: on an empty or bad grid.
    """
    from nonlinear_model.training.federation import Federation
    from nonlinear_model.training.record import Replica

    if not rates or not all(isfinite(rate) and rate > 0.0 for rate in rates):
        raise ValueError(f"rates must be finite, positive and at least one, got {list(rates)}")
    if not seeds:
        raise ValueError("seeds must be at least one, got none")
    results = {}
    for method in methods:
        accuracy, diverged = [], []
        for rate in rates:
            own = replace(config, method=method, learning_rate=float(rate), probe=0)
            replicas = [Replica(int(seed), float(rate)) for seed in seeds]
            federation = Federation(own, data, replicas, give_up=True)
            while federation.round < own.rounds and not federation.diverged.all():
                federation.step()
            found = np.array([row["test_accuracy"] for row in federation.rows])
            found = found.reshape(-1, len(seeds))
            missing = own.rounds // own.evaluate_every + 1 - found.shape[0]
            missing += bool(own.rounds % own.evaluate_every)
            # A learning rate at which every seed diverged is not run to the end: it stays where it stood.
            accuracy.append(np.concatenate([found, np.repeat(found[-1:], missing, axis=0)]))
            diverged.append(federation.diverged)
        tracked = sorted({*range(0, config.rounds + 1, config.evaluate_every), config.rounds})
        results[method] = Sweep(
            replace(config, method=method, probe=0),
            tuple(float(rate) for rate in rates),
            tuple(int(seed) for seed in seeds),
            np.stack(accuracy, axis=1),
            tuple(tracked),
            np.stack(diverged),
        )
    return results


def tuned_sweep(
    config: Configuration,
    data: Dataset,
    methods: Sequence[str],
    rates: Sequence[float],
    tuning_seeds: Sequence[int],
    seeds: Sequence[int],
    *,
    halfway: bool = False,
) -> dict[str, Sweep]:
    """Choose every method's learning rate on some seeds, and run it on others.

    A score on the seeds that chose the rate is too good, the more so the more rates are close to the best.
    On seeds that did not choose it, a rate close to the limit may diverge. Such a run is begun anew at the
    next lower rate, as one would in practice, whatever the method.

    Args:
        config, data, methods, rates: as in `sweep`.
        tuning_seeds: seeds that run the whole grid.
        seeds: seeds that run the chosen rate; none of the tuning seeds.
        halfway: also run the rate that is best after half of the rounds, for `Sweep.halfway`.

    Raises:
        ValueError: on an empty or bad grid, or if the two groups of seeds meet.
    """
    shared = sorted(set(tuning_seeds) & set(seeds))
    if shared:
        raise ValueError(f"seeds must not be among the tuning_seeds, got {shared} in both")
    results = {}
    for method, tuned in sweep(config, data, methods, rates, tuning_seeds).items():
        horizons = (tuned, tuned.halfway()) if halfway else (tuned,)
        chosen = sorted({horizon.rates[horizon.best()] for horizon in horizons})
        judged = sweep(config, data, (method,), chosen, seeds)[method]
        results[method] = replace(_begun_anew(judged, data, tuned.rates), tuned=tuned)
    return results


def _begun_anew(judged: Sweep, data: Dataset, rates: Sequence[float]) -> Sweep:
    """The sweep with every diverged run replaced by one at the next lower rate that does not diverge."""
    accuracy, diverged = judged.accuracy.copy(), judged.diverged.copy()
    restarted = np.zeros(diverged.shape, dtype=np.int64)
    for i, chosen in enumerate(judged.rates):
        for rate in sorted((rate for rate in rates if rate < chosen), reverse=True):
            places = np.flatnonzero(diverged[i])
            if places.size == 0:
                break
            seeds = [judged.seeds[place] for place in places]
            method = judged.config.method
            again = sweep(judged.config, data, (method,), (rate,), seeds)[method]
            accuracy[:, i, places] = again.accuracy[:, 0]
            diverged[i, places] = again.diverged[0]
            restarted[i, places] += 1
    return replace(judged, accuracy=accuracy, diverged=diverged, restarted=restarted)
