"""`Evidence.precise`: estimates that are said to equal theory must be near enough to mean it."""

import numpy as np

from verification.budget import Budget
from verification.evidence import Evidence
from verification.verdict import Verdict


def concluded(n, *, later):
    evidence = Evidence("precise", Budget())
    samples = np.arange(n) % 2.0
    if not later:
        evidence.mean("a half", samples, equals=0.5)
    evidence.precise()
    if later:
        evidence.mean("a half", samples, equals=0.5)
    return evidence.conclude(Verdict.CONSISTENT)


def test_all_that_equal_theory_count_whenever_they_are_asked():
    for later in (False, True):
        coarse = concluded(10_000, later=later)  # a standard error of 1 % of the value
        assert coarse.verdict is Verdict.UNDECIDED
        assert "runs in place of 10000: largest standard error" in coarse.missing
        fine = concluded(41_000, later=later)
        assert fine.verdict is Verdict.CONSISTENT
        assert fine.comparisons[-1].theory == 0.005
        assert fine.comparisons[-1].measured < 0.005


def test_an_estimate_beside_a_bound_does_not_count():
    evidence = Evidence("precise", Budget())
    evidence.mean("below one", np.arange(100) % 2.0, at_most=1.0)
    evidence.precise()
    finding = evidence.conclude(Verdict.CONSISTENT)
    assert finding.verdict is Verdict.CONSISTENT
    assert len(finding.comparisons) == 1


def test_proportions_and_quantiles_have_standard_errors():
    evidence = Evidence("precise", Budget())
    share = evidence.proportion("a tenth", 1_000, 10_000, equals=0.1)
    assert share.relative_error == np.sqrt(0.1 * 0.9 / 10_000) / 0.1
    normal = np.random.default_rng(0).standard_normal(40_000)
    median = evidence.quantile("the median over 1", 1.0 + normal, 0.5, equals=1.0)
    assert abs(median.standard_error / (np.sqrt(np.pi / 2) / 200) - 1) < 0.1
    evidence.precise()
    assert evidence.conclude(Verdict.CONSISTENT).verdict is Verdict.UNDECIDED


def test_a_false_statement_is_refuted_however_coarse():
    evidence = Evidence("precise", Budget())
    evidence.mean("a half", np.arange(10_000) % 2.0, equals=0.8)
    evidence.precise()
    assert evidence.conclude(Verdict.CONSISTENT).verdict is Verdict.REFUTED
