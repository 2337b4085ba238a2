"""How much effort a check may spend, and the seed all its randomness comes from."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import numpy as np

from verification.streams import generator, seed_sequence

T = TypeVar("T")


class Profile(StrEnum):
    """Size of a verification run."""

    QUICK = "quick"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Budget:
    """What a check is given.

    Attributes:
        profile: `quick` for a minute on a laptop, `full` for a publication.
        seed: root of every random stream of the check.
        data_dir: folder with the real data sets (MNIST, GLUE), or None.
        results_dir: folder with finished language-model runs, or None.
    """

    profile: Profile = Profile.QUICK
    seed: int = 0
    data_dir: Path | None = None
    results_dir: Path | None = None

    def pick(self, quick: T, full: T) -> T:
        """The value that belongs to the profile."""
        return quick if self.profile is Profile.QUICK else full

    def seeds(self, *axes: str | int) -> np.random.SeedSequence:
        """Seed sequence of one cell; name the claim id first."""
        return seed_sequence(self.seed, *axes)

    def rng(self, *axes: str | int) -> np.random.Generator:
        """Generator of one cell; name the claim id first."""
        return generator(self.seed, *axes)
