"""What a task hands over: texts with class labels, or prompts with answers to choose from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Classified:
    """Texts (or pairs of texts) with a class each.

    Attributes:
        texts: one tuple of one or two strings per example.
        labels: class ids, int64, shape (n,), between 0 and len(names) − 1.
        names: names of the classes by id.
        note: what a reader of the result must know about the data, "" if nothing.
    """

    texts: tuple[tuple[str, ...], ...]
    labels: np.ndarray
    names: tuple[str, ...]
    note: str = ""

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, index: np.ndarray) -> Classified:
        """The examples at the given positions."""
        return Classified(
            tuple(self.texts[i] for i in index), self.labels[index], self.names, self.note
        )


@dataclass(frozen=True, eq=False)
class Instructed:
    """Prompts with the text to produce, and the options among which a model is scored.

    Attributes:
        prompts: text the model is given.
        answers: text it should continue with, as trained on.
        options: per example, the answers it chooses from; one of them is the right one.
        labels: position of the right option, int64, shape (n,).
        note: what a reader of the result must know about the data, "" if nothing.
        words: per example, what an option is known by in a generated text, in the order of the options; they
            themselves if not given.
    """

    prompts: tuple[str, ...]
    answers: tuple[str, ...]
    options: tuple[tuple[str, ...], ...]
    labels: np.ndarray
    note: str = ""
    words: tuple[tuple[str, ...], ...] = ()

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """What the options are known by."""
        return self.words or self.options

    def __len__(self) -> int:
        return len(self.prompts)

    def take(self, index: np.ndarray) -> Instructed:
        """The examples at the given positions."""
        return Instructed(
            tuple(self.prompts[i] for i in index),
            tuple(self.answers[i] for i in index),
            tuple(self.options[i] for i in index),
            self.labels[index],
            self.note,
            tuple(self.words[i] for i in index) if self.words else (),
        )


Examples = Classified | Instructed


@dataclass(frozen=True, eq=False)
class TaskData:
    """Training and evaluation examples of one task."""

    train: Examples
    evaluation: Examples

    @property
    def causal(self) -> bool:
        """True if the task needs a causal LM."""
        return isinstance(self.train, Instructed)

    @property
    def digest(self) -> str:
        """Hash of every text and label, to know the same data again."""
        found = hashlib.sha256()
        for side in (self.train, self.evaluation):
            rows = (
                side.texts
                if isinstance(side, Classified)
                else zip(side.prompts, map("\x1f".join, side.options), strict=True)
            )
            for row in rows:
                found.update("\x1f".join((*row, "")).encode("utf-8", "surrogatepass"))
            found.update(side.labels.tobytes())
        return found.hexdigest()[:16]
