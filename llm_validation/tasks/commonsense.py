"""The commonsense sets in the instruction form of LLM-Adapters (Hu et al., EMNLP 2023).

A record has `instruction`, `output` ("the correct answer is …") and `answer`; the options stand at the end
of the instruction, after "Answer format:".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from llm_validation.config import Config
from llm_validation.tasks.examples import Instructed, TaskData
from llm_validation.tasks.records import Record, read_split
from llm_validation.tasks.task import Task, folder_of

PROMPT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the"
    " request.\n\n### Instruction:\n{instruction}\n\n### Response:\n"
)
ANSWER = "the correct answer is {option}"
_FORMAT = re.compile(r"Answer format:\s*(\S+)\s*$")


@dataclass(frozen=True)
class CommonsenseSet(Task):
    """One commonsense set; the hub has no instruction form, so it is read from local files."""

    folder: str
    causal: ClassVar[bool] = True

    def load(self, config: Config) -> TaskData:
        """As `Task.load`: no folder is given, a split is missing, or a record's options cannot be read."""
        place = folder_of(config)
        if place is None:
            raise ValueError(
                f"task {self.name} is read from local files: give --data-dir with {self.folder}/"
            )
        train, _ = read_split(place / self.folder, ("train",))
        test, _ = read_split(place / self.folder, ("test", "validation"))
        return TaskData(
            instructed(train, f"task {self.name}, split train"),
            instructed(test, f"task {self.name}, split test"),
        )


BOOLQ = CommonsenseSet("boolq", "boolq", order=110)
PIQA = CommonsenseSet("piqa", "piqa", order=120)
SIQA = CommonsenseSet("siqa", "social_i_qa", order=130)
HELLASWAG = CommonsenseSet("hellaswag", "hellaswag", order=140)
WINOGRANDE = CommonsenseSet("winogrande", "winogrande", order=150)
ARC_E = CommonsenseSet("arc-e", "ARC-Easy", order=160)
ARC_C = CommonsenseSet("arc-c", "ARC-Challenge", order=170)
OBQA = CommonsenseSet("obqa", "openbookqa", order=180)


def instructed(records: Sequence[Record], where: str) -> Instructed:
    """Records as prompts with options.

    Raises ValueError on a missing or empty column, or an answer that is none of the options.
    """
    prompts, answers, options, words = [], [], [], []
    labels = np.empty(len(records), dtype=np.int64)
    for row, record in enumerate(records):
        for column in ("instruction", "answer"):
            if not str(record.get(column) or "").strip():
                raise ValueError(f"{where}: row {row} has an empty text in column {column!r}")
        form = _FORMAT.search(record["instruction"])
        choices = form.group(1).split("/") if form else []
        if record["answer"] not in choices:
            raise ValueError(
                f"{where}: row {row} answers {record['answer']!r}, its options are {choices}"
            )
        prompts.append(PROMPT.format(instruction=record["instruction"]))
        answers.append(ANSWER.format(option=record["answer"]))
        options.append(tuple(ANSWER.format(option=choice) for choice in choices))
        words.append(tuple(choices))
        labels[row] = choices.index(record["answer"])
    return Instructed(tuple(prompts), tuple(answers), tuple(options), labels, words=tuple(words))
