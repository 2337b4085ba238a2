"""From clients' real features and targets to the linear model: what is estimated, and what that leaves out.

The features are whitened by the mean of the clients' second moments, `S̄ = mean_i X_iᵀX_i/m_i`, so that the
model's identity stands for S̄; client i's target is its least-squares fit V_i there. a* and ‖b̄*‖ are the first
singular pair of mean V_i, `b_i* = V_iᵀa*`, the noise is what the fits leave. All in units of ‖b̄*‖.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from linear_model.prediction import shift

NOTHING, UNSEEN = 1e-6, 0.01
"""Shares below which a direction does not count: of the largest second moment, over all clients; of the mean
over clients, for one of them."""
ROUNDING = 1e-12
"""Noise and heterogeneity, in units of ‖b̄*‖, below which they are the arithmetic's."""
LARGEST = 1e100
"""Features and targets, whose squares of squares must not overflow."""
MOSTLY = 0.9


@dataclass(frozen=True, eq=False)
class Estimated:
    """The linear model that is nearest to the features.

    Attributes:
        values: d, clients, samples, outputs, noise, heterogeneity of the setting.
        targets: b_i* in units of ‖b̄*‖, (N, p).
        seen: numbers that say what was estimated, and `warnings` about what the model leaves out.
    """

    values: dict[str, Any]
    targets: np.ndarray
    seen: dict[str, Any]


def read(folder: str | Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Every client's X (m_i × d) and Y (m_i × p) from the .npz files of a folder, by name."""
    files = sorted(Path(folder).glob("*.npz")) if isinstance(folder, str | Path) else []
    if not files:
        raise ValueError(f"features must be a folder with an .npz file a client, got {folder}")
    X, Y = [], []
    for file in files:
        try:
            # NumPy takes any file that is no archive for a pickle, and offers to run it
            with zipfile.ZipFile(file), np.load(file, allow_pickle=False) as arrays:
                held = {name: arrays[name] for name in ("X", "Y") if name in arrays}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"features {file} cannot be read as .npz: {error}") from error
        if len(held) < 2:
            raise ValueError(f"features {file} must hold the arrays X and Y")
        X.append(held["X"])
        Y.append(held["Y"])
    return X, Y


def estimate(X: Sequence[np.ndarray], Y: Sequence[np.ndarray]) -> Estimated:
    """The nearest linear model.

    Raises:
        ValueError: on arrays that are not two-dimensional, finite and alike, or a mean target of 0.
    """
    xs, ys = _checked(X, Y)
    samples, p = np.array([len(x) for x in xs]), ys[0].shape[1]
    moments = np.stack([x.T @ x / len(x) for x in xs])
    values, vectors = np.linalg.eigh(moments.mean(axis=0))
    counted = values > NOTHING * values[-1]
    d = int(counted.sum())
    if d < 2:
        raise ValueError(f"features must span at least 2 directions, got {d}")
    white = vectors[:, counted] / np.sqrt(values[counted])
    fits, seen_by, left = [], [], 0.0
    for x, y in zip(xs, ys, strict=True):
        fit, directions = _fitted(x @ white, y)
        fits.append(fit)
        seen_by.append(directions)
        left += float(np.square(y - x @ white @ fit).sum())
    own = np.array(seen_by)
    freedom = int(np.maximum(samples - own, 0).sum()) * p
    noise = float(np.sqrt(left / freedom)) if freedom else 0.0
    U, sizes, _ = np.linalg.svd(np.mean(fits, axis=0), full_matrices=False)
    size = float(sizes[0])
    if not size > 0.0:
        raise ValueError("features must have a mean target that is not 0, got 0")
    noise = noise if noise > ROUNDING * size else 0.0
    b = np.einsum("d,ndp->np", U[:, 0], fits) / size
    centre = b.mean(axis=0)
    spread = float(np.square(b - centre).sum(axis=1).mean())
    blur = p * (noise / size) ** 2 * float(np.mean(1.0 / np.maximum(samples - own - 1, 1)))
    kept = np.sqrt(max(spread - blur, 0.0) / spread) if spread > ROUNDING**2 else 0.0
    seen = {
        "width": xs[0].shape[1],
        "directions": d,
        "least_seen_by_a_client": int(own.min()),
        "condition": float(values[-1] / values[counted][0]),
        "smallest_client": int(samples.min()),
        "largest_client": int(samples.max()),
        "mean_target": size,
        "rank_one_share": float(size**2 / np.square(sizes).sum()),
        "shared_direction_share": float(np.square(b * size).sum() / np.square(fits).sum()),
        "noise": float(noise / size),
        "heterogeneity": float(kept * np.sqrt(spread)),
        **shift.told(white.T @ moments @ white, samples, np.stack(fits), size),
    }
    seen["warnings"] = list(_warnings(seen, freedom))
    sizes_of = {"d": d, "clients": len(xs), "samples": int(np.median(samples)), "outputs": p}
    rest = {"noise": seen["noise"], "heterogeneity": seen["heterogeneity"] if len(xs) > 1 else 0.0}
    return Estimated({**sizes_of, **rest}, centre + kept * (b - centre), seen)


def _fitted(Z: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, int]:
    """Least squares in the directions that a client sees, and their number; 0 in the others."""
    values, vectors = np.linalg.eigh(Z.T @ Z / len(Z))
    seen = values > UNSEEN
    basis = vectors[:, seen]
    return basis @ ((basis.T @ (Z.T @ Y / len(Z))) / values[seen, None]), int(seen.sum())


def _warnings(seen: dict[str, Any], freedom: int) -> Iterator[str]:
    yield (
        f"the model's features are normal with one covariance, whitened here (condition number"
        f" {seen['condition']:.3g}), and new in every half-step; a method that takes gradient steps on the"
        " features as they are is slower along small directions"
    )
    yield from shift.warnings(seen, unlike=seen["heterogeneity"] > 0.0)
    if seen["least_seen_by_a_client"] < seen["directions"]:
        yield (
            f"a client of at least {seen['smallest_client']} samples sees {seen['least_seen_by_a_client']} of"
            f" {seen['directions']} directions: its target is taken for 0 in the others, so heterogeneity is"
            " in part what clients do not know"
        )
    if not freedom:
        yield (
            "no client has more samples than directions that it sees: nothing is left to tell the label"
            " noise by, and it is taken for 0"
        )
    for name, what in (
        ("rank_one_share", "of the mean target's square is in its first direction"),
        ("shared_direction_share", "of the clients' targets' squares is along that direction"),
    ):
        if seen[name] < MOSTLY:
            yield f"only {seen[name]:.0%} {what}: the prediction is about that part, at rank 1"


def _checked(
    X: Sequence[np.ndarray], Y: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    if not X or len(X) != len(Y):
        raise ValueError(f"features must be one X and one Y a client, got {len(X)} and {len(Y)}")
    kept: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for number, pair in enumerate(zip(X, Y, strict=True)):
        for name, given, into in zip("XY", pair, kept, strict=True):
            array = np.asarray(given)
            if array.ndim != 2 or array.dtype.kind not in "fiub" or not np.all(np.isfinite(array)):
                raise ValueError(
                    f"features {name} of client {number} must be a matrix of finite numbers, got"
                    f" {array.dtype.name} of shape {array.shape}"
                )
            array = array.astype(np.float64)
            if array.size and np.abs(array).max() > LARGEST:
                raise ValueError(
                    f"features {name} of client {number} must be at most {LARGEST:g} in size, got"
                    f" {np.abs(array).max():.3g}"
                )
            if array.shape[1] != (into[0] if into else array).shape[1] or not array.size:
                raise ValueError(
                    f"features {name} of client {number} must be as wide as the first client's and not empty,"
                    f" got shape {array.shape}"
                )
            into.append(array)
        if len(kept[0][-1]) != len(kept[1][-1]):
            raise ValueError(
                f"features of client {number} must have a row of Y for each of X, got"
                f" {len(kept[1][-1])} and {len(kept[0][-1])}"
            )
    return kept
