"""What each method trains in which round."""

import numpy as np
import pytest

from federated_lora import BOTH, ONLY_A, ONLY_B, method_named, method_names

LETTERS = {"A": ONLY_A, "B": ONLY_B, "+": BOTH}
PHASES = {
    "fedavg": "++++++",
    "ffa": "BBBBBB",
    "rolora": "BABABA",
    "a-heavy": "BAAABA",
    "b-heavy": "BBBABB",
    "rolora-then-ffa:20": "BABBBB",
    "ffa-then-rolora:20": "BBBABA",
    "rolora-then-ffa:70": "BABABB",
    "ffa-then-rolora:70": "BBBBBA",
    "ffa-then-rolora": "BBBABA",
    **dict.fromkeys(
        ("flexlora", "flora", "fedex", "fedsa", "fedrot", "lora-fair:0.01", "la-lora"), "++++++"
    ),
    "fedsvd": "BBBBBB",
    **dict.fromkeys(("rolora-cv", "rolora-momentum:0.5", "rolora-precond:1e-6"), "BABABA"),
    "fedavg-cv": "++++++",
}
"""What each method trains in rounds 1 to 6 of a run of 6."""


@pytest.mark.parametrize("name", sorted({*method_names(), *PHASES}))
def test_phase_is_a_function_of_the_round_alone(name):
    method = method_named(name, rounds=6)
    expected = [LETTERS[letter] for letter in PHASES[name]]
    # Asking out of order or many times (an evaluation, a client that sat out) moves nothing.
    for t in (1, 2, 3, 4, 5, 6, 6, 1, 1, 3, 2, 2, 5):
        assert method.trainable(t) == expected[t - 1]
        assert method_named(name, rounds=6).trainable(np.int64(t)) == expected[t - 1]
