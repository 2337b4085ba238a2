"""What clients' own covariances and full-rank targets do to the methods, from the theory's closed forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf, sqrt
from typing import Any

import numpy as np

from theory.local_steps import covariate_shift
from theory.other_methods import one_shot_averaging

USUAL = 2.0
"""Spread of the clients' covariances, in units of what samples alone would show, above which it is told."""
ROUNDING = 1e-12
SMALL = 0.2
"""Errors up to which the first order may stand alone."""


def spread(moments: np.ndarray, samples: np.ndarray) -> float:
    """Root mean square of ‖S_i − I‖ over what m_i normal samples of one law show; 1 if they are alike."""
    d = moments.shape[-1]
    apart = np.square(moments - np.eye(d)).sum(axis=(1, 2))
    usual = d * (d + 1) / samples
    return float(np.sqrt(apart.sum() / usual.sum()))


def told(
    moments: np.ndarray, samples: np.ndarray, targets: np.ndarray, size: float
) -> dict[str, Any]:
    """Numbers for `features.Estimated.seen`, errors in units of ‖b̄*‖ = `size`; None where a mode has no gap.

    Args:
        moments: S_i in coordinates in which their mean is I, (N, d, d).
        targets: the clients' fits there, (N, d, p).
    """
    shifts = moments - np.eye(moments.shape[-1])
    moved = covariate_shift.moved_mean(shifts, targets)
    centre = targets.mean(axis=0)
    best = centre + moved
    left = np.linalg.svd(best)[0]
    a = left[:, :1]
    bias = covariate_shift.fit_bias(a, shifts, targets)
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = covariate_shift.excess(bias, left, best), _of_exact_mean(moved, centre)
    errors = [sqrt(s) / size if 0.0 <= s < inf else None for s in squares]
    return {
        "covariance_spread": spread(moments, samples),
        "shift_error_rolora": errors[0],
        "shift_error_fedavg": errors[1],
        "one_round_excess_flexlora": _whole(one_shot_averaging.truncated_excess, targets, size),
        "one_round_excess_flora": _whole(one_shot_averaging.merged_excess, targets, size),
    }


def _whole(formula: Callable[[np.ndarray, int], float], targets: np.ndarray, size: float) -> float:
    """In units of ‖b̄*‖², at rank 1, without the arithmetic's last digits."""
    value = formula(targets, 1) / size**2
    return value if abs(value) > ROUNDING else 0.0


def _of_exact_mean(moved: np.ndarray, centre: np.ndarray) -> float:
    """FedAvg-LoRA's and the exact averages' excess, from the mean target's first direction."""
    U, sigma, Vt = np.linalg.svd(centre, full_matrices=False)
    a, b = U[:, 0], sigma[0] * Vt[0]
    pulled = moved @ b
    across = float(np.linalg.norm(pulled - a * (a @ pulled))) / float(sigma[0])
    along = float(np.linalg.norm(a @ moved))
    return float(covariate_shift.fedavg_excess(across, along))


def warnings(seen: dict[str, Any], unlike: bool) -> Iterator[str]:
    """What differing covariances do, where they differ by more than samples would show."""
    if seen["covariance_spread"] <= USUAL:
        return
    times = f"{seen['covariance_spread']:.3g} times as much as samples alone would"
    far = f"the clients' covariances differ, {times}"
    if not unlike:
        yield f"{far}: with alike targets that leaves no bias, only other rates"
        return
    errors = seen["shift_error_rolora"], seen["shift_error_fedavg"]
    if None in errors:
        yield f"{far}: that biases RoLoRA's fixed point, and without a gap in the mean target by no formula"
        return
    rolora, exact = errors
    beyond = (
        "" if max(errors) <= SMALL else ", which is not small, so that it says no more than that"
    )
    yield (
        f"{far}: with unlike targets that leaves RoLoRA an error of {rolora:.3g} however many rounds it makes"
        f" (theory.local_steps.covariate_shift.excess), exact averages of local optima {exact:.3g}"
        f" (….fedavg_excess), both to first order in the differences{beyond}; the table's numbers are without"
        " it. A pooled b-step, or control variates (rolora-cv), have no such bias"
    )
