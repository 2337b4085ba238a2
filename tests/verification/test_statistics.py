"""The statistics of evidence: intervals cover, tests keep their level, and both see what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from verification import statistics
from verification.budget import Budget
from verification.evidence import Evidence
from verification.finding import Comparison, Relation
from verification.streams import generator
from verification.verdict import Verdict


def test_student_interval_is_the_textbook_one() -> None:
    samples = generator(0, "evidence", 1).standard_normal(50) + 3.0
    estimate = statistics.mean_estimate(samples, alpha=0.05)
    reference = stats.t.interval(0.95, 49, samples.mean(), stats.sem(samples))
    assert estimate.interval == pytest.approx(reference, rel=1e-12)
    assert estimate.n == 50
    assert estimate.standard_error == pytest.approx(stats.sem(samples))


def test_student_interval_covers_at_its_level() -> None:
    # 20 000 intervals at 10 %: the number that miss is Binomial(20 000, 0.1) for normal samples.
    rng = generator(0, "evidence", 2)
    draws = rng.standard_normal((20_000, 8))
    half = stats.t.isf(0.05, 7) * draws.std(axis=1, ddof=1) / np.sqrt(8)
    missed = int(np.count_nonzero(np.abs(draws.mean(axis=1)) > half))
    low, high = statistics.proportion_interval(missed, 20_000)
    assert low <= 0.1 <= high
    few = [statistics.mean_estimate(row, alpha=0.1).interval for row in draws[:200]]
    literal = sum(not lo <= 0.0 <= hi for lo, hi in few)
    assert literal == int(np.count_nonzero(np.abs(draws[:200].mean(axis=1)) > half[:200]))


def test_clopper_pearson_matches_the_beta_quantiles_and_the_ends() -> None:
    low, high = statistics.proportion_interval(7, 40, alpha=0.01)
    assert low == pytest.approx(stats.beta.ppf(0.005, 7, 34), rel=1e-10)
    assert high == pytest.approx(stats.beta.isf(0.005, 8, 33), rel=1e-10)
    assert statistics.proportion_interval(0, 10)[0] == 0.0
    assert statistics.proportion_interval(10, 10)[1] == 1.0


@given(st.integers(min_value=21, max_value=200), st.floats(min_value=1e-6, max_value=0.5))
def test_median_interval_has_the_coverage_it_claims(n: int, alpha: float) -> None:
    # The samples 0…n−1 give back the ranks; the coverage of ranks [k, n−1−k] is exactly binomial.
    low, high = statistics.median_interval(np.arange(n), alpha)
    k = int(low)
    assert high == n - 1 - k
    assert 2 * stats.binom.cdf(k, n, 0.5) <= alpha * (1 + 1e-9)
    assert 2 * stats.binom.cdf(k + 1, n, 0.5) > alpha * (1 - 1e-9)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_quantile_interval_has_the_coverage_it_claims(share: float) -> None:
    n, alpha = 1_000, 1e-3
    low, high = statistics.quantile_interval(np.arange(n), share, alpha)
    # Fewer than k + 1 of n lie below the quantile with probability P(Bin(n, share) ≤ k).
    below = stats.binom(n, share)
    assert below.cdf(low) <= alpha / 2 < below.cdf(low + 1)
    assert below.sf(high) <= alpha / 2 < below.sf(high - 1)


def test_quantile_interval_refuses_too_few_and_no_share() -> None:
    with pytest.raises(ValueError, match=r"at least 1444 for a quantile of 0.99"):
        statistics.quantile_interval(np.arange(1_443), 0.99, 1e-6)
    with pytest.raises(ValueError, match="share must lie strictly between 0 and 1, got 1"):
        statistics.quantile_interval(np.arange(10), 1, 0.1)


def test_median_interval_takes_infinite_times_and_refuses_too_few() -> None:
    times = np.append(np.arange(30.0), np.inf)
    assert np.isfinite(statistics.median_interval(times, 0.01)[1])
    with pytest.raises(ValueError, match="at least 21"):
        statistics.median_interval(np.arange(15), 1e-6)
    with pytest.raises(ValueError, match="NaN"):
        statistics.median_interval(np.array([np.nan] * 40), 0.1)


def test_one_sample_ks_value_is_exact() -> None:
    assert stats.kstwo.sf(statistics.ks_critical_one_sample(500, 0.01), 500) == pytest.approx(
        0.01, rel=1e-4
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.mean_estimate(np.array([1.0])), "at least two"),
        (lambda: statistics.mean_estimate(np.array([1.0, np.inf])), "1 not finite"),
        (lambda: statistics.mean_estimate(np.ones(3), alpha=0.0), "alpha"),
        (lambda: statistics.proportion_interval(5, 4), "successes"),
        (lambda: statistics.proportion_interval(0, 0), "successes"),
        (lambda: statistics.proportion_interval(1, 4, alpha=1.0), "alpha"),
        (lambda: statistics.ks_critical_one_sample(0), "n must be"),
    ],
)
def test_bad_input_is_refused(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_bound_inside_the_interval_is_undecided() -> None:
    inside = Comparison("x", 1.05, 1.04, Relation.LE, interval=(0.98, 1.10), certify=True)
    assert not inside.holds
    assert inside.standing == "undecided"
    beyond = Comparison("x", 0.9, 1.04, Relation.LE, interval=(0.98, 1.10), certify=True)
    assert beyond.standing == "violated"


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("said", "theory", "measured", "verdict"),
    [
        ("equal", 1.0, NAN, Verdict.UNDECIDED),
        ("at_most", 1.0, NAN, Verdict.UNDECIDED),
        ("at_least", NAN, 1.0, Verdict.UNDECIDED),
        ("at_least", 1.0, INF, Verdict.UNDECIDED),
        ("at_most", 1.0, INF, Verdict.REFUTED),
        ("at_least", 1.0, -INF, Verdict.REFUTED),
        ("equal", 1.0, INF, Verdict.REFUTED),
    ],
)
def test_a_measurement_that_broke_is_no_counterexample(said, theory, measured, verdict) -> None:
    evidence = Evidence("broken", Budget())
    evidence.equal("what holds", 1.0, 1.0)
    getattr(evidence, said)("what broke", theory, measured)
    finding = evidence.conclude(Verdict.CONSISTENT)
    assert finding.verdict is verdict
    assert "what broke" in finding.missing + finding.counterexample
    assert finding.headline.quantity == "what broke"
    assert (finding.headline.standing == "no number") is (verdict is Verdict.UNDECIDED)
    evidence.equal("what fails", 1.0, 2.0)
    assert evidence.conclude(Verdict.CONSISTENT).verdict is Verdict.REFUTED
