"""Recorded passes, with a stand-in for the GPU's graphs that runs the recorded work again."""

import pytest
import torch

from llm_validation.layers import recorded
from tests.llm_validation.test_engines import EQUAL
from tests.support.llm_bench import one_round, opened


class Again:
    """Runs the work on what the recording was given, and writes where the recording's results are."""

    def __init__(self, given, made, work):
        self.given, self.made, self.work = given, made, work
        self.replays = 0

    def replay(self):
        gradients, each = self.work(self.given)
        for key, value in gradients.items():
            self.made[0][key].copy_(value)
        self.made[1].copy_(each)
        self.replays += 1


@pytest.fixture
def graphs(monkeypatch):
    """Every recording made."""
    found = []

    def stand_in(recorder, given, p, work):
        inputs = {name: value.clone() for name, value in given.batch.inputs.items()}
        kept = recorded.static(given, inputs)
        recorder.holder.draw(kept, p, recorder.places(kept))
        made = work(kept)
        for value in (*made[0].values(), made[1]):
            value.zero_()  # a recording does nothing yet
        graph = Again(kept, made, work)
        found.append(graph)
        return recorded.Recording(graph, kept, made)

    monkeypatch.setattr(recorded.Recorder, "_recorded", stand_in)
    return found


@pytest.mark.parametrize("method", ["rolora", "fedavg"])
@pytest.mark.parametrize("kind", ["roberta", "llama"])
def test_replayed_rounds_are_the_rounds(tiny, graphs, kind, method):
    config = tiny(kind, method=method, dtype="float64", lora_dropout=0.2, local_steps=6, clients=3)
    benches = opened(config), opened(config)
    benches[1].engine.recording = True
    for _ in range(4):
        (one, after), (two, other) = map(one_round, benches)
        for name, stack in one.named().items():
            torch.testing.assert_close(two.named()[name], stack, rtol=EQUAL, atol=1e-14)
        benches[0].server, benches[1].server = after, other
    assert sum(graph.replays for graph in graphs) > 8
    # A recording for each shape and kind of round.
    assert len({id(graph) for graph in graphs}) == len(graphs) > 1
