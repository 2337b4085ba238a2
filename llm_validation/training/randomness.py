"""Random streams named by what they are for: a function of the seed and of counters, never of history.

Whatever a run draws can be drawn again from the seed, the round, the client and the step alone, so a
resumed run draws what the uninterrupted one would have, and so does either engine.
"""

import numpy as np

from verification.streams import generator, seed_sequence

_AXIS = "llm"


def local_batches(
    seed: int,
    members: np.ndarray,
    lengths: np.ndarray,
    client: int,
    visit: int,
    round: int,
    steps: int,
    batch_size: int,
) -> list[np.ndarray]:
    """The minibatches of one client in one round.

    A client walks through its shuffled examples, epoch after epoch, and takes up in its next round where
    it stopped. The examples of one round are sorted by length before they are cut into minibatches, and
    the minibatches are then shuffled by a permutation that all clients share: little padding, within a
    client and across the clients of one pass.

    Args:
        members: the client's examples, positions in the split, shape (n,).
        lengths: tokens of every example of the split.
        visit: how many rounds it took part in before.
        round: server round, for the shared shuffle.
        steps: minibatches K.
        batch_size: examples per minibatch; a client with fewer uses all it has.

    Returns:
        K index arrays of min(batch_size, n) examples.
    """
    size = min(batch_size, members.size)
    need, start = steps * size, visit * steps * size
    epoch, offset = divmod(start, members.size)
    pieces: list[np.ndarray] = []
    while need > 0:
        order = generator(seed, _AXIS, "epoch", client, epoch).permutation(members)
        piece = order[offset : offset + need]
        pieces.append(piece)
        need -= piece.size
        epoch, offset = epoch + 1, 0
    drawn = np.concatenate(pieces)
    drawn = drawn[np.argsort(lengths[drawn], kind="stable")]
    order = generator(seed, _AXIS, "lengths", round).permutation(steps)
    batches = np.split(drawn, steps)
    return [batches[i] for i in order]


def dropout_seed(seed: int, round: int, client: int, step: int) -> int:
    """Seed of the dropout masks of one client's one step."""
    state = seed_sequence(seed, _AXIS, "dropout", round, client, step).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def torch_seed(seed: int, *axes: str | int) -> int:
    """A seed for torch's own generator."""
    state = seed_sequence(seed, _AXIS, *axes).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
