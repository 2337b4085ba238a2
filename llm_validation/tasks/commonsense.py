"""The commonsense sets in the instruction form of LLM-Adapters (Hu et al., EMNLP 2023).

A record has `instruction`, `output` ("the correct answer is …") and `answer`; the options stand at the end
of the instruction, after "Answer format:".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from llm_validation.tasks.examples import Instructed, TaskData
from llm_validation.tasks.records import Record, read_split

SETS = {
    "boolq": "boolq",
    "piqa": "piqa",
    "siqa": "social_i_qa",
    "hellaswag": "hellaswag",
    "winogrande": "winogrande",
    "arc-e": "ARC-Easy",
    "arc-c": "ARC-Challenge",
    "obqa": "openbookqa",
}
"""Short name to folder name."""

PROMPT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the"
    " request.\n\n### Instruction:\n{instruction}\n\n### Response:\n"
)
ANSWER = "the correct answer is {option}"
_FORMAT = re.compile(r"Answer format:\s*(\S+)\s*$")


def load(name: str, data_dir: Path | None) -> TaskData:
    """Training and test examples of a commonsense set.

    Args:
        name: key of `SETS`.
        data_dir: folder with a subfolder of the set (`boolq`, `ARC-Challenge`, …).

    Raises:
        ValueError: without a folder (the hub has no instruction form), on a missing split or a record
            whose options cannot be read.
    """
    if data_dir is None:
        raise ValueError(
            f"task {name} is read from local files: give --data-dir with {SETS[name]}/"
        )
    folder = data_dir / SETS[name]
    train, _ = read_split(folder, ("train",))
    test, _ = read_split(folder, ("test", "validation"))
    return TaskData(
        instructed(train, f"task {name}, split train"),
        instructed(test, f"task {name}, split test"),
    )


def instructed(records: Sequence[Record], where: str) -> Instructed:
    """Records as prompts with options.

    Raises:
        ValueError: on a missing or empty column, or an answer that is none of the options.
    """
    prompts, answers, options = [], [], []
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
        labels[row] = choices.index(record["answer"])
    return Instructed(tuple(prompts), tuple(answers), tuple(options), labels)
