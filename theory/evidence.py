"""Statistics of evidence: intervals and tests that state their error probability and what they can see."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import stats

ALPHA = 1e-6
"""False-failure probability of one claim's statistical assertions together."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its confidence interval.

    Attributes:
        mean: sample mean.
        standard_error: of the mean.
        interval: two-sided Student interval at level 1 − alpha.
        n: sample size.
        alpha: error probability of the interval.
    """

    mean: float
    standard_error: float
    interval: tuple[float, float]
    n: int
    alpha: float

    @property
    def detectable(self) -> float:
        """Relative gap seen with probability 1 − alpha/2: two half-widths over the mean."""
        low, high = self.interval
        return (high - low) / abs(self.mean) if self.mean else float("inf")


def mean_estimate(samples: np.ndarray, alpha: float = ALPHA) -> Estimate:
    """Mean of i.i.d. samples with a Student interval (exact for normal samples, else by the CLT).

    Args:
        samples: shape (n,), n ≥ 2, finite.
        alpha: two-sided error probability; divide by the number of comparisons made together.

    Raises:
        ValueError: on fewer than two samples or a non-finite one.
    """
    values = np.asarray(samples, dtype=np.float64).ravel()
    if values.size < 2 or not np.all(np.isfinite(values)):
        raise ValueError(f"samples must be at least two finite numbers, got {values.size}")
    mean = float(values.mean())
    error = float(values.std(ddof=1) / sqrt(values.size))
    reach = float(stats.t.isf(alpha / 2.0, values.size - 1)) * error
    return Estimate(mean, error, (mean - reach, mean + reach), int(values.size), alpha)


def proportion_interval(successes: int, trials: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Clopper–Pearson interval of a success probability (exact coverage of at least 1 − alpha).

    Raises:
        ValueError: unless 0 ≤ successes ≤ trials and trials ≥ 1.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f"successes must lie between 0 and trials, got {successes} of {trials} trials"
        )
    result = stats.binomtest(successes, trials).proportion_ci(1.0 - alpha, method="exact")
    return float(result.low), float(result.high)


def ks_critical_one_sample(n: int, alpha: float = ALPHA) -> float:
    """Exact critical value of the one-sample Kolmogorov–Smirnov distance."""
    return float(stats.kstwo.isf(alpha, n))


def ks_critical_two_sample(n: int, m: int, alpha: float = ALPHA) -> float:
    """Critical value of the two-sample Kolmogorov–Smirnov distance, by its proven upper bound.

    P(D > x) ≤ 2 exp(−2 x² n m/(n + m)) holds for n = m ≥ 458 (Wei and Dudley 2012); the bound errs on
    the side of too wide for unequal sizes in the asymptotic regime used here.
    """
    return float(np.sqrt(np.log(2.0 / alpha) / 2.0 * (n + m) / (n * m)))
