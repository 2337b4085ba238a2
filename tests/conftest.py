"""`--reseed N`: every seed of every test moved by one rule, since what holds for one draw only is luck.

Integer seeds enter through four doors: `numpy.random.default_rng`, `torch.manual_seed`, hypothesis, and
`verification.streams`, from which the packages draw all they draw. N > 0 adds N strides at each.
"""

import functools

import numpy as np
from hypothesis import core, settings

STRIDE = 1_000_003
_shift = 0


def pytest_addoption(parser):
    parser.addoption(
        "--reseed", type=int, default=0, metavar="N", help="move every seed by N strides"
    )


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "fixed_seed: compares with stored numbers or another process, so --reseed passes it by",
    )
    number = config.getoption("--reseed")
    settings.register_profile("repeatable", derandomize=number == 0, database=None, deadline=None)
    settings.load_profile("repeatable")
    if number:
        import torch

        from verification import streams

        core.global_force_seed = number  # what hypothesis's own --hypothesis-seed sets
        for module, name in (
            (np.random, "default_rng"), (torch, "manual_seed"), (streams, "seed_sequence")
        ):  # fmt: skip
            setattr(module, name, _moved(getattr(module, name)))
    _move_by(number)


def pytest_runtest_setup(item):
    fixed = item.get_closest_marker("fixed_seed") is not None
    _move_by(0 if fixed else item.config.getoption("--reseed"))


def _move_by(number):
    global _shift
    _shift = number * STRIDE


def _moved(draw):
    @functools.wraps(draw)
    def moved(seed=None, *axes):
        whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and seed >= 0
        return draw(seed + _shift if whole else seed, *axes)

    return moved
