"""Random streams named by what they are for, so that order and worker count cannot change a result."""

import zlib

import numpy as np


def seed_sequence(seed: int, *axes: str | int) -> np.random.SeedSequence:
    """The seed sequence of one cell of an experiment.

    Args:
        seed: the user's seed, a non-negative integer.
        axes: what the stream is for, from coarse to fine: a claim id, a client count, a trial block…
            Integers and strings; the same axes always give the same stream, different axes
            independent ones.

    Returns:
        A `numpy.random.SeedSequence` whose spawn key encodes the axes.

    Raises:
        ValueError: if `seed` or an integer axis is negative.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be a non-negative integer, got {seed!r}")
    return np.random.SeedSequence(int(seed), spawn_key=tuple(_key(axis) for axis in axes))


def generator(seed: int, *axes: str | int) -> np.random.Generator:
    """A fresh PCG64 generator on `seed_sequence(seed, *axes)`."""
    return np.random.default_rng(seed_sequence(seed, *axes))


def design(*axes: str | int) -> np.random.Generator:
    """A fresh generator of what is the same for every seed: a claim's problem, a base model."""
    return np.random.default_rng(np.random.SeedSequence(0, spawn_key=tuple(map(_key, axes))))


def _key(axis: str | int) -> int:
    if isinstance(axis, (int, np.integer)):
        if axis < 0:
            raise ValueError(f"an integer axis of a seed must be non-negative, got {axis}")
        return int(axis)
    # A checksum, not hash(): Python salts hash() per process.
    return zlib.crc32(axis.encode())
