"""The drift study's design: whom it compares where, and what a client sends meanwhile."""

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from nonlinear_model.study import analysis, table
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


def leads(rival, kind, share):
    """Mean lead of ours at every place of that share, by (clients, local)."""
    points = [p for p in MAP if p[4] == share]
    return {p[1:3]: analysis.ahead(p, OURS, rival, kind, DRIFT).mean() for p in points}


def test_what_is_said_instead_is_what_the_study_found():
    """`exact` of the claim, and docs/drift-study.md."""
    for share in (1.0, 0.5):
        for rival in ("rolora", "fedavg", "ffa"):
            assert min(leads(rival, "rounds", share).values()) > 0.02
        for rival in ("fedavg", "fedavg-cv"):
            assert min(leads(rival, "numbers sent", share).values()) > 0.01
    fair = leads("fedavg-cv", "rounds", 1.0)
    assert {at for at, lead in fair.items() if lead > 0} == {at for at in fair if at[0] > 5}
    assert max(leads("fedavg-cv", "rounds", 0.5).values()) < 0
    travel = {**leads("ffa", "numbers sent", 0.5)}
    travel |= {
        (*at, "all"): lead
        for at, lead in leads("ffa", "numbers sent", 1.0).items()
        if "epoch" in at[1]
    }
    assert sum(lead < 0 for lead in travel.values()) == 11
    assert len(travel) == 12


def test_the_page_quotes_the_table():
    page = (Path(__file__).parents[3] / "docs/drift-study.md").read_text(encoding="utf-8")
    quoted = dict(re.findall(r"^\| (\d+, [^|]+?) \| (.+) \|$", page, re.MULTILINE))
    columns = (OURS, "rolora", "fedavg-cv", "fedavg", "ffa")
    points = {f"{p[1]}, {p[2]}": p for p in MAP}
    assert quoted.keys() == points.keys()
    for at, cells in quoted.items():
        for method, cell in zip(columns, cells.split(" | "), strict=True):
            both = [(*points[at][:4], share) for share in (1.0, 0.5)]
            means = [analysis.scores(p, method, design=DRIFT).mean() for p in both]
            assert cell == f"{means[0]:.3f} / {means[1]:.3f}"
