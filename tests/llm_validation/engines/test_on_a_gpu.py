"""Where a GPU is at hand: its engines agree, recorded or not."""

import pytest
import torch

from llm_validation.training.loop import run
from tests.llm_validation.test_engines import EQUAL, gap

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="expected: needs a CUDA device"
)


@pytest.mark.parametrize("method", ["rolora", "fedavg"])
@pytest.mark.parametrize("kind", ["roberta", "llama"])
def test_engines_agree_and_a_recorded_run_is_the_same_run(tiny, kind, method):
    policies = {"method": method, "device": "cuda", "dtype": "float64", "lora_dropout": 0.2}
    plain, recorded, literal = (
        run(tiny(kind, local_steps=6, rounds=4, **policies, **changes))
        for changes in ({}, {"cuda_graphs": True}, {"engine": "one-by-one"})
    )
    assert gap(plain, literal) <= EQUAL
    assert gap(recorded, plain) <= EQUAL
