"""A whole run: rounds, checkpoints, resuming, and the record it leaves."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save
from torch import Tensor

from federation import checkpoint
from federation.checkpoint import Checkpoint
from nonlinear_model.configuration import Configuration
from nonlinear_model.data.dataset import Dataset
from nonlinear_model.data.registry import IMAGES
from nonlinear_model.training import tracking
from nonlinear_model.training.federation import DivergenceError, Engine, Federation
from nonlinear_model.training.rates import MIN_POINTS, MODELS, fit
from verification.codec import columns_of
from verification.statistics import mean_estimate

CONFIDENCE = 0.95
Progress = Callable[[int, list[tracking.Row]], None]
"""Called after every round with its number and the rows it added."""


@dataclass(eq=False)
class Result:
    """What a run leaves.

    Attributes:
        rows: the tidy record, the same bits whether or not the run was resumed.
        weights: the server's final A, B and head, and what was merged into W0, one per repetition along the
            first axis; `own.` before what each client has of its own, (R, N, …).
        seconds: wall time of each round run by this process: (round, seconds). Apart from the record,
            because no clock gives the same numbers twice.
        diverged: the error that stopped the run, or None.
        warning: about a damaged checkpoint that was passed over, or "".
    """

    rows: list[tracking.Row]
    weights: dict[str, Tensor]
    federation: Federation
    seconds: list[tuple[int, float]] = field(default_factory=list)
    diverged: DivergenceError | None = None
    warning: str = ""


def run(
    config: Configuration,
    data: Dataset,
    *,
    checkpoints: Path | None = None,
    every: int = 10,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> Result:
    """Run all rounds, going on from the folder's checkpoint if it holds one of this configuration.

    One is written every so many rounds. A divergence ends the run early and is reported in the result, with
    the record up to there. `engine` takes the place of the configuration's.
    """
    if isinstance(every, bool) or every < 1:
        raise ValueError(f"every must be a whole number of at least 1, got {every!r}")
    if data.name != IMAGES.named(config.dataset).name:
        raise ValueError(f"data must be {config.dataset!r} as configured, got {data.name!r}")
    found = None if checkpoints is None else checkpoint.read(checkpoints, deciding(config, data))
    federation = Federation(config, data, engine=engine)
    result = Result([], {}, federation)
    if found is not None:
        federation.restore(dict(found.tensors), [dict(row) for row in found.rows], found.round)
        result.warning = found.warning
    while federation.round < config.rounds:
        began = time.perf_counter()
        try:
            added = federation.step()
        except DivergenceError as error:
            result.diverged = error
            break
        result.seconds.append((federation.round, time.perf_counter() - began))
        if progress is not None:
            progress(federation.round, added)
        if checkpoints is not None and (
            federation.round % every == 0 or federation.round == config.rounds
        ):
            state = Checkpoint(federation.round, federation.tensors(), federation.rows)
            checkpoint.write(checkpoints, deciding(config, data), state)
    result.rows = federation.finish()
    result.weights = {
        name: value.detach().cpu().contiguous() for name, value in federation.weights().items()
    }
    return result


def deciding(config: Configuration, data: Dataset) -> dict[str, Any]:
    """Everything that decides the result, to match a checkpoint with its run."""
    return {**config.as_dict(), "data": data.digest}


def weights_bytes(result: Result) -> bytes:
    """The final A, B and head as one safetensors file; the same weights give the same bytes."""
    return save(result.weights)


def summarise(rows: list[tracking.Row]) -> dict[str, list[Any]]:
    """One row per tracked round: the mean over repetitions, and an interval for the test accuracy.

    Equally long columns: `round`, `method`, `trained`, every measured column, `test_accuracy_low` and
    `test_accuracy_high` (95 % Student interval of the mean over repetitions; empty for a single one).
    """
    by_round: dict[int, list[tracking.Row]] = {}
    for row in rows:
        by_round.setdefault(row["round"], []).append(row)
    kept = [name for name in rows[0] if name not in ("seed", "learning_rate")]
    summary = []
    for group in by_round.values():
        means: tracking.Row = {}
        for name in kept:
            values = [one[name] for one in group]
            same = name in ("round", "method", "trained") or len(values) == 1
            means[name] = values[0] if same or None in values else float(np.mean(values))
        scores = np.array([one["test_accuracy"] for one in group])
        alone = scores.size < 2
        ends = (None, None) if alone else mean_estimate(scores, alpha=1.0 - CONFIDENCE).interval
        summary.append(means | {"test_accuracy_low": ends[0], "test_accuracy_high": ends[1]})
    return columns_of(summary)


FALLING = ("test_loss", "train_loss", "gradient_norm_A", "gradient_norm_B", "angle_step")
AVERAGE = "mean_squared_gradient"
"""Mean over the rounds so far of both blocks' squared gradient norms: the left side of theory.md §13."""


def rates(rows: list[tracking.Row]) -> list[dict[str, Any]]:
    """Geometric and power-law fits to each falling quantity of the first repetition's second half.

    The window is the second half of the rounds, where the start no longer shows. Beside the power law of
    `AVERAGE` stands `theory`, the exponent of theory.md §13's bound at the step balanced for each T; at a
    fixed step, as here, the bound falls as 1/T down to a floor, so a run may be slower once it is there.
    """
    seed = rows[0]["seed"]
    own = [row for row in rows if row["seed"] == seed]
    last = own[-1]["round"]
    window = (last / 2.0, float(last))
    # Zeros are angles of rounds that left A alone, not points of a falling curve.
    curves = {
        name: [(row["round"], row[name]) for row in own if row["round"] > 0 and row[name]]
        for name in FALLING
    }
    curves[AVERAGE] = _average_gradient(own)
    fits = []
    for name, pairs in curves.items():
        inside = [pair for pair in pairs if window[0] <= pair[0] <= window[1]]
        if len(inside) < MIN_POINTS:
            continue
        t, y = (np.array(column, dtype=np.float64) for column in zip(*inside, strict=True))
        for model in MODELS:
            found = fit(model, t, y, window=window)
            compared = name == AVERAGE and model == "power"
            fits.append(
                {
                    "quantity": name,
                    "model": model,
                    "rate": found.rate,
                    "low": found.interval[0],
                    "high": found.interval[1],
                    "residual": found.residual,
                    "first_round": window[0],
                    "last_round": window[1],
                    "points": len(inside),
                    "seed": seed,
                    "theory": _theory_exponent() if compared else None,
                }
            )
    return fits


def _average_gradient(rows: list[tracking.Row]) -> list[tuple[int, float]]:
    """(T, mean of the squared block gradient norms at the tracked rounds before T), or nothing."""
    norms = [(row["gradient_norm_A"], row["gradient_norm_B"]) for row in rows]
    if any(a is None for a, _ in norms):
        return []
    squares = np.array([a**2 + b**2 for a, b in norms], dtype=np.float64)
    means = np.cumsum(squares) / np.arange(1, squares.size + 1)
    rounds = [int(row["round"]) for row in rows[1:]]
    return [pair for pair in zip(rounds, means.tolist(), strict=False) if pair[1] > 0.0]


def _theory_exponent() -> float:
    """The power of 1/T in the bound's leading term."""
    from theory.nonconvex.gradient_bound import leading_term

    ends = [float(leading_term(1.0, 1, T, 1.0, 1, 1.0)) for T in (1, 4)]
    return float(np.log(ends[0] / ends[1]) / np.log(4.0))


def manifest(config: Configuration, result: Result) -> dict[str, Any]:
    """What a reader needs to repeat or compare the run. Plain values; versions are added by who writes it."""
    band = {} if config.repeats == 1 else {"low": "test_accuracy_low", "high": "test_accuracy_high"}
    return {
        "kind": "nonlinear",
        "name": f"{result.federation.method.name}, {config.clients} clients, {config.dataset}",
        "seed": config.seed,
        "configuration": config.as_dict(),
        "x": {"column": "round", "label": "round"},
        "y": [
            {"column": "test_accuracy", "label": "test accuracy", **band},
            {"column": "test_loss", "label": "test loss (nats)", "log": True},
            {"column": "aggregation_error", "label": "aggregation error (Frobenius)", "log": True},
            {"column": "angle_to_final", "label": "sine of the angle to the final A", "log": True},
            {"column": "numbers_up", "label": "numbers sent up"},
            {"column": "numbers_down", "label": "numbers sent down"},
        ],
        "interval": f"{CONFIDENCE:.0%} Student interval of the mean over repetitions",
        "seeds": list(config.seeds),
        "finished_rounds": result.federation.round,
        "diverged": None if result.diverged is None else str(result.diverged),
        "images_per_client": result.federation.label_counts[0].sum(axis=1).tolist(),
        "rates": rates(result.rows),
        **config.private(config.rounds),
    }
