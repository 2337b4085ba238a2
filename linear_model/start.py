"""Where the trials start: random, at a given angle, or from given factors."""

import numpy as np

from linear_model.methods.algorithm2 import orthonormalised
from linear_model.problem import Problem, require_orthonormal

Start = str | float | np.ndarray


def checked_start(problem: Problem, start: Start, trials: int) -> Start:
    """The start as "random", a float in (0, 1) or a float64 array of shape (d, r) or (trials, d, r)."""
    if isinstance(start, str):
        if start != "random":
            raise ValueError(
                "start must be 'random', an angle distance in (0, 1) or an array of orthonormal"
                f" columns, got {start!r}"
            )
        return start
    given = np.array(start, dtype=np.float64)
    if given.ndim == 0:
        if problem.rank != 1:
            raise ValueError(
                f"start as an angle distance needs rank 1, got rank {problem.rank}; give 'random'"
                " or an array of orthonormal columns"
            )
        if problem.target_rank != 1:
            raise ValueError(
                "start as an angle distance needs targets of rank 1, got rank"
                f" {problem.target_rank}; give 'random' or an array of orthonormal columns"
            )
        if not 0.0 < float(given) < 1.0:
            raise ValueError(f"start as an angle distance must lie in (0, 1), got {float(given)}")
        return float(given)
    if given.ndim == 1 and problem.rank == 1:
        given = given[:, None]
    one = (problem.d, problem.rank)
    if given.shape not in (one, (trials, *one)):
        raise ValueError(
            f"start must have shape (d, rank) = {one} or (trials, d, rank) = {(trials, *one)},"
            f" got {given.shape}"
        )
    require_orthonormal("start", given)
    return given


def frames(
    problem: Problem, start: Start, rng: np.random.Generator, first: int, count: int
) -> np.ndarray:
    """Start factors of trials first … first + count − 1, shape (count, d, r)."""
    shape = (count, problem.d, problem.rank)
    if isinstance(start, np.ndarray):
        return np.broadcast_to(start if start.ndim == 2 else start[first : first + count], shape)
    normal = rng.standard_normal(shape)
    if isinstance(start, str):
        return orthonormalised(normal)  # Haar: R has a positive diagonal
    truth = problem.optimum.A
    aside = normal - truth * (truth.T @ normal)
    aside -= truth * (truth.T @ aside)
    return np.sqrt((1.0 - start) * (1.0 + start)) * truth + start * orthonormalised(aside)


def reduced_frames(
    problem: Problem, start: Start, rng: np.random.Generator, first: int, count: int
) -> np.ndarray:
    """The same in coordinates (A*, part outside A*), shape (count, q + k, r), k = min(r, d − q).

    The outside part is known up to a rotation that no population round can see. Cost is independent
    of d unless an array was given.
    """
    r, q = problem.rank, problem.target_rank
    outside = min(r, problem.d - q)
    truth = problem.A_star
    if isinstance(start, np.ndarray):
        given = start if start.ndim == 2 else start[first : first + count]
        inside = truth.T @ given
        aside = given - truth @ inside
        aside -= truth @ (truth.T @ aside)
        rest = np.asarray(np.linalg.qr(aside, mode="r"))[..., :outside, :]
        frame = np.concatenate([inside, rest], axis=-2)
        return np.broadcast_to(frame, (count, q + outside, r))
    if isinstance(start, float):
        cosine = np.sqrt((1.0 - start) * (1.0 + start))
        return np.broadcast_to(np.array([[cosine], [start]]), (count, 2, 1))
    # A Gaussian d × r matrix in these coordinates: its first q rows, and the triangular factor of the
    # other d − q rows by Bartlett.
    frame = rng.standard_normal((count, q + outside, r))
    for row in range(outside):
        frame[:, q + row, :row] = 0.0
        frame[:, q + row, row] = np.sqrt(rng.chisquare(problem.d - q - row, size=count))
    return orthonormalised(frame)


def angles(
    problem: Problem, start: Start, rng: np.random.Generator, first: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of the start angles for rank 1, each of shape (count,); the sine is ≥ 0."""
    if isinstance(start, float):
        cosine = np.sqrt((1.0 - start) * (1.0 + start))
        return np.full(count, cosine), np.full(count, start)
    if isinstance(start, str):
        inside = rng.standard_normal(count)
        outside = np.sqrt(rng.chisquare(problem.d - 1, size=count))
        length = np.hypot(inside, outside)
        return inside / length, outside / length
    frame = reduced_frames(problem, start, rng, first, count)
    cosine, sine = frame[:, 0, 0], np.abs(frame[:, 1, 0])
    length = np.hypot(cosine, sine)
    return cosine / length, sine / length
