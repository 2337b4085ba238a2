"""The search of a learning rate, on made-up runs whose scores are known."""

from dataclasses import replace

import numpy as np
import pytest

from federation.learning_rates import choose, sweep, tuned_sweep, tuned_until
from verification.finding import Rule
from verification.paired_study import Design, Run

DESIGN = Design(
    ("clients",), ((2,),), ("m",), (0.1, 0.3, 1.0, 3.0), (1, 2), (7, 8, 9), "score", Rule(0.05)
)
LIMIT = {7: 10.0, 8: 0.5, 9: 0.2}
"""The rate above which a judging seed diverges; tuning seeds never do."""
asked = []


def made_up(method, rate, seeds):
    """Early 0.3 is best, at the end 1.0."""
    asked.append((rate, tuple(seeds)))
    for seed in seeds:
        early, late = 0.5 - abs(rate - 0.3), 0.9 - abs(rate - 1.0)
        noise = 0.001 * seed
        yield Run((0, 5, 10), (0.0, early + noise, late + noise), rate > LIMIT.get(seed, 99.0))


@pytest.mark.parametrize(
    ("scores", "losses", "place"),
    [
        ([[0.1, 0.3], [0.2, 0.3]], [[0, 0], [0, 0]], 1),
        ([[np.nan], [0.5], [0.5]], [[np.nan], [0.7], [0.6]], 2),
        ([[0.5], [0.5], [0.4]], [[0.7], [0.7], [0.1]], 0),
        ([[0.9, np.nan], [0.1, 0.1]], [[0, 0], [0, 0]], 1),
    ],
)
def test_the_best_rate_is_that_of_the_best_mean_then_of_the_smaller_loss(scores, losses, place):
    assert choose((1.0, 2.0, 3.0), np.array(scores), np.array(losses)) == place


def test_a_grid_that_diverges_throughout_is_refused():
    with pytest.raises(ValueError, match=r"every rate diverged \(1, 2\); add smaller ones"):
        choose((1.0, 2.0), np.full((2, 1), np.nan), np.zeros((2, 1)))


@pytest.mark.parametrize("bad", [(), (0.1, -1.0), (float("nan"),)])
def test_a_bad_grid_is_refused(bad):
    for refused in (lambda: sweep(made_up, "m", bad, (0,)), lambda: replace(DESIGN, rates=bad)):
        with pytest.raises(ValueError, match="rates must be"):
            refused()


def test_the_rate_is_chosen_on_other_seeds_than_it_is_judged_on():
    asked.clear()
    found = tuned_sweep(made_up, "m", DESIGN)
    assert (found.tuned.seeds, found.tuned.rates) == ((1, 2), DESIGN.rates)
    assert (found.rates, found.rates[found.best()]) == ((1.0,), 1.0)
    assert found.scores()[0] == pytest.approx(0.907)
    assert found.curve().shape == (3, 3)
    # Rates at which a judged run diverges are lowered for that run alone, step by step.
    assert [run.restarts for run in found.runs.values()] == [0, 1, 2]
    assert found.runs[1.0, 9].scores == next(iter(made_up("m", 0.1, (9,)))).scores
    assert not any(run.diverged for run in found.runs.values())
    assert asked[4:-1] == [(1.0, (7, 8, 9)), (0.3, (8, 9)), (0.1, (9,))]


def test_runs_of_several_lengths_have_each_their_own_rate():
    lengths = []

    def stopped(method, rate, seeds, rounds=10):
        lengths.append((rate, rounds))
        return [run.until(rounds) for run in made_up(method, rate, seeds)]

    found = tuned_until(stopped, "m", DESIGN, (10, 5))
    assert list(found) == [5, 10]
    short, long = found.values()
    assert (short.rates, long.rates) == ((0.3,), (1.0,))
    assert (short.rounds, long.rounds) == (short.tuned.rounds, (0, 5, 10)) == ((0, 5), (0, 5, 10))
    assert short.scores()[0] == pytest.approx(0.507)
    assert set(lengths[4:]) == {(0.3, 5), (0.1, 5), (1.0, 10), (0.3, 10), (0.1, 10)}
