"""The drift study's design: whom it compares where, and what a client sends meanwhile."""

from nonlinear_model.study.drift import COMPARISONS, DRIFT, MAP, OURS, RIVALS


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
