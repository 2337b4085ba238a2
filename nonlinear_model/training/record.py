"""What a federated run writes down: the tidy rows of its tracked rounds, and the numbers sent so far."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from federated_lora import Factor, Method
from federation.round import tensor_name
from federation.sent import Sent
from nonlinear_model.configuration import Configuration
from nonlinear_model.training import sampling, subspace, tracking
from nonlinear_model.training.all_at_once import Examples, Server

LAYER = "hidden"
"""Name of the network's one adapted matrix."""
A_NAME, B_NAME = (tensor_name(LAYER, factor) for factor in Factor)


@dataclass(frozen=True, slots=True)
class Replica:
    """One of the repetitions that run side by side.

    Its seed is the root of its split, start, batches and participants; the rate is its learning rate.
    """

    seed: int
    rate: float


class Record:
    """The rows of a run, and what their angles and gradient norms are measured against.

    Attributes:
        rows: one per tracked round and replica.
        sent: the numbers sent so far.
        probe: the images gradient norms are taken on, (R, N, p) indices; None without a probe.
    """

    def __init__(
        self,
        config: Configuration,
        method: Method,
        replicas: Sequence[Replica],
        parts: Sequence[Sequence[np.ndarray]],
        label_counts: np.ndarray,
        weights: np.ndarray,
        examples: tuple[Examples, Examples],
        sent: Sent,
    ) -> None:
        """An empty record; label counts are (R, N, classes), the weights those of all clients, (R, N)."""
        self.rows: list[tracking.Row] = []
        self.sent = sent
        self._config, self._method, self._replicas = config, method, replicas
        self._label_shares = label_counts / label_counts.sum(axis=2)[:, :, None]
        self._weights = weights
        self._train, self._test = examples
        self._bases: list[Tensor] = []
        self.probe: Tensor | None = None
        if config.probe:
            drawn = [
                [
                    sampling.draw(r.seed, 0, k, part, 1, config.probe)[0]
                    for k, part in enumerate(own)
                ]
                for r, own in zip(replicas, parts, strict=True)
            ]
            self.probe = torch.from_numpy(np.array(drawn)).to(self._train.y.device)

    def add(
        self,
        round: int,
        server: Server,
        A: Tensor,
        train_loss: np.ndarray | None,
        error: np.ndarray | None,
        trained: str,
    ) -> list[tracking.Row]:
        """Measure the server's model after a round and write it down.

        Args:
            server: the model, with every client's own of what stays with them.
            A: the server's, (R, d, r), whose subspace is followed.
            train_loss: weighted mean of the participants' losses, (R,); None before the first round.
            error: the round's aggregation error, (R,); None before the first round.
        """
        scale = self._config.scale
        classes, present = self._label_shares.shape[2], self.sent.held > 0
        evaluation = tracking.evaluate(server, self._test, scale, classes, present)
        spread = tracking.client_accuracies(evaluation, self._label_shares)
        norms: tuple[np.ndarray, np.ndarray] | None = None
        if self.probe is not None:
            norms = tracking.block_gradient_norms(
                server, self._train, self.probe, self._weights, scale
            )
        step = self._angle_step(A)
        added = [
            {
                "round": round,
                "seed": replica.seed,
                "learning_rate": replica.rate,
                "method": self._method.name,
                "trained": trained,
                "test_accuracy": float(evaluation.accuracy[r]),
                "test_loss": float(evaluation.loss[r]),
                "train_loss": None if train_loss is None else float(train_loss[r]),
                "client_accuracy_min": float(spread[r].min()),
                "client_accuracy_max": float(spread[r].max()),
                "client_accuracy_std": float(spread[r].std()),
                "gradient_norm_A": None if norms is None else float(norms[0][r]),
                "gradient_norm_B": None if norms is None else float(norms[1][r]),
                "aggregation_error": None if error is None else float(error[r]),
                "angle_step": None if step is None else float(step[r]),
                "angle_to_final": None,
                "numbers_up": int(self.sent.up[r]),
                "numbers_down": int(self.sent.down[r]),
            }
            for r, replica in enumerate(self._replicas)
        ]
        self.rows.extend(added)
        return added

    def _angle_step(self, A: Tensor) -> np.ndarray | None:
        """Angle to the A-subspace of the row before, (R,); None in the first row."""
        if not self._bases:
            self._bases.append(subspace.basis(A))
            return None
        before = self._bases[-1]
        if self.sent.last_change(A_NAME) <= self.rows[-1]["round"]:
            # A frozen A has moved by exactly nothing, not by QR's rounding.
            self._bases.append(before)
            return np.zeros(len(self._replicas))
        self._bases.append(subspace.basis(A))
        return subspace.sine(before, self._bases[-1]).cpu().numpy()

    def finish(self) -> list[tracking.Row]:
        """The rows with the angle of each one's A-subspace to the last one filled in."""
        R = len(self._replicas)
        for index, base in enumerate(self._bases):
            last = self._bases[-1]
            # The very same subspace is at angle 0, not at QR's rounding.
            alike = torch.all(last == base, dim=(-2, -1))
            sines = torch.where(alike, 0.0, subspace.sine(last, base)).cpu().numpy()
            for replica in range(R):
                self.rows[index * R + replica]["angle_to_final"] = float(sines[replica])
        return self.rows

    def tensors(self) -> dict[str, Tensor]:
        """What `restore` needs beside the rows."""
        counts = {f"sent.{k}": torch.from_numpy(v) for k, v in self.sent.arrays().items()}
        return {"bases": torch.stack(self._bases), **counts}

    def restore(self, tensors: dict[str, Tensor], rows: list[tracking.Row]) -> None:
        """Take up a record where `tensors` and `rows` left it."""
        self._bases = list(tensors["bases"].to(self._train.y.device))
        counts = {name: tensors[f"sent.{name}"].numpy() for name in self.sent.arrays()}
        self.sent = self.sent.restored(counts)
        self.rows = [dict(row) for row in rows]
