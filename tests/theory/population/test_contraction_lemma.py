import numpy as np
import pytest
import sympy as sp

from linear_model.claims.population import contraction_lemma as claim
from theory.population import contraction_lemma, population_map
from theory.samples import mean_square_rate
from verification.budget import Budget
from verification.finding import Says
from verification.proof import sign_intervals

Y, K = sp.symbols("y kappa", positive=True)


def test_the_lemma_holds_exactly_up_to_three_halves():
    assert contraction_lemma.largest_kappa(contraction_lemma.lemma_factor) == sp.Rational(3, 2)
    assert contraction_lemma.largest_kappa(contraction_lemma.lemma_factor_without_two) == 1
    finding = claim.check(Budget())
    assert "3/2" in finding.added_assumption
    assert all(step.holds for step in finding.proof)
    assert finding.comparisons[0].measured == 1.5


def test_literal_rounds_alone_would_refute_the_control():
    control = claim.check.negative_control(Budget())
    assert control.added_assumption == ""
    assert not control.comparisons[2].holds


@pytest.mark.parametrize("kappa", [0.3, 1.0, 1.5, 1.6, 1.9])
def test_slack_is_the_difference_seen_on_vectors(kappa):
    numerator, denominator = contraction_lemma._slack(contraction_lemma.lemma_factor)
    for tangent in (0.05, 0.7, 3.0, 40.0):
        a_star = np.array([1.0, 0.0, 0.0])
        a = np.array([1.0, 0.0, tangent]) / np.hypot(1.0, tangent)
        moved = population_map.round_by_vectors(a, a_star, kappa)
        y = 1 / (1 + tangent**2)
        truth = (moved[1] ** 2 + moved[2] ** 2) / (1 - y)
        stated = float((numerator / denominator).subs({Y: y, K: kappa}))
        assert stated == pytest.approx(1 - kappa * y / 2 - truth, abs=1e-12)
        assert claim.sine_ratio_squared(y, kappa) == pytest.approx(truth, abs=1e-12)


def test_range_from_one_start_is_what_simulation_shows():
    for y_0 in (0.05, 0.4, 0.9):
        edge = contraction_lemma.largest_kappa_from(y_0)
        for kappa, holds in ((0.995 * edge, True), (1.005 * edge, False)):
            t = start = np.sqrt(1 / y_0 - 1)
            kept = True
            for _ in range(4000):
                after = population_map.next_tangent(t, kappa)
                ratio = (after / t) ** 2 * (1 + t**2) / (1 + after**2)
                kept &= bool(ratio <= contraction_lemma.lemma_factor(y_0, kappa) * (1 + 1e-12))
                t = after
                if t < 1e-100 or t > start:
                    break
            assert kept is holds


def test_the_edge_at_finite_m_is_where_the_mean_square_meets_the_lemma():
    for q in (0.0, 0.1, 1.7):
        edge = contraction_lemma.largest_kappa_at(q)
        kept = mean_square_rate.rate_squared(edge, q)
        assert kept == pytest.approx(contraction_lemma.lemma_factor(1.0, edge))
    assert contraction_lemma.largest_kappa_at(0.0) == 1.5


def test_cells_of_known_inequalities():
    # y² − κ y + 1 ≥ 0 on [0, 1] iff κ ≤ 2; roots meet at κ = 2, at the end y = 1.
    assert sign_intervals.largest(sign_intervals.decide(Y**2 - K * Y + 1, Y, K)) == 2
    # (y − 1/2)² ≥ (κ − 1)/4: fails inside, true at both ends for κ ≤ 2, from κ = 1 on.
    inside = (Y - sp.Rational(1, 2)) ** 2 - (K - 1) / 4
    assert sign_intervals.largest(sign_intervals.decide(inside, Y, K)) == 1
    # An irrational end: 2 − κ² y.
    assert sign_intervals.largest(sign_intervals.decide(2 - K**2 * Y, Y, K)) == sp.sqrt(2)
    assert sign_intervals.largest(sign_intervals.decide(1 + K * Y, Y, K)) == sp.oo
    assert sign_intervals.largest(sign_intervals.decide(-1 - K * Y, Y, K)) == 0
    # True, false, true again: the run stops at the first end, the cells tell the rest.
    found = sign_intervals.decide((K - 1) * (K - 2) + Y * (1 - Y) / 100, Y, K)
    assert sign_intervals.largest(found) == 1
    assert all(cell.holds is bool(cell.high <= 1 or cell.low >= 2) for cell in found)


TIED = Y**2 - K * Y + 1


@pytest.mark.parametrize(
    ("polynomial", "edge"),
    [(TIED, 2), (2 - K**2 * Y, sp.sqrt(2)), ((K - 1) * (K - 2) + Y / 100, 1)],
)
def test_an_end_is_decided_again_without_cells(polynomial, edge):
    step = sign_intervals.largest_is("", polynomial, Y, K, edge)
    assert step.holds
    assert Says.AGREES in {opinion.says for opinion in step.opinions}
    assert Says.DISAGREES not in {opinion.says for opinion in step.opinions}
    for off in (1.02, 0.98):
        step = sign_intervals.largest_is("", polynomial, Y, K, edge * sp.nsimplify(off))
        assert not step.holds
        said = {opinion.says for opinion in step.opinions}
        assert Says.DISAGREES in said
        assert Says.AGREES not in said


def test_a_wrong_cell_is_caught(monkeypatch):
    three, cell = sp.Integer(3), sign_intervals.SignInterval
    wrong = (cell(sp.Integer(0), three, True), cell(three, sp.oo, False))
    monkeypatch.setattr(sign_intervals, "decide", lambda *given: wrong)
    step = sign_intervals.largest_is("", TIED, Y, K, three)
    assert not step.holds
    assert {opinion.says for opinion in step.opinions} == {Says.DISAGREES}


def test_no_end_has_no_second_opinion():
    step = sign_intervals.largest_is("", 1 + K * Y, Y, K, sp.oo)
    assert step.holds
    assert {opinion.says for opinion in step.opinions} == {Says.NOTHING}


@pytest.mark.parametrize("bad", [Y * K, sp.exp(Y) + K, sp.sqrt(2) * Y + K])
def test_cells_refuse_what_they_cannot_decide(bad):
    with pytest.raises(ValueError, match="polynomial must"):
        sign_intervals.decide(bad, Y, K)
