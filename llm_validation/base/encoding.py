"""From texts to token ids, and from token ids to padded batches of one or many clients."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from llm_validation.base.token_cache import Ragged, kept
from llm_validation.tasks.examples import Classified, Examples, Instructed

IGNORED = -100
"""Label of a token that no loss is taken on."""
BUCKET = 8
"""A GPU sees lengths in multiples of it: kernels that are built for a length are built a few times only."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """Token ids of a split.

    Attributes:
        ids: per example, its token ids; of a large split they lie on the disk.
        types: per example, its segment ids, or None if the model has none.
        labels: class ids, int64, shape (n,); for causal text the position of the right option.
        prompt: per example, how many leading tokens carry no loss; None for classification.
    """

    ids: Sequence[np.ndarray]
    types: Sequence[np.ndarray] | None
    labels: np.ndarray
    prompt: np.ndarray | None = None

    @cached_property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each example, shape (n,)."""
        if isinstance(self.ids, Ragged):
            return np.diff(self.ids.ends, prepend=0)
        return np.array([ids.size for ids in self.ids], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Batch:
    """Padded examples of one or more clients, client after client, each padded to `rows` rows.

    Attributes:
        inputs: keyword arguments of the model, tensors of shape (clients · rows, length).
        labels: (clients · rows,) for classification, (clients · rows, length) for causal text.
        sizes: real examples of each client.
        lengths: longest example of each client, in tokens.
        left: True if the padding is on the left.
        tokens: real tokens.
        tail: of causal text, how many trailing positions logits are needed for.
    """

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor
    sizes: tuple[int, ...]
    lengths: tuple[int, ...]
    left: bool
    tokens: int
    tail: int = 0

    @property
    def clients(self) -> int:
        """Number of clients in the batch."""
        return len(self.sizes)


def encode(examples: Examples, tokenizer: Any, max_length: int, *, segments: bool) -> Encoded:
    """Tokenise a split; the texts are cut to `max_length` tokens.

    A prompt is cut at its front, so that the question and the answer survive.
    """
    if isinstance(examples, Classified):
        return _encode_classified(examples, tokenizer, max_length, segments=segments)
    return _encode_pairs(examples.prompts, examples.answers, examples.labels, tokenizer, max_length)


def encode_options(
    examples: Instructed, tokenizer: Any, max_length: int
) -> tuple[Encoded, np.ndarray]:
    """Every option of every example as a continuation of its prompt; the example each belongs to, int64."""
    owner = np.repeat(np.arange(len(examples)), [len(options) for options in examples.options])
    prompts = [examples.prompts[i] for i in owner]
    answers = [option for options in examples.options for option in options]
    return _encode_pairs(prompts, answers, examples.labels[owner], tokenizer, max_length), owner


def _encode_classified(
    examples: Classified, tokenizer: Any, max_length: int, *, segments: bool
) -> Encoded:
    columns = [list(column) for column in zip(*examples.texts, strict=True)]

    def make() -> dict[str, Any]:
        out = tokenizer(
            *columns, truncation=True, max_length=max_length, return_token_type_ids=segments
        )
        types = {"types": out["token_type_ids"]} if segments else {}
        return {"ids": out["input_ids"], **types}

    found = kept(tokenizer, columns, {"max_length": max_length, "segments": segments}, make)
    return Encoded(found["ids"], found.get("types"), examples.labels)


def _encode_pairs(
    prompts: Sequence[str],
    answers: Sequence[str],
    labels: np.ndarray,
    tokenizer: Any,
    max_length: int,
) -> Encoded:
    def make() -> dict[str, Any]:
        heads = tokenizer(list(prompts))["input_ids"]
        tails = tokenizer(list(answers), add_special_tokens=False)["input_ids"]
        end = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
        ids, cuts = [], []
        for head, tail in zip(heads, tails, strict=True):
            tail = [*tail, *end][: max_length - 1]
            head = cut_prompt(head, max_length - len(tail), tokenizer.bos_token_id)
            ids.append([*head, *tail])
            cuts.append([len(head)])
        return {"ids": ids, "prompt": cuts}

    found = kept(tokenizer, [prompts, answers], {"max_length": max_length, "pairs": True}, make)
    cuts = np.concatenate([*found["prompt"]]).astype(np.int64)
    return Encoded(found["ids"], None, labels, cuts)


def cut_prompt(ids: Sequence[int], room: int, bos_id: int | None) -> list[int]:
    """A prompt's last `room` tokens, near the answer; a token that opens every text stays in front."""
    ids = list(ids)
    excess = len(ids) - max(room, 0)
    if excess <= 0:
        return ids
    if room > 1 and ids[0] == bos_id:
        return [ids[0], *ids[excess + 1 :]]
    return ids[excess:]


def collate(
    data: Encoded, indices: Sequence[np.ndarray], pad_id: int, device: torch.device | str = "cpu"
) -> Batch:
    """Pad the named examples of one or more clients, at least one of each, into one batch.

    Classification is padded on the right; causal text on the left, so that the answers end together. A
    client with fewer examples than the others gets padding rows, which carry no loss. On a GPU the length is
    a multiple of `BUCKET`.
    """
    left, device = data.prompt is not None, torch.device(device)
    rows = max(index.size for index in indices)
    sizes = np.array([index.size for index in indices])
    own = np.concatenate(indices)
    row = np.concatenate([k * rows + np.arange(size) for k, size in enumerate(sizes)])
    count = data.lengths[own]
    lengths = np.maximum.reduceat(count, np.cumsum(sizes) - sizes)
    bucket = BUCKET if device.type == "cuda" else 1
    length = -(-int(lengths.max()) // bucket) * bucket
    shape = (len(indices) * rows, length)
    skipped = length - count[:, None] if left else np.zeros((own.size, 1), dtype=np.int64)
    place = np.arange(length) - skipped
    real = (place >= 0) & (place < count[:, None])
    at = np.repeat(row, count), (place + skipped)[real]
    ids, mask = np.full(shape, pad_id, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    # One visible token in a padding row: attention over nothing would be undefined.
    mask[np.setdiff1d(np.arange(shape[0]), row), -1 if left else 0] = 1
    ids[at], mask[at] = np.concatenate([data.ids[i] for i in own]), 1
    inputs = {"input_ids": ids, "attention_mask": mask}
    if data.types is not None:
        inputs["token_type_ids"] = np.zeros(shape, dtype=np.int64)
        inputs["token_type_ids"][at] = np.concatenate([data.types[i] for i in own])
    tail = 0
    if data.prompt is None:
        labels = np.full(shape[0], IGNORED, dtype=np.int64)
        labels[row] = data.labels[own]
    else:
        inputs["position_ids"] = np.maximum(mask.cumsum(axis=1) - 1, 0)
        answer = real & (place >= data.prompt[own][:, None])
        labels = np.full(shape, IGNORED, dtype=np.int64)
        labels[row] = np.where(answer, ids[row], IGNORED)
        tail = int((count - data.prompt[own]).max()) + 1
    return Batch(
        {name: _moved(value, device) for name, value in inputs.items()},
        _moved(labels, device),
        tuple(int(x) for x in sizes),
        tuple(int(x) for x in lengths),
        left,
        int(count.sum()),
        tail,
    )


def _moved(value: np.ndarray, device: torch.device) -> torch.Tensor:
    """The array on the device, without waiting for what the device still has to do."""
    held = torch.from_numpy(value)
    return held.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else held
