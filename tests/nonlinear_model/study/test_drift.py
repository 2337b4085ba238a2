"""The drift study's design: whom it compares where, and what a client sends meanwhile."""

from collections import defaultdict

import numpy as np
import pytest

from nonlinear_model.study import table
from nonlinear_model.study.drift import COMPARISONS, DRIFT, MAP, OURS, RIVALS
from nonlinear_model.study.integrity import RANK


def test_it_has_what_was_asked_for():
    assert len(MAP) == len({p[1:3] + p[4:] for p in MAP}) == 18
    assert COMPARISONS == 144
    assert not set(DRIFT.seeds) & set(DRIFT.tuning_seeds)
    for at in DRIFT.points:
        assert {*DRIFT.lengths(at, OURS)} <= {*DRIFT.tracked(at, OURS)}
        for rival in RIVALS:
            ours, its = DRIFT.equal_numbers(OURS, rival, at)
            assert max(ours, its) == at[3]
            assert ours in DRIFT.lengths(at, OURS) or at[0] == "digits"
            assert its in DRIFT.lengths(at, rival) or at[0] == "digits"


def test_a_run_sends_what_the_design_says():
    """Both ways, in the mean over rounds and draws of the participants: within 8 %, a round of 10 counts."""
    sent = defaultdict(list)
    for row in table.stored(DRIFT):
        if row["dataset"] == "mnist" and row["length"] == row["rounds"] and not row["diverged"]:
            at = table.point_of(row, DRIFT)
            parts = RANK * row["rounds"] * DRIFT.people(at)
            sent[at, row["method"]].append((row["numbers_up"] + row["numbers_down"]) / parts)
    assert len(sent) == len(MAP) * len(DRIFT.methods)
    for (at, method), numbers in sent.items():
        assert DRIFT.numbers(at, method) == pytest.approx(np.mean(numbers), rel=0.08)
