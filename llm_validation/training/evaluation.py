"""Measuring the server's model. Takes the state, changes none of it: no round, no phase, no stream."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan

import numpy as np
import torch
from torch.nn import functional

from llm_validation.base.encoding import IGNORED, Batch, collate, encode, encode_options
from llm_validation.base.generation import NEW_TOKENS, answers
from llm_validation.base.models import Workspace
from llm_validation.config import Config
from llm_validation.layers.losses import at_least_single
from llm_validation.tasks.examples import Examples, Instructed
from llm_validation.tasks.extract import extract
from llm_validation.training.server import Server, write_server

TOKENS = {"cpu": 4096, "cuda": 65536}
"""Tokens, padding included, that go through the model at once."""


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy (share of examples) and mean loss (nats) on a split, with the number of examples.

    Where answers are generated, `by_likelihood` is the accuracy of the options' likelihoods.
    """

    accuracy: float
    loss: float
    examples: int
    by_likelihood: float = nan

    @staticmethod
    def columns(config: Config, score: "Score | None") -> dict[str, float | None]:
        """What a row of the run's table says of it, if anything was measured."""
        names = {"accuracy": "accuracy", "loss": "loss"}
        if config.scoring != "likelihood":
            names["accuracy_by_likelihood"] = "by_likelihood"
        return {column: getattr(score, name, None) for column, name in names.items()}


class Evaluator:
    """Scores a server's state on one split."""

    def __init__(self, config: Config, space: Workspace, examples: Examples) -> None:
        self.config = config
        self.space = space
        self.examples = examples
        if isinstance(examples, Instructed):
            self.data, self.owner = encode_options(examples, space.tokenizer, config.max_length)
        else:
            self.data = encode(
                examples, space.tokenizer, config.max_length, segments=space.segments
            )
            self.owner = np.arange(len(examples))

    @property
    def longest(self) -> int:
        """Tokens of the longest text that the model is to read or write."""
        found = int(self.data.lengths.max())
        if self.config.scoring == "extract" and self.data.prompt is not None:
            return max(found, int(self.data.prompt.max()) + NEW_TOKENS)
        return found

    def score(self, server: Server) -> Score:
        """Accuracy and loss of the server's model.

        Where something stays with the clients (a local head, personal factors), the mean over those that
        took part so far of each one's own model.
        """
        # In the clients' order, whatever order they came in: the mean is the same to the bit.
        clients: list[int | None] = [*sorted(server.own)] or [None]
        scores = [self._of(server, client) for client in clients]
        return Score(
            float(np.mean([s.accuracy for s in scores])),
            float(np.mean([s.loss for s in scores])),
            scores[0].examples,
            float(np.mean([s.by_likelihood for s in scores])),
        )

    def _of(self, server: Server, client: int | None) -> Score:
        space = self.space
        write_server(space, server, client)
        training = space.model.training
        space.model.eval()
        try:
            if not space.causal:
                return self._classes()
            return self._options() if self.config.scoring == "likelihood" else self._generated()
        finally:
            space.model.train(training)

    def _passes(self) -> Iterator[tuple[np.ndarray, Batch, torch.Tensor]]:
        """Examples of similar length together: their places, the batch, and what the model says to it."""
        for index in budgeted(self.data.lengths, TOKENS[self.space.device.type]):
            batch = collate(self.data, [index], self.space.pad_id, self.space.device)
            yield index, batch, at_least_single(self.space.logits(batch))

    @torch.no_grad()
    def _classes(self) -> Score:
        # Sums stay on the device: reading one would wait for it.
        hits, losses = [], []
        for _, batch, logits in self._passes():
            hits.append((logits.argmax(dim=-1) == batch.labels).sum())
            losses.append(functional.cross_entropy(logits, batch.labels, reduction="sum").double())
        n = len(self.data)
        return Score(int(torch.stack(hits).sum()) / n, float(torch.stack(losses).sum()) / n, n)

    @torch.no_grad()
    def _options(self) -> Score:
        """The option of highest likelihood; the loss is that of the right option, per token."""
        places, found = [], []
        for index, batch, logits in self._passes():
            labels = batch.labels[:, batch.labels.shape[1] - logits.shape[1] + 1 :]
            each = functional.cross_entropy(
                logits[:, :-1].transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
            )
            places.append(index)
            found.append(-each.sum(dim=1).double())
        likelihood = np.empty(len(self.data))
        likelihood[np.concatenate(places)] = torch.cat(found).cpu().numpy()
        assert self.data.prompt is not None  # options are causal text
        answer = self.data.lengths - self.data.prompt
        ends = np.cumsum(np.bincount(self.owner))[:-1]
        each_ones = np.split(likelihood, ends), np.split(answer, ends)
        hits, loss = 0, 0.0
        for own, tokens, right in zip(*each_ones, self.examples.labels, strict=True):
            hits += int(np.argmax(own) == right)
            loss -= own[right] / tokens[right]
        n = len(self.examples)
        return Score(hits / n, loss / n, n)

    def _generated(self) -> Score:
        """Answers that are the right option's words, or hold it first; the loss is the right option's."""
        space, examples = self.space, self.examples
        assert isinstance(examples, Instructed)
        options = sorted({option for own in examples.options for option in own})
        longest = max(map(len, space.tokenizer(options, add_special_tokens=False)["input_ids"]))
        # As in training, where the answer and its end must fit too.
        room = max(1, self.config.max_length - longest - 1)
        if self.config.scoring == "generate":
            texts = answers(space, examples.prompts, room, longest + 2)
            pairs = zip(texts, examples.options, examples.labels, strict=True)
            hits = [t.strip().lower() == own[k].strip().lower() for t, own, k in pairs]
        else:
            words = {word for own in examples.choices for word in own}
            texts = answers(space, examples.prompts, room)
            pairs = zip(texts, examples.choices, examples.labels, strict=True)
            hits = [extract(text, words) == own[k] for text, own, k in pairs]
        beside = self._options()
        return Score(float(np.mean(hits)), beside.loss, len(examples), beside.accuracy)


def budgeted(lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Positions of examples of similar length, so many that none of them needs more than `tokens` padded."""
    order = np.argsort(lengths, kind="stable")[::-1]
    found, first = [], 0
    while first < order.size:
        rows = max(1, tokens // int(lengths[order[first]]))
        found.append(order[first : first + rows])
        first += rows
    return found
