"""What the notebooks share: sliders with a still picture as fallback, and answers that are checked."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

STILL = "ROLORA_STILL"
"""Environment variable: set, no sliders are shown, only the still pictures (as on paper and on the web)."""


def plot_style() -> None:
    """Use the toolkit's look for the pictures of this notebook."""
    import matplotlib as mpl
    from matplotlib import rcsetup

    from rolora.plotting.look import page
    from rolora.plotting.style import COLOURS

    with page("notebook"):
        settings = {
            name: value
            for name, value in mpl.rcParams.items()
            if name.split(".")[0] in {"font", "axes", "lines", "legend", "grid", "mathtext"}
        }
    mpl.rcParams.update(settings)
    mpl.rcParams["axes.prop_cycle"] = rcsetup.cycler(color=COLOURS)
    mpl.rcParams.update({"figure.figsize": (5.5, 2.8), "figure.constrained_layout.use": True})


def line_of(method: str) -> dict[str, Any]:
    """Keywords of `plt.plot`: the colour, dash and label a method has in every figure of the project."""
    from rolora.plotting.look import of_method

    return of_method(method).line()


def slide(draw: Callable[..., None], **choices: Sequence[Any]) -> None:
    """Draw a picture, and sliders to redraw it where a notebook can show them.

    Without sliders the pictures of the first, the middle and the last values stand below each other, so
    that what the slider is there to show can be seen on paper too.

    Args:
        draw: draws with pyplot; called with one value per keyword, which its picture should name.
        choices: for every keyword the values to choose from. The middle one is drawn first.
    """
    import matplotlib.pyplot as plt

    if os.environ.get(STILL):
        for share in (0.0, 0.5, 1.0):
            draw(**{name: _value(values, share) for name, values in choices.items()})
            plt.show()
        return
    from ipywidgets import SelectionSlider, interact

    def redraw(**values: Any) -> None:
        draw(**values)
        plt.show()

    interact(
        redraw,
        **{
            name: SelectionSlider(
                options=list(values),
                value=_value(values, 0.5),
                description=name,
                continuous_update=False,
            )
            for name, values in choices.items()
        },
    )


def _value(values: Sequence[Any], share: float) -> Any:
    """The value at that share of the way from the first to the last, the upper of two middle ones."""
    return values[min(int(share * len(values)), len(values) - 1)]


def compare(yours: Any, solution: Any, tolerance: float = 1e-6) -> bool:
    """Say whether an answer is right.

    Args:
        yours: a number or an array; None or `...` while there is no answer yet.
        solution: the same kind of thing.
        tolerance: relative.

    Returns:
        True if the answer is right.
    """
    if yours is None or yours is ...:
        print("No answer yet: put yours in the cell above and run both again.")
        return False
    try:
        right = bool(np.allclose(yours, solution, rtol=tolerance, atol=tolerance))
    except (TypeError, ValueError):
        right = False
    print("Right." if right else f"Not yet: the solution is {solution}.")
    return right
