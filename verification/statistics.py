"""Statistics of evidence: intervals and tests that state their error probability and what they can see."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import scipy  # scipy.stats loads at its first use: most of its half second is not needed to read a claim

ALPHA = 1e-6
"""False-failure probability of one claim's statistical assertions together."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its confidence interval.

    Attributes:
        mean: sample mean.
        standard_error: of the mean.
        interval: two-sided Student interval.
        n: sample size.
    """

    mean: float
    standard_error: float
    interval: tuple[float, float]
    n: int

    def columns(self) -> dict[str, float]:
        """Its cells of a table: measured, low, high."""
        low, high = self.interval
        return {"measured": self.mean, "low": low, "high": high}

    def errors(self, theory: float) -> dict[str, float]:
        """Its further cells of a table: standard error, and how many of them it is off."""
        error = self.standard_error
        return {"standard error": error, "standard errors off": (self.mean - theory) / error}

    def interval_at(self, alpha: float) -> tuple[float, float]:
        """The interval at another error probability."""
        _check_alpha(alpha)
        reach = float(scipy.stats.t.isf(alpha / 2.0, self.n - 1)) * self.standard_error
        return self.mean - reach, self.mean + reach


def mean_estimate(samples: np.ndarray, alpha: float = ALPHA) -> Estimate:
    """Mean of i.i.d. samples with a Student interval (exact for normal samples, else by the CLT).

    Args:
        samples: shape (n,), n ≥ 2, finite.
        alpha: two-sided error probability; divide by the number of comparisons made together.

    Raises:
        ValueError: on fewer than two samples or a non-finite one, or alpha outside (0, 1).
    """
    _check_alpha(alpha)
    values = np.asarray(samples, dtype=np.float64).ravel()
    if values.size < 2 or not np.all(np.isfinite(values)):
        bad = int(np.count_nonzero(~np.isfinite(values)))
        raise ValueError(
            f"samples must be at least two finite numbers, got {values.size} of which {bad} not finite"
        )
    mean = float(values.mean())
    error = float(values.std(ddof=1) / sqrt(values.size))
    reach = float(scipy.stats.t.isf(alpha / 2.0, values.size - 1)) * error
    return Estimate(mean, error, (mean - reach, mean + reach), int(values.size))


def proportion_interval(successes: int, trials: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Clopper–Pearson interval of a success probability (exact coverage of at least 1 − alpha).

    Raises:
        ValueError: unless 0 ≤ successes ≤ trials and trials ≥ 1, or alpha outside (0, 1).
    """
    _check_alpha(alpha)
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f"successes must lie between 0 and trials, got {successes} of {trials} trials"
        )
    result = scipy.stats.binomtest(successes, trials).proportion_ci(1.0 - alpha, method="exact")
    return float(result.low), float(result.high)


def median_interval(samples: np.ndarray, alpha: float = ALPHA) -> tuple[float, float]:
    """`quantile_interval` of the median."""
    return quantile_interval(samples, 0.5, alpha)


def quantile_interval(
    samples: np.ndarray, share: float, alpha: float = ALPHA
) -> tuple[float, float]:
    """Distribution-free interval of a quantile, between two order statistics of i.i.d. samples.

    Coverage is at least 1 − alpha for every law, discrete ones included.

    Args:
        samples: shape (n,); +inf stands for "not reached".
        share: of the law that lies below, in (0, 1).
        alpha: two-sided error probability.

    Raises:
        ValueError: on a NaN, alpha or share outside (0, 1), or so small an n that even the whole range
            covers the quantile less often than asked: below 1 + log2(1/alpha) for a median.
    """
    _check_alpha(alpha)
    if not 0.0 < share < 1.0:
        raise ValueError(f"share must lie strictly between 0 and 1, got {share}")
    values = np.sort(np.asarray(samples, dtype=np.float64).ravel())
    if np.any(np.isnan(values)):
        raise ValueError("samples must not hold NaN")
    n = values.size
    least = int(np.ceil(np.log(alpha / 2.0) / np.log(max(share, 1.0 - share))))
    # At most `below` of n lie under the quantile, or under its mirror image, with P ≤ alpha/2.
    below, above = (_most_below(n, part, alpha) for part in (share, 1.0 - share))
    if min(below, above) < 0:
        name = "median" if share == 0.5 else f"quantile of {share:g}"
        raise ValueError(
            f"samples must be at least {least} for a {name} at alpha = {alpha}, got {n}"
        )
    return float(values[below]), float(values[n - 1 - above])


def _most_below(n: int, share: float, alpha: float) -> int:
    """Largest k with P(Binomial(n, share) ≤ k) ≤ alpha/2; −1 if there is none."""
    k = int(scipy.stats.binom.ppf(alpha / 2.0, n, share)) if n else -1
    while k >= 0 and scipy.stats.binom.cdf(k, n, share) > alpha / 2.0:
        k -= 1
    return k


def ks_critical_one_sample(n: int, alpha: float = ALPHA) -> float:
    """Exact critical value of the one-sample Kolmogorov–Smirnov distance.

    Raises:
        ValueError: unless n ≥ 1 and alpha in (0, 1).
    """
    _check_alpha(alpha)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    return float(scipy.stats.kstwo.isf(alpha, n))


def _check_alpha(alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")
