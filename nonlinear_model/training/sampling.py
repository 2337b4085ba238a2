"""Which examples each client draws: a function of the seed and the round alone.

Nothing here keeps a state, so a run that was stopped draws the same after it resumes, and a client draws
the same whoever else takes part.
"""

import numpy as np

from verification.streams import generator


def draw(
    seed: int, round: int, client: int, part: np.ndarray, steps: int, batch: int
) -> np.ndarray:
    """One client's batches of a round: its examples, indices `part`, shuffled, one epoch after the other.

    No example comes twice before all have come once; every batch is full, so a client with fewer examples
    than a batch sees some of them twice in it.
    """
    rng = generator(seed, "nonlinear", "batches", client, round)
    wanted = steps * batch
    if wanted < part.size:
        picks = rng.choice(part.size, size=wanted, replace=False)
    else:
        epochs = -(-wanted // part.size)
        picks = np.concatenate([rng.permutation(part.size) for _ in range(epochs)])[:wanted]
    return part[picks].reshape(steps, batch)


def steps_of_epochs(sizes: np.ndarray, epochs: int, batch: int) -> np.ndarray:
    """Local steps that make up the given epochs, at least one, per client: int64, as `sizes`."""
    return np.maximum(1, -(-np.asarray(sizes, dtype=np.int64) * epochs // batch))
