"""How fast this device is on a few rounds of a cell, and how long a task's examples really are."""

import time

import numpy as np

from llm_validation.base.encoding import encode
from llm_validation.base.models import load_tokenizer
from llm_validation.config import Config
from llm_validation.paper.cost import Size, Speed
from llm_validation.tasks import registry
from llm_validation.training.evaluation import Evaluator
from llm_validation.training.loop import run

SCORED = 256
"""Examples whose evaluation is timed."""


def size_of(config: Config) -> Size:
    """Mean tokens of the task's training examples, and how many there are to evaluate.

    Raises:
        ValueError: if its data are not at hand.
    """
    data = registry.load(config)
    encoded = encode(data.train, load_tokenizer(config), config.max_length, segments=False)
    return Size(float(encoded.lengths.mean()), len(data.evaluation))


def speed_of(config: Config) -> Speed:
    """Train a few rounds, of which the first warms up, and evaluate a share of the split."""
    data = registry.load(config)
    count = min(SCORED, len(data.evaluation))
    some = data.evaluation.take(np.linspace(0, len(data.evaluation) - 1, count).astype(np.int64))
    result = run(config, data=type(data)(data.train, some), evaluate_start=False)
    evaluator = Evaluator(config, result.space, some)
    started = time.perf_counter()
    evaluator.score(result.server)
    seconds = time.perf_counter() - started
    tokens = max(row["tokens_per_second"] for row in result.rows[2:])
    return Speed(tokens, count / seconds)
