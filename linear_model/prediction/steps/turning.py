"""What a step of a does to its angle: the same for every method that moves a."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from linear_model.prediction.law import Law, chi2
from theory.samples import finite_sample


class Moved(NamedTuple):
    """Where a is moved, beside itself: along a, along u, and the squared length out of plane, (T,)."""

    along: np.ndarray
    aside: np.ndarray
    out: np.ndarray

    def parts(self, c: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Along a* and the length across it, of a that is not made a unit vector."""
        cosine = c * (1.0 + self.along) + s * self.aside
        inside = s * (1.0 + self.along) - c * self.aside
        return cosine, np.sqrt(np.square(inside) + self.out)


def turned(c: np.ndarray, s: np.ndarray, moved: Moved) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosine and sine of the moved a made a unit vector, and c − c⁺ without cancellation."""
    cosine, sine = moved.parts(c, s)
    size = np.hypot(cosine, sine)
    c_next, s_next = cosine / size, sine / size
    with np.errstate(divide="ignore", invalid="ignore"):
        small = finite_sample.cosine_drop(c, s, c_next, s_next)
    return c_next, s_next, np.where(c * c_next > 0.0, small, c - c_next)


def blurred(rng: np.random.Generator, law: Law, moved: Moved) -> Moved:
    """With the mean of the clients' privacy noise added to every coordinate of a."""
    if law.privacy == 0.0:
        return moved
    along, aside, out = moved
    blur = law.privacy / np.sqrt(law.active)
    first, second, third = blur * rng.standard_normal((3, along.size))
    if law.d > 2:
        out = np.square(np.sqrt(out) + third) + blur**2 * chi2(rng, law.d - 3, along.size)
    return Moved(along + first, aside + second, out)
