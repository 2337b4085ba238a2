"""Passes recorded on a GPU, once for a shape, and replayed without launching their kernels one by one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from llm_validation.base.encoding import Batch
from llm_validation.layers.dropout import Pass, PassHolder

Made = tuple[dict[str, Tensor], Tensor]
"""Gradients, by what steps together, and each client's loss."""


@dataclass(eq=False)
class Recording:
    """A graph, where it reads its pass, and where its results are."""

    graph: Any
    given: Pass
    made: Made


@dataclass(eq=False)
class Recorder:
    """Recordings by shape; they share the memory that passes need while they run.

    A shape is run as usual when it first comes, recorded when it comes again, and replayed from then on. What
    the model holds must stay where it is in memory. What a replay returns holds until the next one.
    """

    holder: PassHolder
    most: int
    """Tokens of the largest pass, padding included: all recordings draw their masks in one place."""
    masks: dict[int, Tensor] = field(default_factory=dict)
    made: dict[tuple[object, ...], Recording | None] = field(default_factory=dict)
    pool: Any = None

    def run(self, given: Pass, p: float, work: Callable[[Pass], Made]) -> Made:
        """The work on a pass with dropout p."""
        key = _shape(given.batch)
        if key not in self.made:
            self.made[key] = None
            return work(given)
        recording = self.made[key]
        if recording is None:
            recording = self.made[key] = self._recorded(given, p, work)
        for name, value in _tensors(given.batch).items():
            _tensors(recording.given.batch)[name].copy_(value)
        self.holder.draw(given, p, recording.given.masks)
        recording.graph.replay()
        return recording.made

    def places(self, given: Pass) -> dict[int, Tensor]:
        """Where a pass's masks lie, by width."""
        tokens, found = given.batch.inputs["input_ids"].numel(), {}
        for width, layers in self.holder.widths.items() if given.seeds is not None else ():
            if width not in self.masks:
                self.masks[width] = torch.empty(
                    layers * self.most * width, dtype=torch.bool, device=given.batch.labels.device
                )
            found[width] = self.masks[width][: layers * tokens * width]
        return found

    def _recorded(self, given: Pass, p: float, work: Callable[[Pass], Made]) -> Recording:
        self.pool = self.pool or torch.cuda.graph_pool_handle()
        inputs = {name: value.clone() for name, value in given.batch.inputs.items()}
        kept = static(given, inputs)
        self.holder.draw(kept, p, self.places(kept))
        torch.cuda.empty_cache()  # a recording's memory is its own
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self.pool):
                made = work(kept)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise RuntimeError(
                f"a pass of this model cannot be recorded ({error}); set cuda_graphs = false"
            ) from error
        return Recording(graph, kept, made)


def static(given: Pass, inputs: dict[str, Tensor]) -> Pass:
    """A pass of that shape in memory of its own."""
    labels = given.batch.labels.clone()
    return Pass(replace(given.batch, inputs=inputs, labels=labels), given.seeds)


def _tensors(batch: Batch) -> Mapping[str, Tensor]:
    return {**batch.inputs, "labels": batch.labels}


def _shape(batch: Batch) -> tuple[object, ...]:
    return batch.clients, batch.tail, *batch.inputs["input_ids"].shape
