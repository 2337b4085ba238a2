"""Runs that differ in their seeds and learning rates alone, on one base: their clients share its passes."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import accumulate
from pathlib import Path

import numpy as np

from federated_lora import method_named
from federation.checkpoint import forget
from federation.refusals import require_able
from llm_validation.base.encoding import Encoded, encode
from llm_validation.config import Config
from llm_validation.tasks import registry
from llm_validation.tasks.examples import TaskData
from llm_validation.training import checkpoint, loop
from llm_validation.training.all_at_once import AllAtOnce
from llm_validation.training.estimate import clients_that_fit
from llm_validation.training.loop import Bench, DivergedError, Result, Row
from llm_validation.training.server import Server, Work, read_server

OWN = frozenset({"seed", "learning_rate", "learning_rate_grid"})
"""What runs side by side may differ in."""


def run_side_by_side(
    configs: Sequence[Config],
    *,
    folders: Sequence[Path] = (),
    resume: bool = False,
    data: TaskData | None = None,
    on_round: Callable[[int, Row], None] | None = None,
    evaluate_start: bool = True,
    measured: Collection[int] = (),
) -> list[Result | DivergedError]:
    """What `loop.run` makes of each configuration, in their order; of one that diverges, its error.

    Each run's result is that of the run by itself, up to the rounding of other passes; to the bit where a
    pass holds as many clients as a run has. The results share one model, which holds the last one's state.

    Args:
        folders: where each run's checkpoints go; none are kept if not given.
        on_round: called with the run's place and its row.

    Raises:
        ValueError: where two configurations differ in more than `OWN`, the engine is another, or the method
            changes the base; and for any reason of `loop.run`, before any work.
    """
    _require_alike(configs)
    benches = _opened(configs, folders, resume, data)
    lost: dict[int, DivergedError] = {}
    engine, firsts = _engine(benches)

    def took(place: int, row: Callable[[], Row]) -> None:
        try:
            told = row()
        except DivergedError as error:
            lost[place] = error
            return
        if on_round:
            on_round(place, told)

    starts: dict[int, Row] = {}
    for place, bench in enumerate(benches):
        if not bench.rows:
            took(place, partial(_begun, bench, evaluate_start, starts))
    rounds = configs[0].rounds
    while True:
        going = [k for k, b in enumerate(benches) if k not in lost and b.server.round < rounds]
        # After an interruption some are a few rounds behind.
        least = min((benches[k].server.round for k in going), default=rounds)
        now = [k for k in going if benches[k].server.round == least]
        if not now:
            break
        started = time.perf_counter()
        plans = [loop.planned(benches[k]) for k in now]
        found = engine.train_side_by_side(
            [_placed(benches[k], *plan, firsts[k]) for k, plan in zip(now, plans, strict=True)]
        )
        share = (time.perf_counter() - started) / len(now)
        for k, plan, returned in zip(now, plans, found, strict=True):
            begin = time.perf_counter() - share
            took(k, partial(loop.completed, benches[k], *plan, returned, begin, measured))
    return [
        lost.get(k) or Result(b.rows, b.server, b.space, b.facts, b.warning)
        for k, b in enumerate(benches)
    ]


def _begun(bench: Bench, evaluate: bool, starts: dict[int, Row]) -> Row:
    """The row of the untrained model; runs of one seed start from one and the same."""
    start = starts.get(id(bench.server))
    if start is None:
        start = starts[id(bench.server)] = loop.begun(bench, evaluate)
    else:
        bench.rows.append(dict(start))
    return start


def _require_alike(configs: Sequence[Config]) -> None:
    first = configs[0]
    for config in configs[1:]:
        for name in (field.name for field in fields(first)):
            if name not in OWN and getattr(config, name) != getattr(first, name):
                raise ValueError(
                    f"runs side by side must agree in {name}, got {getattr(first, name)!r} and"
                    f" {getattr(config, name)!r}"
                )
    if first.engine != "all-at-once":
        raise ValueError(f"runs side by side need engine = all-at-once, got {first.engine}")
    require_able(method_named(first.method, first.rounds), {"merges": "runs side by side"})


def _opened(
    configs: Sequence[Config], folders: Sequence[Path], resume: bool, data: TaskData | None
) -> list[Bench]:
    """Every run, opened; those after the first on the first one's model."""
    places: list[Path | None] = [folder / "checkpoints" for folder in folders]
    places = places or [None] * len(configs)
    data = data if data is not None else registry.load(configs[0])
    first = loop.opened(configs[0], places[0], resume, data)
    starts = {} if first.server.round else {first.config.seed: first.server}
    rest = zip(configs[1:], places[1:], strict=True)
    return [first, *(_beside(first, config, place, resume, data, starts) for config, place in rest)]


def _beside(
    first: Bench,
    config: Config,
    places: Path | None,
    resume: bool,
    data: TaskData,
    starts: dict[int, Server],
) -> Bench:
    data = loop.examples(config, data)
    split = loop.split_clients(config, data.train.labels)
    found = checkpoint.load(places, config, data.digest) if places and resume else None
    space, encoded = first.space, first.encoded
    if data.digest != first.digest:
        encoded = encode(data.train, space.tokenizer, config.max_length, segments=space.segments)
    if found is None:
        if config.seed not in starts:
            starts[config.seed] = read_server(loop.model_of(config, data))
        own = {"client_examples": [int(part.size) for part in split], "data_digest": data.digest}
        found = (starts[config.seed], [], {**first.facts, **own}, "")
    if places and not resume:
        forget(places)
    server, rows, facts, warning = found
    return replace(
        first, config=config, digest=data.digest, places=places, split=split, encoded=encoded,
        server=server, rows=rows, facts=facts, warning=warning,
    )  # fmt: skip


def _engine(benches: Sequence[Bench]) -> tuple[AllAtOnce, list[int]]:
    """One engine for all runs' examples, and where each one's begin in it."""
    distinct: dict[str, Encoded] = {bench.digest: bench.encoded for bench in benches}
    sizes = [len(encoded) for encoded in distinct.values()]
    starts = dict(zip(distinct, accumulate(sizes, initial=0), strict=False))
    first = benches[0]
    every = sum(bench.config.clients for bench in benches)
    whole = _joined(list(distinct.values()))
    count = clients_that_fit(first.config, first.space, whole, every)
    run = first.config, first.space, whole
    return AllAtOnce(*run, count), [starts[bench.digest] for bench in benches]


def _joined(parts: Sequence[Encoded]) -> Encoded:
    if len(parts) == 1:
        return parts[0]
    typed = [part.types for part in parts if part.types is not None]
    cut = [part.prompt for part in parts if part.prompt is not None]
    return Encoded(
        tuple(ids for part in parts for ids in part.ids),
        tuple(own for types in typed for own in types) if typed else None,
        np.concatenate([part.labels for part in parts]),
        np.concatenate(cut) if cut else None,
    )


def _placed(bench: Bench, before: Server, work: Work, first: int) -> tuple[Server, Work]:
    """A run's work, its examples counted among those of all."""
    batches = [[rows + first for rows in own] for own in work.batches]
    return before, replace(work, batches=batches, seed=bench.config.seed)
