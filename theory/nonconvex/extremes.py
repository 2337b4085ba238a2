"""Problems that come close to the non-convex bound, or that need one of its terms.

`f_i(A, B) = h_i(A) + h_i(B)` for real A and B, h_i a parabola about its own centre whose curvature may differ
on the two sides: each block is a copy of the other. Gradient noise is a fair sign times σ. The clients of a
kind differ by their signs alone, so a round of any number of them needs one multinomial count a kind.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float
from scipy import optimize

BLOCKS = 2


@dataclass(frozen=True, eq=False)
class TwoSided:
    """Kinds of clients, equally many of each.

    Attributes:
        right, left: curvatures above and below the centre, one of each kind.
        centre: where each kind's gradient is zero.
        clients: N, a multiple of the number of kinds.
    """

    right: Float[np.ndarray, " kinds"]
    left: Float[np.ndarray, " kinds"]
    centre: Float[np.ndarray, " kinds"]
    clients: int

    @property
    def smoothness(self) -> float:
        """L."""
        return float(max(self.right.max(), self.left.max()))

    def slopes(self, x: Float[np.ndarray, "*at kinds"]) -> Float[np.ndarray, "*at kinds"]:
        """Every kind's derivative at its own point."""
        away = x - self.centre
        return np.where(away > 0.0, self.right, self.left) * away

    def gap(self, x: float) -> float:
        """What f exceeds f* by, with both blocks at x."""
        span = self.centre.min() - 1.0, self.centre.max() + 1.0
        best = optimize.brentq(lambda y: self.slopes(np.array(y)).mean(), *span, xtol=1e-15)
        at, least = (
            float((self.slopes(np.array(y)) * (y - self.centre)).mean()) for y in (x, best)
        )
        return BLOCKS * (at - least) / 2.0

    def ends(
        self, x: Float[np.ndarray, "*at 1"], step: float, noise: Float[np.ndarray, "paths K"]
    ) -> Float[np.ndarray, "*at paths kinds"]:
        """Where each kind is after K local steps, for every path of gradient noise."""
        moved = np.broadcast_to(x[..., None], (*x.shape[:-1], len(noise), self.centre.size))
        for now in noise.T:
            moved = moved - step * (self.slopes(moved) + now[:, None])
        return moved

    def rest(self, step: float, local_steps: int, sigma: float) -> float:
        """The point that a half-round of infinitely many clients leaves where it is."""
        noise = _paths(local_steps, sigma)

        def drift(x: float) -> float:
            return float(self.ends(np.array([x]), step, noise).mean()) - x

        reach = 1.0 + step * local_steps * sigma
        span = self.centre.min() - reach, self.centre.max() + reach
        return float(optimize.brentq(drift, *span, xtol=1e-15))

    def run(
        self,
        start: float,
        *,
        rounds: int,
        local_steps: int,
        step: float,
        sigma: float,
        trials: int,
        rng: np.random.Generator,
    ) -> tuple[Float[np.ndarray, " trials"], float]:
        """Average over the rounds of both blocks' squared gradient norms, and the largest dissimilarity."""
        noise = _paths(local_steps, sigma)
        x = np.full((BLOCKS, trials, 1), start)
        kinds, each = self.centre.size, self.clients // self.centre.size
        chances = np.full(len(noise), 1.0 / len(noise))
        total, dissimilarity = np.zeros(trials), 0.0
        for _ in range(rounds):
            slopes = self.slopes(np.broadcast_to(x, (BLOCKS, trials, kinds)))
            total += np.square(slopes.mean(axis=-1)).sum(axis=0)
            dissimilarity = max(dissimilarity, float(slopes.var(axis=-1).max()))
            counts = rng.multinomial(each, chances, size=(BLOCKS, trials, kinds)).swapaxes(-1, -2)
            met = counts * self.ends(x, step, noise)
            x = met.sum(axis=(-1, -2))[..., None] / (each * kinds)
        return total / rounds, dissimilarity


def _paths(local_steps: int, sigma: float) -> Float[np.ndarray, "paths K"]:
    """Every sequence of gradient noise of K steps; they are equally likely."""
    signs = (-sigma, sigma) if sigma else (0.0,)
    return np.array(list(product(signs, repeat=local_steps)))
