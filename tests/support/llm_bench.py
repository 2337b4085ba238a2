"""A language-model run taken apart: what it works with, and one round of it at a time."""

from llm_validation.training import loop


def opened(config):
    """Method, model, split, engine and starting state, as a run opens them."""
    return loop.opened(config, None, False, None)


def work_of(bench):
    """What the next round's participants train on what."""
    examples = bench.split, bench.encoded.lengths
    return loop.plan(bench.config, bench.method, bench.server, *examples)


def one_round(bench):
    """What the clients returned, and the server's state after it."""
    work = work_of(bench)
    returned = bench.engine.train(bench.server, work)
    sizes = [part.size for part in bench.split]
    return returned, loop.step(bench.config, bench.method, bench.server, work, returned, sizes)[0]
