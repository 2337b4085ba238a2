"""Measuring the server's model. Takes the state, changes none of it: no round, no phase, no stream."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from llm_validation.base.encoding import IGNORED, Batch, collate, cut_prompt, encode, encode_options
from llm_validation.base.models import Workspace
from llm_validation.config import Config
from llm_validation.tasks.examples import Examples, Instructed
from llm_validation.training.losses import at_least_single
from llm_validation.training.server import Server, write_server

TOKENS = {"cpu": 4096, "cuda": 65536}
"""Tokens, padding included, that go through the model at once."""


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy (share of examples) and mean loss (nats) on a split, with the number of examples."""

    accuracy: float
    loss: float
    examples: int


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
        )

    def _of(self, server: Server, client: int | None) -> Score:
        space = self.space
        write_server(space, server, client)
        training = space.model.training
        space.model.eval()
        try:
            if not space.causal:
                return self._classes()
            return self._generated() if self.config.scoring == "generate" else self._options()
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

    @torch.no_grad()
    def _generated(self) -> Score:
        """Exact match of the greedily generated answer; the loss is that of the right option."""
        space, examples = self.space, self.examples
        assert isinstance(examples, Instructed)
        hits = 0
        for example, prompt in enumerate(examples.prompts):
            right = examples.options[example][int(examples.labels[example])]
            budget = len(space.tokenizer(right, add_special_tokens=False)["input_ids"]) + 2
            tokens = space.tokenizer(prompt)["input_ids"]
            # As in training, where the answer must fit too.
            room = max(1, self.config.max_length - budget)
            tokens = cut_prompt(tokens, room, space.tokenizer.bos_token_id)
            ids = torch.tensor([tokens], device=space.device)
            out = space.base.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=budget,
                do_sample=False,
                pad_token_id=space.pad_id,
            )
            text = space.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
            hits += text.strip().lower() == right.strip().lower()
        return Score(hits / len(examples), self._options().loss, len(examples))


def budgeted(lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Positions of examples of similar length, so many that none of them needs more than `tokens` padded."""
    order = np.argsort(lengths, kind="stable")[::-1]
    found, first = [], 0
    while first < order.size:
        rows = max(1, tokens // int(lengths[order[first]]))
        found.append(order[first : first + rows])
        first += rows
    return found
