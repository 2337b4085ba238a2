"""Answers that a causal model generates to prompts: greedy, many prompts a pass, padded on the left."""

from collections.abc import Sequence

import numpy as np
import torch

from llm_validation.base.encoding import cut_prompt
from llm_validation.base.models import Workspace

NEW_TOKENS = 32
"""Tokens an answer may have, as in LLM-Adapters' evaluation."""
ROWS = 32
"""Prompts in a pass."""


@torch.no_grad()
def answers(
    space: Workspace, prompts: Sequence[str], room: int, most: int = NEW_TOKENS
) -> list[str]:
    """What the model in evaluation mode continues each prompt with, in the order of the prompts.

    Args:
        room: tokens of a prompt, near its end, that are kept.
        most: tokens of an answer at most; it ends at the token that ends texts, if that comes before.
    """
    ids = [
        cut_prompt(tokens, room, space.tokenizer.bos_token_id)
        for tokens in space.tokenizer(list(prompts))["input_ids"]
    ]
    order = np.argsort([len(tokens) for tokens in ids], kind="stable")
    found = [""] * len(ids)
    for places in np.split(order, np.arange(ROWS, len(ids), ROWS)):
        length = max(len(ids[i]) for i in places)
        rows = torch.full((len(places), length), space.pad_id)
        mask = torch.zeros_like(rows)
        for row, i in enumerate(places):
            rows[row, length - len(ids[i]) :] = torch.tensor(ids[i])
            mask[row, length - len(ids[i]) :] = 1
        out = space.base.generate(
            input_ids=rows.to(space.device),
            attention_mask=mask.to(space.device),
            max_new_tokens=most,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=space.pad_id,
        )
        for i, row in zip(places, out[:, length:], strict=True):
            found[int(i)] = space.tokenizer.decode(row, skip_special_tokens=True)
    return found
