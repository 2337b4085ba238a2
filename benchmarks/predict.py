"""Predicted medians against literal simulation at random settings, and how long an answer takes.

    python -m benchmarks.predict [--points K] [--seed S] [--out FILE]

At each point the model is simulated by its definition, client by client on literal X and Y, and
the median of the rounds until angle and model's error are at most ε gets a distribution-free 99 % interval.
A predicted median lies outside with a probability of about 1 % at most if it is right, so of many some may;
exit status 1 if there are more than that explains (binomial, 1e-6).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from linear_model.prediction.predict import predict
from linear_model.prediction.setting import Setting
from verification.codec import json_text
from verification.files import write
from verification.statistics import median_interval
from verification.streams import generator

DEFAULT_OUT = Path(__file__).parent / "results" / "predict.json"
CONFIDENCE, UNLIKELY = 0.99, 1e-6
TRIALS, LONGEST = 301, 80


@dataclass(eq=False)
class Literal:
    """T runs of Algorithm 2 at once, by its definition."""

    setting: Setting
    pooled: bool
    rng: np.random.Generator
    a: np.ndarray

    @classmethod
    def begun(cls, setting: Setting, trials: int, seed: int, *, pooled: bool = False) -> Literal:
        """Before the first round."""
        rng = generator(seed, "literal")
        a = rng.standard_normal((trials, setting.d))
        if setting.start != "random":
            s = float(setting.start)
            a[:, 0] = 0.0
            a *= s / np.linalg.norm(a, axis=1, keepdims=True)
            a[:, 0] = np.sqrt(1.0 - s**2)
        return cls(setting, pooled, rng, a / np.linalg.norm(a, axis=1, keepdims=True))

    def samples(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """X (T, m, d) and Y = X a* b*ᵀ + σE of a client with targets (T, p); a* is the first unit vector."""
        X = self.rng.standard_normal((len(targets), self.setting.samples, self.setting.d))
        Y = X[:, :, :1] * targets[:, None, :]
        return X, Y + self.setting.noise * self.rng.standard_normal(Y.shape)

    def blurred(self, sent: np.ndarray) -> np.ndarray:
        """With a client's own noise."""
        return sent + self.setting.privacy_noise * self.rng.standard_normal(sent.shape)

    def round(self) -> tuple[np.ndarray, np.ndarray]:
        """One round: angle distance and √excess, (T,)."""
        setting, a, targets = self.setting, self.a, self.setting.targets
        keys = self.rng.random((len(a), setting.clients))
        who = np.argsort(keys, axis=1)[:, : setting.active].T
        fits, squares, rights = [], [], []
        for client in who:
            X, Y = self.samples(targets[client])
            image = (X @ a[:, :, None])[:, :, 0]
            squares.append(np.square(image).sum(axis=1)[:, None])
            rights.append(np.einsum("tm,tmp->tp", image, Y))
            fits.append(self.blurred(rights[-1] / squares[-1]))
        b = np.mean(fits, axis=0)
        if self.pooled:
            b = np.sum(rights, axis=0) / np.sum(squares, axis=0)
        eta = setting.kappa / 2.0
        moved = []
        for client in who:
            X, Y = self.samples(targets[client])
            own = a
            for _ in range(setting.local_steps):
                residual = (X @ own[:, :, None]) * b[:, None, :] - Y
                pull = (residual @ b[:, :, None]).transpose(0, 2, 1) @ X
                own = own - eta * 2.0 / setting.samples * pull[:, 0]
            moved.append(self.blurred(own))
        mean = np.mean(moved, axis=0)
        self.a = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        wanted = np.zeros((1, setting.d, setting.outputs))
        wanted[0, 0] = targets.mean(axis=0)
        gap = self.a[:, :, None] * b[:, None, :] - wanted
        return np.linalg.norm(self.a[:, 1:], axis=1), np.sqrt(np.square(gap).sum(axis=(1, 2)))


def first_rounds(model: Literal, longest: int) -> np.ndarray:
    """First rounds at which angle and error were at most ε, (2, T); inf for none of the first `longest`."""
    first = np.full((2, len(model.a)), inf)
    begun = np.linalg.norm(model.a[:, 1:], axis=1)
    first[0, begun <= model.setting.eps] = 0.0
    for number in range(1, longest + 1):
        for times, error in zip(first, model.round(), strict=True):
            times[(error <= model.setting.eps) & np.isinf(times)] = number
        if np.isfinite(first).all():
            break
    return first


def random_setting(rng: np.random.Generator) -> tuple[Setting, str]:
    """A setting that literal data can afford, and the method to ask about."""
    clients = int(rng.integers(1, 8))
    setting = Setting(
        d=int(np.exp(rng.uniform(np.log(2.0), np.log(30.0)))),
        clients=clients,
        samples=int(np.exp(rng.uniform(np.log(3.0), np.log(60.0)))),
        kappa=float(rng.uniform(0.1, 1.8)),
        local_steps=int(rng.choice([1, 1, 1, 2, 3])),
        heterogeneity=float(rng.choice([0.0, rng.uniform(0.0, 0.7)])) if clients > 1 else 0.0,
        noise=float(rng.choice([0.0, rng.uniform(0.0, 0.2)])),
        participation=float(rng.choice([1.0, 0.5])),
        privacy_noise=float(rng.choice([0.0, np.exp(rng.uniform(np.log(1e-3), np.log(3e-2)))])),
        outputs=int(rng.integers(1, 4)),
        eps=float(np.exp(rng.uniform(np.log(0.01), np.log(0.5)))),
        start=str(rng.choice(["random", f"{rng.uniform(0.5, 0.95):.2f}"])),
        seed=int(rng.integers(1 << 30)),
    )
    method = (
        "algorithm2"
        if setting.privacy_noise
        else str(rng.choice(["algorithm2", "algorithm2-pooled"]))
    )
    return setting, method


def compared(number: int, seed: int, trials: int = TRIALS) -> dict[str, Any]:
    """One random point: predicted medians, simulated intervals, whether they agree."""
    setting, method = random_setting(generator(seed, "prediction points", number))
    row = predict(setting).row(method)
    assert row.rounds is not None
    assert row.model_rounds is not None
    longest = min(row.rounds.horizon, LONGEST)
    model = Literal.begun(setting, trials, setting.seed, pooled=method.endswith("pooled"))
    command = " ".join(["rolora predict", *setting.words()])
    found: dict[str, Any] = {"command": command, "method": method, "longest": longest}
    for name, told, first in zip(
        ("angle", "error"),
        (row.rounds, row.model_rounds),
        first_rounds(model, longest),
        strict=True,
    ):
        within = told.median is not None and told.median <= longest
        median = float(told.median) if within and told.median is not None else inf
        low, high = median_interval(first, 1.0 - CONFIDENCE)
        found[name] = [median, low, high]
    return found


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    given = parser.parse_args()
    points = [compared(number, given.seed) for number in range(given.points)]
    answers = [point[name] for point in points for name in ("angle", "error")]
    flags = [low <= median <= high for median, low, high in answers]
    missed = len(flags) - sum(flags)
    finite = sum(median < inf for median, _, _ in answers)
    chance = float(stats.binom.sf(missed - 1, len(flags), 1.0 - CONFIDENCE)) if missed else 1.0
    summary = {
        "seed": given.seed, "points": given.points, "trials": TRIALS, "confidence": CONFIDENCE,
        "medians": len(flags), "reached": int(finite), "inside": sum(flags),
        "chance_of_so_many_outside": chance,
    }  # fmt: skip
    print(summary)
    lines = ",\n".join(json_text(point, indent=None).strip() for point in points)
    head = json_text(summary).rstrip().removesuffix("}").rstrip()
    write(given.out, f'{head},\n  "each": [\n{lines}\n  ]\n}}\n')
    return int(chance < UNLIKELY)


if __name__ == "__main__":
    sys.exit(main())
