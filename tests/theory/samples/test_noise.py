import numpy as np
import pytest

from theory.samples import noise


def test_floor_is_the_mean_square_of_the_linear_recursion() -> None:
    # A literal vector simulation of the linearised round, apart from any simulator of the package.
    d, clients, samples, kappa, runs = 3, 2, 10, 0.7, 40_000
    rng = np.random.default_rng(11)
    x = np.zeros((runs, d - 1))
    for _ in range(25):
        g, h = rng.standard_normal((2, runs, clients, samples))
        own = np.square(g).sum(-1)
        size = np.linalg.norm(x, axis=1)
        e = rng.standard_normal((runs, clients))
        r = (-size[:, None] * (g * h).sum(-1) / own + e / np.sqrt(own)).mean(-1)
        X = rng.standard_normal((runs, clients * samples, d))
        label = rng.standard_normal((runs, clients * samples))
        full = np.concatenate([r[:, None], x], axis=1)
        image = (X @ full[..., None])[..., 0] - label
        x = x - kappa * np.einsum("tmi,tm->ti", X, image)[:, 1:] / (clients * samples)
    squares = np.square(x).sum(-1)
    stated = noise.floor(kappa, 1.0, 1.0, d, clients, samples)
    error = squares.std(ddof=1) / np.sqrt(runs)
    # two-sided error probability below 1e-6 at 4.9 standard errors; sees 5 % where they are 0.9 %
    assert abs(squares.mean() - stated) < 4.9 * error
    assert error < 0.009 * stated


def test_an_unstable_step_is_refused() -> None:
    with pytest.raises(ValueError, match="kappa must be below"):
        noise.floor(1.9, 0.1, 1.0, 50, 1, 10)
