"""A method that returns what it may not, or is sent what it cannot use: one sentence in every laboratory."""

import re

import pytest

from llm_validation.training.loop import run as train
from tests.llm_validation.conftest import data_dir, gpt2, llama, roberta, tiny  # noqa: F401
from tests.support.pages import folder as folder
from tests.support.rolora_helpers import refused

HEAD = """
from federated_lora import BOTH, Adapter, Averaging, ClientFactors, Update, method

@method("bad", label="Bad", source="nobody")
class Bad(Averaging):
    def trainable(self, round):
        return BOTH

    def combine(self, server, replies, round):
        made = super().combine(server, replies, round).adapter
"""
BAD = {
    "narrow": ("Update(Adapter(made.A[..., :1], made.B[..., :1, :], made.scale))", "factor A must be float"),
    "no update": ("made", "must return an Update of an Adapter, got Adapter"),
    "not finite": (
        "Update(Adapter(made.A * float('inf'), made.B, made.scale))",
        "factor A has a NaN or infinite value",
    ),
    "another scale": ("Update(Adapter(made.A, made.B, 3 * made.scale))", "must keep the scale"),
    "undeclared": ("Update(made, merged=made)", "changed W0, but does not say merges = True"),
    "personal": (
        "Update(made, personal=ClientFactors(A=replies.A))",
        "must return exactly its personal factors, none",
    ),
}  # fmt: skip
WORDS = {
    "linear": ("--d", 6, "--rank", 2, "--rounds", 2, "--trials", 2, "--samples", 9),
    "nonlinear": ("--rounds", 2, "--hidden", 20, "--rank", 3, "--local-steps", 2, "--quiet"),
}


@pytest.mark.parametrize("laboratory", [*WORDS, "llm"])
@pytest.mark.parametrize("what", BAD)
def test_what_a_method_may_not_return_is_named(what, laboratory, folder, capsys, tiny):  # noqa: F811
    returned, said = BAD[what]
    (folder / "mine.py").write_text(f"{HEAD}        return {returned}\n", "utf-8")
    if laboratory == "llm":
        with pytest.raises(ValueError, match="method bad in round 1") as caught:
            train(tiny(method="mine:Bad", rounds=1))
        told = str(caught.value)
    else:
        told = refused(capsys, laboratory, "run", "--method", "mine:Bad", *WORDS[laboratory])
    assert re.search(rf"method bad in round 1:? .*{re.escape(said)}", told)
    assert "\n" not in told
