"""A run in a tidy table: each round's mean over the trials, an interval of it, and quantiles."""

from typing import Any

import numpy as np

from linear_model.run import Run

QUANTITIES = {
    "angle": "angle distance δ",
    "excess": "excess risk",
    "loss": "expected global loss",
    "aggregation_error": "aggregation error",
}
SENT = {"numbers_up": "numbers sent up", "numbers_down": "numbers sent down"}
"""By all clients since the start; means over the trials, which differ where clients sit out."""
CONFIDENCE = 0.95


def summarise(done: Run) -> dict[str, Any]:
    """Per-round mean, interval of the mean and quantiles over the trials, one column each; numbers sent."""
    from scipy import stats

    columns: dict[str, Any] = {"round": list(range(done.rounds + 1))}
    for name in QUANTITIES:
        values: np.ndarray = getattr(done, name)
        columns[name] = mean = values.mean(axis=0)
        reach = np.full_like(mean, np.nan)
        if done.trials > 1:
            reach = stats.t.ppf(0.5 + CONFIDENCE / 2, done.trials - 1) * values.std(axis=0, ddof=1)
            reach /= np.sqrt(done.trials)
        columns[f"{name}_low"], columns[f"{name}_high"] = mean - reach, mean + reach
        for label, level in (("q10", 0.1), ("median", 0.5), ("q90", 0.9)):
            columns[f"{name}_{label}"] = np.quantile(values, level, axis=0)
    for name in SENT:
        counts: np.ndarray = getattr(done, name)
        columns[name] = counts[0] if np.all(counts == counts[0]) else counts.mean(axis=0)
    return columns
