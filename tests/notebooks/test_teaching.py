"""What the notebooks share: answers are judged, sliders fall back on pictures, methods keep their looks."""

from typing import Any

import numpy as np
import pytest

from notebooks import teaching
from rolora.plotting import look


@pytest.fixture(autouse=True)
def no_windows(monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: None)


def test_without_sliders_the_first_the_middle_and_the_last_pictures_are_drawn(monkeypatch):
    monkeypatch.setenv(teaching.STILL, "1")
    drawn: list[tuple[int, str]] = []
    teaching.slide(lambda n, s: drawn.append((n, s)), n=[1, 2, 3, 4, 5], s=["a", "b"])
    assert drawn == [(1, "a"), (3, "b"), (5, "b")]


def test_sliders_offer_every_value_and_begin_in_the_middle(monkeypatch):
    import ipywidgets

    monkeypatch.delenv(teaching.STILL, raising=False)
    given: dict[str, Any] = {}
    drawn: list[int] = []

    def interact(redraw: Any, **sliders: Any) -> None:
        given.update(sliders)
        redraw(**{name: slider.value for name, slider in sliders.items()})

    monkeypatch.setattr(ipywidgets, "interact", interact)
    teaching.slide(lambda n: drawn.append(n), n=[1, 2, 3])
    assert list(given["n"].options) == [1, 2, 3]
    assert drawn == [2]


@pytest.mark.parametrize(
    ("yours", "right", "said"),
    [
        (2.0, True, "Right."),
        (np.array(2.0), True, "Right."),
        (2.1, False, "the solution is 2.0"),
        ("two", False, "the solution is 2.0"),
        (..., False, "No answer yet"),
        (None, False, "No answer yet"),
    ],
)
def test_an_answer_is_judged_and_told(yours, right, said, capsys):
    assert teaching.compare(yours, 2.0) is right
    assert said in capsys.readouterr().out


def test_a_method_looks_the_same_in_notebooks_and_figures():
    for name in ("rolora", "fedavg", "ffa"):
        assert teaching.line_of(name)["color"] == look.of_method(name).colour
