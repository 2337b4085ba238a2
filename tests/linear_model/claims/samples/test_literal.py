import numpy as np
import pytest

from linear_model.claims.literal import WAYS, Literal, near, tangents, ways


def test_a_round_is_the_one_written_out_for_one_trial() -> None:
    rng = np.random.default_rng(3)
    d, r, p, m, eta = 6, 2, 3, 9, 0.05
    targets = list(rng.standard_normal((4, d, p)))
    A = np.linalg.qr(rng.standard_normal((1, d, r)))[0]
    literal = Literal(targets, m, label=0.3, local_steps=2, blur_b=0.1, blur_a=0.2)
    moved, B = literal.round(A, eta, np.random.default_rng(7))
    again = np.random.default_rng(7)

    def drawn(W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        X = again.standard_normal((m, d))
        return X, X @ W + 0.3 * again.standard_normal((m, p))

    fits = []
    for W in targets:
        X, Y = drawn(W)
        fit = np.linalg.lstsq(X @ A[0], Y, rcond=None)[0]
        fits.append(fit + 0.1 * again.standard_normal((r, p)))
    mean_B = np.mean(fits, axis=0)
    ends = []
    for W in targets:
        X, Y = drawn(W)
        own = A[0]
        for _ in range(2):
            own = own - eta * 2 / m * X.T @ (X @ own @ mean_B - Y) @ mean_B.T
        ends.append(own + 0.2 * again.standard_normal((d, r)))
    end = np.mean(ends, axis=0)
    assert np.allclose(B[0], mean_B, rtol=0, atol=1e-13)
    assert np.allclose(moved[0].T @ moved[0], np.eye(r), atol=1e-14)
    assert np.allclose(tangents(moved, r)[0], end[r:] @ np.linalg.inv(end[:r]), atol=1e-12)


def test_tangents_come_back() -> None:
    T = np.random.default_rng(0).standard_normal((3, 4, 2))
    assert tangents(near(T), 2) == pytest.approx(T)


def test_starts_that_share_samples_are_rounds_of_their_own_on_these() -> None:
    d, m, eta = 5, 7, 0.1
    targets = list(np.random.default_rng(1).standard_normal((3, d, 2)))
    starts = ways(d, np.array([0.3, 0.2]))
    literal = Literal(targets, m, label=0.2, local_steps=2)
    moved, B = literal.moved(starts[None], eta, np.random.default_rng(4))
    assert moved.shape == (1, 3, d, 2)
    for start, A, own in zip(starts, moved[0], B[0], strict=True):
        alone, mine = literal.moved(start[None], eta, np.random.default_rng(4))
        np.testing.assert_allclose(A, alone[0], atol=1e-13)
        np.testing.assert_allclose(own, mine[0], atol=1e-13)


def test_ways_have_the_tangents_asked_for_along_other_axes_each() -> None:
    sizes = np.array([1e-3, 1e-5])
    found = tangents(ways(6, sizes), 2)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.tile(sizes, (4, 1)), rtol=1e-12)
    assert len({tuple(np.argmax(T, axis=0)) for T in found}) == 4
    assert len(ways(100, sizes)) == WAYS
