"""What each field of both torch laboratories' configurations refuses, and in which sentence."""

import dataclasses

import pytest

from llm_validation.config import Config
from nonlinear_model.configuration import Configuration
from verification.settings import schema

INF, NAN = float("inf"), float("nan")
KINDS = {
    "a whole number of at least 1": (
        "clients labels_per_client base_classes rank hidden local_steps local_epochs batch_size rounds"
        " evaluate_every repeats checkpoint_every",
        (0, 2.5, True, "many"),
    ),
    "a whole number of at least 0": (
        "seed probe clients_at_once threads train_examples eval_examples warmup_rounds",
        (-1, 0.5),
    ),
    "a whole number of at least 4": ("max_length", (3,)),
    "above 0 and finite": (
        "learning_rate dirichlet_alpha scale b_scale loss_bound lora_alpha dp_clip", (0.0, -1.0, NAN, INF)
    ),
    "above 0 and at most 1": ("participation", (0.0, 1.5, NAN)),
    "at least 0 and below 1": ("momentum server_momentum", (-0.1, 1.0, NAN)),
    "at least 0 and finite": ("weight_decay clip dp_noise learning_rate_end", (-1.0, INF)),
    "above 0 and below 1": ("dp_delta", (0.0, 1.0, NAN)),
    "at least 0 and at most 0.95": ("lora_dropout", (-0.1, 1.0)),
    "a list, each above 0 and finite": ("proportions learning_rate_grid", ((0.1, 0.0), ("x",), 3)),
    "a list, each a whole number of at least 1": ("ranks", ((0,), ("x",), (1.5,), 3)),
    "a list, each text": ("text_columns target_modules", ((3,),)),
    "true or false": ("equal_sizes gradient_checkpointing rslora tf32 cuda_graphs", (1, "yes")),
    "text that is not empty": ("model task", ("", 3)),
    "text": ("dataset method data_dir label_column", (3,)),
    "one of": (
        "split optimiser optimiser_state weighting head variant b_start dtype base_dropout quantisation"
        " scoring init engine schedule device products",
        ("nonsense", 3),
    ),
}  # fmt: skip
FREE = {"device"}
"""Choices in one laboratory, a form of words in the other."""


@pytest.mark.parametrize("cls", [Config, Configuration])
def test_every_field_refuses_what_it_cannot_be(cls):
    given = {"model": "m", "task": "sst2"} if cls is Config else {}
    kinds = {name: kind for kind, (names, _) in KINDS.items() for name in names.split()}
    for field in dataclasses.fields(cls):
        kind = kinds[field.name]
        for wrong in KINDS[kind][1]:
            with pytest.raises(ValueError) as caught:
                cls(**{**given, field.name: wrong})
            said = f"{field.name} must be {kind if field.name not in FREE else ''}"
            assert str(caught.value).startswith(said)
            assert ", got " in str(caught.value)
    assert schema(cls)["properties"].keys() <= kinds.keys()
