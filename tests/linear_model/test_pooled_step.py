"""The pooled b-step: what it wins over averaged solutions (theory-2.md E1)."""

import numpy as np
import pytest

from linear_model import Algorithm2, Problem, simulate


def test_the_pool_needs_the_samples_and_not_each_client():
    problem = Problem(d=8, rank=2, clients=12, samples=2, B_star=np.eye(2))
    run = simulate(
        problem, Algorithm2(kappa=0.3, pooled=True), simulator="data", rounds=80, trials=4
    )
    assert run.angle[:, -1].max() < 0.05
    with pytest.raises(ValueError, match=r"samples must exceed rank \+ 1 = 3"):
        simulate(problem, Algorithm2(kappa=0.3), simulator="data", rounds=1)


def test_pooling_has_the_smaller_error_on_new_samples():
    """Label noise of σ costs pσ²/(Nm − 2) in place of pσ²/(N(m − 2)); 4,000 trials, five standard errors."""
    clients, samples, sigma = 4, 12, 0.5
    problem = Problem(d=6, clients=clients, samples=samples, noise=sigma)
    start = np.broadcast_to(problem.A_star, (4000, 6, 1))  # the right A, so that only B errs
    options = {"simulator": "gram", "rounds": 1, "trials": 4000, "start": start}
    for pooled, theory in ((True, clients * samples - 2), (False, clients * (samples - 2))):
        method = Algorithm2(kappa=1e-9, pooled=pooled)
        excess = simulate(problem, method, **options).excess[:, 1]
        error = excess.std(ddof=1) / np.sqrt(4000)
        assert abs(excess.mean() - sigma**2 / theory) < 5 * error
        assert 5 * error < sigma**2 * (1 / (clients * (samples - 2)) - 1 / (clients * samples - 2))
