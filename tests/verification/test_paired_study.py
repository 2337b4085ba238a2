"""Verdicts from paired differences, and studies that go on where they stopped."""

import csv
import json
import os
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy import stats

from tests.verification.sweep import sweep_cells
from verification.budget import Budget
from verification.evidence import Evidence
from verification.finding import Rule
from verification.paired_study import Design, Run, lead, paired, run
from verification.sweep.lock import locked
from verification.verdict import Verdict

DESIGN = Design(
    axes=("task", "clients"),
    points=(("a", 2), ("b", 3)),
    methods=("one", "two"),
    rates=(0.1, 1.0),
    tuning_seeds=(0,),
    seeds=(5, 6),
    score="score",
    rule=Rule(0.05),
    fixed={"rounds": 4},
)
RULE = Rule(0.01)
SPREAD = np.linspace(-1.0, 1.0, 8)


def test_the_paired_interval_is_students():
    values = np.array([0.1, 0.2, 0.15, 0.05])
    comparison = paired("a over b", values, 0.02)
    reach = stats.t.isf(0.01, 3) * values.std(ddof=1) / 2
    assert comparison.interval == pytest.approx((0.125 - reach, 0.125 + reach))
    assert comparison.holds == (reach < 0.125)


CERTAIN, OPEN, ABSENT = 0.01 + 0.001 * SPREAD, 0.05 + 0.2 * SPREAD, -0.1 + 0.001 * SPREAD


TOGETHER = {
    "certain": ([CERTAIN], Verdict.SUPPORTED),
    "open": ([OPEN], Verdict.UNDECIDED),
    "certain and open": ([CERTAIN, OPEN], Verdict.UNDECIDED),
    "certain and absent": ([CERTAIN, ABSENT], Verdict.REFUTED),
    "open and absent": ([OPEN, ABSENT], Verdict.REFUTED),
    "none": ([np.zeros(8)], Verdict.UNDECIDED),
    "small": ([0.01 * SPREAD], Verdict.UNDECIDED),
}


@pytest.mark.parametrize(("leads", "verdict"), TOGETHER.values(), ids=TOGETHER)
def test_what_paired_intervals_say_together(leads, verdict):
    comparisons = [paired(f"lead {i}", lead, 0.005) for i, lead in enumerate(leads)]
    assert RULE.judge(comparisons)[0] is (None if verdict is Verdict.SUPPORTED else verdict)
    evidence = Evidence("made-up", Budget())
    evidence.judge(RULE)
    evidence.share(2)
    for comparison, differences in zip(comparisons, leads, strict=True):
        asked = lead(evidence, comparison.quantity, differences)
        assert asked.interval == comparison.interval
    finding = evidence.conclude(Verdict.SUPPORTED)
    assert finding.comparisons == tuple(comparisons)
    assert (finding.verdict, finding.alpha) == (verdict, 0.01)
    assert bool(finding.counterexample) == (verdict is Verdict.REFUTED)
    assert bool(finding.missing) == (verdict is Verdict.UNDECIDED)
    evidence.record(added_assumption="many seeds", missing="patience")
    finding = evidence.conclude(Verdict.SUPPORTED)
    under = Verdict.HOLDS_UNDER if verdict is Verdict.SUPPORTED else verdict
    assert (finding.verdict, finding.missing.endswith("; patience")) == (
        under,
        finding.verdict.open,
    )


def test_a_demanded_lead_is_judged_by_the_demand():
    points_ahead = 5.0 + 0.1 * SPREAD
    points = Rule(0.05, number="+.2f", unit=" points")
    verdicts = {4.0: Verdict.SUPPORTED, 5.0: Verdict.UNDECIDED, 6.0: Verdict.REFUTED}
    for by, verdict in verdicts.items():
        found, words = points.judge([paired("a over b", points_ahead, 0.05, by=by)])
        assert found is (None if verdict is Verdict.SUPPORTED else verdict)
    assert words == "a over b: measured +5.00 points in [+4.94, +5.06], theory ≥ 6"


class Laboratory:
    """Made-up runs that are counted, and fail when told to."""

    def __init__(self, fail_at=None):
        self.made, self.fail_at = [], fail_at

    def measure(self, point, method, rate, seeds):
        for seed in seeds:
            if len(self.made) == self.fail_at:
                raise KeyboardInterrupt
            self.made.append((*point, method, rate, seed))
            yield Run((0, 4), (0.0, rate * seed + len(method)), facts={"loss": 1.0})


def search(runner, method, design):
    return [found for s in (design.tuning_seeds, design.seeds) for found in runner(method, 0.1, s)]


def rows(found):
    return [
        {"task": point[0], "method": method, "score": sum(run.scores[-1] for run in runs)}
        for point, methods in found.items()
        for method, runs in methods.items()
    ]


def study(laboratory, table, design=DESIGN):
    return run(design, laboratory.measure, search, table=table, rows=rows)


def test_an_interrupted_study_goes_on_where_it_stopped(tmp_path):
    whole = study(Laboratory(), tmp_path / "whole.csv")
    assert whole == run(DESIGN, Laboratory().measure, search)
    stopped, rest, nothing = Laboratory(fail_at=8), Laboratory(), Laboratory(fail_at=0)
    table = tmp_path / "stopped.csv"
    with pytest.raises(KeyboardInterrupt):
        study(stopped, table)
    assert not table.exists()
    assert study(rest, table) == whole
    assert len(stopped.made + rest.made) == len(set(stopped.made + rest.made)) == 12
    assert study(nothing, table) == whole
    assert table.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_points_can_be_added_and_earlier_ones_stay_in_the_table(tmp_path):
    table = tmp_path / "study.csv"
    study(Laboratory(), table, replace(DESIGN, points=(("b", 3),)))
    more = Laboratory()
    assert list(study(more, table)) == [("b", 3), ("a", 2)]
    assert {made[0] for made in more.made} == {"a"}
    held = json.loads((tmp_path / "study" / "design.json").read_text())
    assert held["points"] == [["b", 3], ["a", 2]]
    with table.open() as file:
        assert [row["task"] for row in csv.DictReader(file)] == ["b", "b", "a", "a"]


def test_an_unfinished_point_is_not_in_the_table_of_others(tmp_path):
    table = tmp_path / "study.csv"
    with pytest.raises(KeyboardInterrupt):
        study(Laboratory(fail_at=4), table)
    assert list(study(Laboratory(), table, replace(DESIGN, points=(("b", 3),)))) == [("b", 3)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": (5,)}, r"another study: seeds \[5, 6\] in place of \[5\]"),
        ({"rates": (0.1,)}, "another study: rates"),
        ({"tuning_seeds": (1,)}, "another study: tuning_seeds"),
        ({"methods": ("one",)}, "another study: methods"),
        ({"rule": Rule(0.01)}, "another study: rule"),
        ({"fixed": {"rounds": 5}}, "another study: rounds 4 in place of 5"),
    ],
)
def test_another_design_is_refused_before_any_run(tmp_path, changes, said):
    study(Laboratory(), tmp_path / "study.csv")
    with pytest.raises(ValueError, match=said):
        study(Laboratory(fail_at=0), tmp_path / "study.csv", replace(DESIGN, **changes))


@pytest.mark.parametrize("held", ["study.csv", "cells", "study"])
def test_results_without_a_design_are_refused(tmp_path, held):
    if held.endswith("csv"):
        (tmp_path / held).write_text("task\n")
    else:
        (tmp_path / held).mkdir()
        (tmp_path / held / "a-2-one-0-0.1.json").write_text("{}")
    with pytest.raises(ValueError, match="older layout"):
        study(Laboratory(fail_at=0), tmp_path / "study.csv")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": (0, 6)}, r"must not be among the tuning_seeds, got \[0\]"),
        ({"methods": ()}, "methods must be at least one"),
        ({"rates": (0.1, float("inf"))}, "rates must be finite"),
    ],
)
def test_a_bad_design_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(DESIGN, **changes)


def test_a_finished_run_is_a_file_told_line_by_line(tmp_path):
    said = []
    run(DESIGN, Laboratory().measure, search, table=tmp_path / "s.csv", progress=said.append)
    assert said[0] == "a-2-one-0-0.1: 3.0"
    held = json.loads((tmp_path / "s" / "a-2-one-0-0.1.json").read_text())
    assert held["scores"] == [0.0, 3.0]
    assert len(said) == len(list((tmp_path / "s").glob("*.json"))) - 1 == 12


@pytest.mark.parametrize("deadly", ["", "a two 6\n"])
def test_workers_make_the_same_study_and_one_that_dies_costs_a_run(deadly, tmp_path):
    log = tmp_path / "log"
    measure = partial(sweep_cells.judged, str(log), deadly)
    made = run(DESIGN, measure, search, table=tmp_path / "two.csv", rows=rows, jobs=2)
    assert made == study(Laboratory(), tmp_path / "one.csv")
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    held = {p.name: p.read_bytes() for p in (tmp_path / "one").glob("*.json")}
    assert {p.name: p.read_bytes() for p in (tmp_path / "two").glob("*.json")} == held
    lines = log.read_text("utf-8").splitlines(keepends=True)
    assert sorted(lines) == sorted([*set(lines), *filter(None, [deadly])])


def test_a_cell_that_fails_is_named_after_the_others_are_done(tmp_path):
    def failing(point, method, rate, seeds):
        if (point, method) == (("a", 2), "two"):
            raise ValueError("no such luck")
        return list(Laboratory().measure(point, method, rate, seeds))

    with pytest.raises(ValueError, match="a-2-two: no such luck"):
        run(DESIGN, failing, search, table=tmp_path / "s.csv", rows=rows, jobs=2)
    assert len(list((tmp_path / "s").glob("b-*.json"))) == 6
    assert not (tmp_path / "s.csv").exists()


def test_a_study_has_one_writer_at_a_time(tmp_path):
    with (
        locked(tmp_path / "s"),
        pytest.raises(ValueError, match=f"in use by process {os.getpid()} on"),
    ):
        study(Laboratory(fail_at=0), tmp_path / "s.csv")
    study(Laboratory(), tmp_path / "s.csv")
