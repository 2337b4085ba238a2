"""The learning rate of a method: the same grid for all, chosen on some seeds and judged on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from federation.rates import choose as choose
from verification.paired_study import Design, Run, Runner, require_rates


@dataclass(frozen=True, eq=False)
class Sweep:
    """The runs of one method over a grid of learning rates and seeds.

    Attributes:
        rates: learning rates, (L,).
        seeds: (S,).
        runs: the run of every rate and seed, all tracked at the same rounds; one that was begun anew
            stands at the rate it was begun at first.
        tuned: the runs on other seeds that chose the rate; None if these runs choose it themselves.
    """

    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    runs: dict[tuple[float, int], Run]
    tuned: Sweep | None = None

    @property
    def rounds(self) -> tuple[int, ...]:
        """The tracked rounds."""
        return self.runs[self.rates[0], self.seeds[0]].rounds

    @property
    def tracked(self) -> np.ndarray:
        """Scores at the tracked rounds, (rounds, L, S); NaN where a diverged run has none."""
        found = [[self.runs[rate, seed].scores for seed in self.seeds] for rate in self.rates]
        return np.ascontiguousarray(np.moveaxis(np.array(found, dtype=np.float64), -1, 0))

    @property
    def final(self) -> np.ndarray:
        """Scores after the last round, (L, S); of a diverged run, where it stood when it was given up."""
        return self.tracked[-1]

    def best(self) -> int:
        """Place of the learning rate with the best final score averaged over seeds (the paper's rule).

        Where other seeds chose it, the place of their choice: then the scores owe nothing to the choice.
        """
        if self.tuned is not None:
            return self.rates.index(self.tuned.rates[self.tuned.best()])
        losses = [
            [np.ravel(self.runs[rate, seed].facts.get("loss", 0.0))[-1] for seed in self.seeds]
            for rate in self.rates
        ]
        return choose(self.rates, self.final, np.array(losses, dtype=np.float64))

    def scores(self) -> np.ndarray:
        """Final score of each seed at the method's best learning rate, (S,)."""
        return self.final[self.best()]

    def curve(self) -> np.ndarray:
        """Scores over the tracked rounds at the best rate, (rounds, S)."""
        return self.tracked[:, self.best()]

    def until(self, round: int) -> Sweep:
        """The same sweep stopped at a tracked round."""
        return replace(
            self,
            runs={key: run.until(round) for key, run in self.runs.items()},
            tuned=None if self.tuned is None else self.tuned.until(round),
        )


def sweep(run: Runner, method: str, rates: Sequence[float], seeds: Sequence[int]) -> Sweep:
    """One method on a grid. Diverged runs are kept where they stood."""
    require_rates(rates)
    if not seeds:
        raise ValueError("seeds must be at least one, got none")
    runs = {
        (rate, seed): found
        for rate in rates
        for seed, found in zip(seeds, run(method, rate, seeds), strict=True)
    }
    return Sweep(tuple(rates), tuple(seeds), runs)


def tuned_sweep(run: Runner, method: str, design: Design) -> Sweep:
    """Choose a method's learning rate on the tuning seeds, and run it on the others.

    A score on the seeds that chose the rate is too good, the more so the more rates are close to the best.
    On seeds that did not choose it, a rate close to the limit may diverge. Such a run is begun anew at the
    next lower rate, as one would in practice, whatever the method.
    """
    tuned = sweep(run, method, design.rates, design.tuning_seeds)
    return _judged(run, method, tuned, design)


def tuned_until(
    run: Runner, method: str, design: Design, rounds: Sequence[int]
) -> dict[int, Sweep]:
    """The same for runs of several lengths, each at the rate that is best for its own length; by length.

    `run` is given `rounds` where it has to go so far only; the lengths are tracked rounds.
    """
    tuned = sweep(run, method, design.rates, design.tuning_seeds)
    ends = {length: tuned.until(length) for length in sorted(rounds)}
    rates = {length: own.rates[own.best()] for length, own in ends.items()}
    longest = {rate: max(n for n in rates if rates[n] == rate) for rate in rates.values()}
    return {
        length: _judged(partial(run, rounds=longest[rates[length]]), method, own, design, length)
        for length, own in ends.items()
    }


def _judged(
    run: Runner, method: str, tuned: Sweep, design: Design, length: int | None = None
) -> Sweep:
    found = sweep(run, method, [tuned.rates[tuned.best()]], design.seeds)
    found = _begun_anew(run, method, found, design.rates)
    return replace(found if length is None else found.until(length), tuned=tuned)


def _begun_anew(run: Runner, method: str, judged: Sweep, rates: Sequence[float]) -> Sweep:
    """The sweep with every diverged run replaced by one at the next lower rate that does not diverge."""
    runs = dict(judged.runs)
    for chosen in judged.rates:
        for rate in sorted((rate for rate in rates if rate < chosen), reverse=True):
            seeds = [seed for seed in judged.seeds if runs[chosen, seed].diverged]
            if not seeds:
                break
            for seed, again in zip(seeds, run(method, rate, seeds), strict=True):
                runs[chosen, seed] = replace(again, restarts=runs[chosen, seed].restarts + 1)
    return replace(judged, runs=runs)
