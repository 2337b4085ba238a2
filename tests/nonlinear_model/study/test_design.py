"""The study's design: what is compared where, and what its seeds can tell."""

import numpy as np
import pytest
from scipy import stats

from federated_lora import Shape, method_named
from nonlinear_model.study import design
from nonlinear_model.study.design import DESIGN, name_of, point
from nonlinear_model.study.measure import scored

SHAPE = Shape(784, 16, 200)


def sent(method, rounds):
    """Numbers a client sends up in so many rounds."""
    rule = method_named(method, max(rounds, 10))
    return sum(rule.traffic([SHAPE], t).up for t in range(1, rounds + 1))


@pytest.mark.parametrize("pair", [("rolora", "fedavg"), ("rolora", "ffa"), ("fedavg", "ffa")])
@pytest.mark.parametrize("rounds", sorted({point[3] for point in DESIGN.points}))
def test_equal_numbers_are_equal(pair, rounds):
    at = point(10, "25", rounds)
    first, second = DESIGN.equal_numbers(*pair, at)
    assert DESIGN.equal_numbers(*pair[::-1], at) == (second, first)
    many, few = sent(pair[0], first), sent(pair[1], second)
    assert 0.98 <= many / few <= 1.0
    assert max(first, second) == rounds


def test_every_point_is_scored_where_it_is_judged():
    assert len({name_of(point) for point in DESIGN.points}) == len(DESIGN.points) == 23
    for at in DESIGN.points:
        for method in DESIGN.at(at).methods:
            assert set(DESIGN.lengths(at, method)) <= set(DESIGN.tracked(at, method))
            assert min(DESIGN.tracked(at, method)) >= 2
    named = [name for name in DESIGN.more if name in map(name_of, DESIGN.points)]
    assert named == list(DESIGN.more)
    assert not set(DESIGN.seeds) & set(DESIGN.tuning_seeds)


@pytest.mark.parametrize(
    ("method", "round", "pair"),
    [
        ("rolora", 40, (40, 39)),
        ("rolora", 39, (38, 39)),
        ("fedavg", 40, (39, 40)),
        ("ffa", 40, (39, 40)),
        ("a-heavy", 40, (40, 37)),
        ("b-heavy", 40, (40, 39)),
        ("rolora-then-ffa:20", 40, (39, 40)),
    ],
)
def test_a_score_averages_the_last_rounds_of_both_factors(method, round, pair):
    assert scored(method_named(method, 40), round) == pair


def test_the_power_calculation_is_what_simulation_finds():
    """10,000 studies: their share of found leads is 0.9 within 5 standard errors, 0.015."""
    alpha, seeds, spread = 0.001, 24, 0.03
    lead = design.resolvable(spread, seeds, alpha)
    draws = np.random.default_rng(0).normal(lead, spread, (10_000, seeds))
    reach = stats.t.isf(alpha / 2, seeds - 1) * draws.std(axis=1, ddof=1) / np.sqrt(seeds)
    assert abs((draws.mean(axis=1) > reach).mean() - 0.9) < 0.015
    needed = design.seeds_needed(spread, alpha, lead)
    assert needed == seeds
    assert design.seeds_needed(spread, alpha, lead * 1.05) < seeds


def test_the_number_of_seeds_is_what_the_design_says_of_it():
    """Enough for a lead of 0.02 at 5 local steps, too few elsewhere, which the claims' tables tell."""
    alpha = design.ALPHA / design.COMPARISONS
    needed = {local: design.seeds_needed(spread, alpha) for local, spread in design.SPREAD.items()}
    enough = [local for local in design.LOCAL if design.SEEDS[local] >= needed[local]]
    assert enough == ["5"]
