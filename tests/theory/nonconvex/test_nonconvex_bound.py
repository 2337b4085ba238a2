"""The non-convex bound: its proof steps, its simulation, and what happens when a formula is wrong."""

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

from theory.nonconvex import extremes, gradient_bound, nonconvex_bound, smooth_problem
from theory.nonconvex.smooth_problem import SmoothProblem, alternate
from verification.budget import Budget
from verification.verdict import Verdict


def test_gradients_are_those_of_finite_differences_and_within_the_smoothness():
    rng = np.random.default_rng(1)
    problem = SmoothProblem.draw(3, rng)
    A, B = rng.standard_normal((2, 4, 3))
    for block in ("A", "B"):
        wide = (np.repeat(x[:, None], 3, axis=1) for x in (A, B))
        mean = problem.gradients(*wide, block).mean(axis=1)
        for j in range(3):
            e = 1e-6 * np.eye(3)[j]
            up, down = ((A + e, B), (A - e, B)) if block == "A" else ((A, B + e), (A, B - e))
            slope = (problem.values(*up) - problem.values(*down)) / 2e-6
            assert slope == pytest.approx(mean[:, j], abs=1e-8)
    wide_A, wide_B = (rng.standard_normal((500, 3, 3)) for _ in "AB")
    moved = wide_A + 1e-3 * rng.standard_normal(wide_A.shape)
    change = problem.gradients(moved, wide_B, "A") - problem.gradients(wide_A, wide_B, "A")
    ratio = np.linalg.norm(change, axis=2) / np.linalg.norm(moved - wide_A, axis=2)
    assert ratio.max() <= problem.smoothness


def test_rounds_are_the_literal_ones():
    """Against a loop over trials, clients and steps, without noise."""
    problem = SmoothProblem.draw(3, np.random.default_rng(2), heterogeneity=2.0)
    step, K, T = 0.02, 3, 4
    found = alternate(
        problem, rounds=T, local_steps=K, step=step, sigma=0.0, trials=2,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    A, B = np.zeros(3), np.zeros(3)
    worst = 0.0

    def gradient(i, a, b, block):
        t = problem.U[i] @ a + problem.V[i] @ b - problem.c[i]
        slope = smooth_problem.phi_slope(t) / len(t)
        return slope @ (problem.U[i] if block == "A" else problem.V[i])

    for t in range(T):
        total = 0.0
        for block in "BA":
            each = [gradient(i, A, B, block) for i in range(3)]
            mean = np.mean(each, axis=0)
            total += mean @ mean
            worst = max(worst, np.mean([np.sum((g - mean) ** 2) for g in each]))
            ends = []
            for i in range(3):
                a, b = A.copy(), B.copy()
                for _ in range(K):
                    move = gradient(i, a, b, block)
                    a, b = (a - step * move, b) if block == "A" else (a, b - step * move)
                ends.append(a if block == "A" else b)
            A, B = (np.mean(ends, axis=0), B) if block == "A" else (A, np.mean(ends, axis=0))
        assert found.squared_norms[:, t] == pytest.approx([total, total], rel=1e-12)
    assert found.dissimilarity == pytest.approx(worst, rel=1e-12)


def test_noise_has_the_stated_variance():
    """One step from zero: mean_i of N clients' noise has total variance η²σ²/N."""
    problem = SmoothProblem.draw(2, np.random.default_rng(3))
    problem = replace(problem, U=0 * problem.U)  # A's gradient is 0: only its noise moves
    kwargs = {"local_steps": 1, "step": 1e-3, "sigma": 2.0, "trials": 20000}
    found = alternate(problem, rounds=2, rng=np.random.default_rng(4), **kwargs)
    flat = alternate(problem, rounds=2, rng=np.random.default_rng(4), **{**kwargs, "sigma": 0.0})

    # ∇_B f(B + ξ) ≈ ∇_B f(B) + Hξ; with E||ξ||² = η²σ²/N per half-round, H from finite differences.
    def slope(B):
        everywhere = np.repeat(B[:, None], 2, axis=1)
        return problem.gradients(0 * everywhere, everywhere, "B").mean(axis=1)[0]

    B1 = -1e-3 * slope(np.zeros((1, 3)))[None]
    H = np.stack([(slope(B1 + e) - slope(B1 - e)) / 2e-5 for e in 1e-5 * np.eye(3)])
    g = slope(B1)
    # Var of 2 gᵀHξ, ξ ~ N(0, η²σ²/(N p) I): a χ² test of the variance at α = 1e−6 sees 7 %.
    expected = 4.0 * np.sum((H.T @ g) ** 2) * (1e-3 * 2.0) ** 2 / (2 * 3)
    assert flat.squared_norms[:, 1].std() < 1e-15
    n = 20000
    ratio = found.squared_norms[:, 1].var(ddof=1) / expected
    assert abs(ratio - 1.0) < 5.0 * np.sqrt(2.0 / n) + 0.005


def test_thirteen_percent_of_the_bound_is_refuted_by_a_parabola(monkeypatch):
    monkeypatch.setattr(gradient_bound, "derive", lambda _: ())
    found = nonconvex_bound.check(Budget(), shrink=sp.Rational(13, 100))
    assert found.verdict is Verdict.REFUTED
    assert "parabola" in found.counterexample


def test_a_slightly_smaller_bound_is_less_than_its_parts_add_up_to():
    """No known problem tells them apart, as the claim says; the proof's last step does."""
    found = nonconvex_bound.check(Budget(), shrink=sp.Rational(49, 50))
    assert found.verdict is Verdict.REFUTED
    assert "exactly what the claim says its lemmas add up to" in found.counterexample
    assert all(comparison.holds for comparison in found.comparisons)


def test_counted_clients_are_literal_ones():
    """Mean and spread of where a round ends, against every client's own steps, two kinds of three."""
    problem = extremes.TwoSided(
        np.array([1.0, 0.3]), np.array([0.2, 0.9]), np.array([0.0, 0.4]), clients=6
    )
    start, step, K, trials = 0.1, 0.05, 2, 20_000
    rng = np.random.default_rng(8)
    x = np.full((trials, 3, 2), start)
    for _ in range(K):
        x = x - step * (problem.slopes(x) + rng.choice([-2.0, 2.0], x.shape))
    literal = x.mean(axis=(1, 2))
    ends = problem.ends(np.full(1, start), step, extremes._paths(K, 2.0))
    assert literal.mean() == pytest.approx(ends.mean(), abs=5 * literal.std() / np.sqrt(trials))
    settings = {"rounds": 2, "local_steps": K, "step": step, "sigma": 2.0, "trials": trials}
    averages, apart = problem.run(start, rng=rng, **settings)
    at = problem.slopes(literal[:, None]).mean(axis=1) ** 2
    first = problem.slopes(np.array(start)).mean() ** 2
    # Both blocks' second gradient, twice the average less the first: 5 standard errors.
    second = averages - first
    error = np.hypot(second.std(), at.std()) / np.sqrt(trials)
    assert second.mean() == pytest.approx(at.mean(), abs=5 * error)
    assert apart >= problem.slopes(np.array(start)).var()


def test_the_gap_is_to_the_minimum():
    problem = extremes.TwoSided(*(np.array(v) for v in ([1.0, 1.0], [1.0, 1.0], [0.0, 2.0])), 2)
    # mean of x²/2 and (x − 2)²/2, least at 1
    assert problem.gap(3.0) == pytest.approx(2 * ((9 + 1) / 4 - 0.5))
