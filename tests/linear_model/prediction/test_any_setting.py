"""Whatever is asked, a prediction has only finite numbers of at least 0, and a word for every method."""

import json
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import federated_lora
import rolora

SETTINGS = st.fixed_dictionaries(
    {
        "d": st.sampled_from([2, 3, 10, 50, 1_000, 10**8]),
        "clients": st.sampled_from([2, 3, 12]),
        "samples": st.sampled_from([1, 2, 3, 10, 60, 10**6]),
        "kappa": st.sampled_from([1e-9, 0.05, 0.5, 1.0, 1.9, 2.0, 3.0, 1e6]),
        "local_steps": st.sampled_from([1, 2, 5, 100]),
        "heterogeneity": st.sampled_from([0.0, 1e-9, 0.4, 5.0, 1e6]),
        "noise": st.sampled_from([0.0, 1e-9, 0.2, 1e6]),
        "participation": st.sampled_from([1.0, 1e-6, 0.4]),
        "privacy_noise": st.sampled_from([0.0, 1e-9, 0.1, 1e6]),
        "outputs": st.sampled_from([1, 3]),
        "eps": st.sampled_from([1e-30, 1e-6, 0.05, 0.999]),
        "start": st.sampled_from(["random", 0.3, 1e-12, 0.999999]),
        "trials": st.sampled_from([1, 7]),
        "seed": st.integers(0, 100),
    }
)


def complaints(found):
    """What is wrong with a prediction."""
    plain = found.as_dict()
    json.dumps(plain, allow_nan=False)
    for row in plain["rows"]:
        for name in ("angle_floor", "error_floor", "left", "rate", "sent", "up", "down"):
            value = row[name]
            if value is not None and not (isfinite(value) and value >= 0.0):
                yield f"{row['method']}: {name} {value}"
        if row["model_rounds"] is None and not row["notes"]:
            yield f"{row['method']}: silent"
        rounds = row["model_rounds"]
        if rounds and rounds["median"] is None and not (rounds["never"] or row["notes"]):
            yield f"{row['method']}: no median and no word"
    for bound in plain["bounds"]:
        if not bound["says"] or (bound["rounds"] is not None and not bound["rounds"] >= 0.0):
            yield f"{bound['name']}: {bound['rounds']}"
    for name in federated_lora.method_names():
        found.row(name)


@pytest.mark.filterwarnings("error")
@settings(max_examples=25, deadline=None)
@given(SETTINGS)
def test_no_setting_is_answered_by_silence_or_by_no_number(asked):
    assert list(complaints(rolora.predict(**asked))) == []


def test_a_bad_answer_would_be_seen():
    found = rolora.predict(samples=60)
    object.__setattr__(found.rows[0], "error_floor", -1.0)
    object.__setattr__(found.rows[-1], "notes", ())
    told = list(complaints(found))
    assert told == ["algorithm2: error_floor -1.0", "ffa-then-rolora: silent"]
    object.__setattr__(found.rows[0], "rate", float("nan"))
    with pytest.raises(ValueError, match="JSON compliant"):
        list(complaints(found))


@pytest.mark.parametrize("start", [0.3, "0.3"])
def test_a_start_is_a_number_or_its_text(start):
    found = rolora.predict(start=start, eps=0.01)
    assert found.setting.start == "0.3"
    assert (
        found.row("rolora").rounds.median
        == rolora.predict(start="0.3", eps=0.01).rows[0].rounds.median
    )


def test_a_share_of_clients_that_is_no_whole_number_is_said():
    told = rolora.predict(clients=5, participation=0.01).notes
    assert any("is 0.05: a round has 1" in note for note in told)
    assert not any("a round has" in note for note in rolora.predict(participation=0.4).notes)


def test_what_never_happens_is_called_never():
    never = rolora.predict(d=50).row("ffa")
    assert never.model_rounds.never
    assert never.rounds.never
    assert not rolora.predict(d=50, start=0.01, eps=0.05).row("ffa").model_rounds.never
    late = rolora.predict(noise=1.0, samples=20).row("rolora")
    assert late.model_rounds.median is None
    assert not late.model_rounds.never
