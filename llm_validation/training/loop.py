"""Server rounds: draw participants, train, aggregate, measure, keep a checkpoint."""

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from federated_lora import Factor, Method, method_named
from federation import partition
from federation.checkpoint import forget
from federation.controls import Controls
from federation.participants import participants, weights_of
from federation.privacy import Policy
from federation.round import Outcome, Trained, carried_on, combined, sound, tensor_name
from llm_validation.base.base_model import require_positions
from llm_validation.base.digest import base_digest
from llm_validation.base.encoding import Encoded, encode
from llm_validation.base.models import Workspace, build
from llm_validation.config import Config
from llm_validation.tasks import registry
from llm_validation.tasks.examples import Classified, Examples, TaskData
from llm_validation.training import checkpoint
from llm_validation.training.all_at_once import AllAtOnce
from llm_validation.training.estimate import clients_that_fit
from llm_validation.training.evaluation import Evaluator, Score
from llm_validation.training.one_by_one import OneByOne
from llm_validation.training.randomness import local_batches
from llm_validation.training.server import Returned, Server, Work, private, read_server
from verification.discovery import require_extra
from verification.streams import generator

Row = dict[str, Any]


class Engine(Protocol):
    """Something that trains the participants of a round."""

    def train(self, server: Server, work: Work) -> Returned:
        """Local training from the server's state."""


class DivergedError(ValueError):
    """A client returned NaN or infinity, or the model overflows; `rows` holds the completed rounds."""

    def __init__(self, message: str, rows: list[Row]) -> None:
        super().__init__(message)
        self.rows = rows


@dataclass(frozen=True, eq=False)
class Result:
    """A finished run.

    Attributes:
        rows: metrics, one record a round (round 0 is the start).
        space: the model, holding the final state.
        facts: what is worth recording: sizes, devices, clients per pass, notes on the data.
        warning: about a damaged checkpoint that was passed over, or "".
    """

    rows: list[Row]
    server: Server
    space: Workspace
    facts: dict[str, Any]
    warning: str = ""


def run(
    config: Config,
    *,
    folder: Path | None = None,
    resume: bool = False,
    data: TaskData | None = None,
    on_round: Callable[[Row], None] | None = None,
    evaluate_start: bool = True,
    measured: Collection[int] = (),
    engine: Engine | None = None,
) -> Result:
    """Federated fine-tuning from the configuration to the final adapter.

    Args:
        folder: where checkpoints go (in `folder/checkpoints`, where a run that does not resume removes
            those of an earlier one); None for none.
        resume: continue from the newest checkpoint in the folder, if there is one.
        on_round: called with the metrics of every completed round.
        evaluate_start: whether the untrained model is measured too.
        measured: rounds after which it is measured, beside the last; every `evaluate_every`-th if none.
        engine: takes the place of the configuration's.

    Raises:
        ValueError: before any work, on a configuration that does not fit the data or the model; on a
            checkpoint of another configuration; `DivergedError` when a client returns NaN or the model
            overflows.
    """
    bench = opened(config, folder / "checkpoints" if folder else None, resume, data)
    bench.engine = engine or bench.engine
    if not bench.rows:
        start = begun(bench, evaluate_start)
        if on_round:
            on_round(start)
    while bench.server.round < config.rounds:
        row = _one_round(bench, measured)
        if on_round:
            on_round(row)
    return Result(bench.rows, bench.server, bench.space, bench.facts, bench.warning)


@dataclass(eq=False)
class Bench:
    """A run under way: what it works with, the server's state and the record so far."""

    config: Config
    method: Method
    digest: str
    places: Path | None
    space: Workspace
    split: partition.Partition
    encoded: Encoded
    evaluator: Evaluator
    engine: Engine
    privacy: Policy | None
    server: Server
    rows: list[Row]
    facts: dict[str, Any]
    warning: str


def opened(config: Config, places: Path | None, resume: bool, data: TaskData | None) -> Bench:
    """Everything a run needs, checked, at its start or at the checkpoint it goes on from."""
    require_extra("llm")
    privacy = config.policy()
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.backends.cuda.matmul.allow_tf32 = config.tf32
    data = examples(config, data)
    split = split_clients(config, data.train.labels)
    found = checkpoint.load(places, config, data.digest) if places and resume else None
    space, encoded = workspace(config, data)
    evaluator = Evaluator(config, space, data.evaluation)
    require_positions(config, space.base, max(int(encoded.lengths.max()), evaluator.longest))
    if found is None:
        found = (read_server(space), [], _facts(config, space, encoded, split, data), "")
    server, rows, facts, warning = found
    if places and not resume:
        forget(places)
    engine: Engine = (
        OneByOne(config, space, encoded)
        if config.engine == "one-by-one"
        else AllAtOnce(config, space, encoded, int(facts["clients_at_once"]))
    )
    method = method_named(config.method, config.rounds)
    return Bench(
        config, method, data.digest, places, space, split, encoded, evaluator, engine,
        privacy, server, rows, facts, warning,
    )  # fmt: skip


def _one_round(bench: Bench, measured: Collection[int]) -> Row:
    """Train, combine, measure, keep a checkpoint. Returns the round's row."""
    started = time.perf_counter()
    before, work = planned(bench)
    returned = bench.engine.train(before, work)
    return completed(bench, before, work, returned, started, measured)


def begun(bench: Bench, evaluate: bool) -> Row:
    """The row of the untrained model."""
    row = _start_row(bench.config, bench.evaluator.score(bench.server) if evaluate else None)
    _require_measured(row, [])
    bench.rows.append(row)
    return row


def planned(bench: Bench) -> tuple[Server, Work]:
    """The state the next round starts from, and what its participants do."""
    config, before = bench.config, bench.server
    controls = before.controlled(bench.method.controls, config.clients)
    travel = config.participation < 1.0
    before = replace(before, controls=controls, travel=travel, ranks=config.ranks)
    return before, plan(config, bench.method, before, bench.split, bench.encoded.lengths)


def completed(
    bench: Bench,
    before: Server,
    work: Work,
    returned: Returned,
    started: float,
    measured: Collection[int],
) -> Row:
    """The round's row, with what the participants returned combined, measured and kept."""
    config, rows = bench.config, bench.rows
    _require_finite(returned, work, rows)
    if bench.privacy is not None:
        returned = private(bench.privacy, before, work, returned, config)
    sizes = [part.size for part in bench.split]
    server, outcome = step(config, bench.method, before, work, returned, sizes)
    row = _row((before, server), rows[-1], work, returned, outcome, time.perf_counter() - started)
    last = server.round == config.rounds
    due = server.round in measured if measured else server.round % config.evaluate_every == 0
    row |= Score.columns(config, bench.evaluator.score(server) if last or due else None)
    _require_measured(row, rows)
    rows.append(row)
    bench.server = server
    if bench.places and (last or server.round % config.checkpoint_every == 0):
        checkpoint.save(bench.places, config, bench.digest, server, rows, bench.facts)
    return row


def examples(config: Config, data: TaskData | None = None) -> TaskData:
    """The configured examples, or these, no more than asked for."""
    data = data if data is not None else registry.load(config)
    return TaskData(
        _limited(data.train, config.train_examples, config.seed, "train"),
        _limited(data.evaluation, config.eval_examples, 0, "evaluation"),
    )


def model_of(config: Config, data: TaskData) -> Workspace:
    """The model to train in."""
    names = data.train.names if isinstance(data.train, Classified) else ()
    return build(config, causal=data.causal, names=names)


def workspace(config: Config, data: TaskData) -> tuple[Workspace, Encoded]:
    """The model to train in, and the training examples as it takes them."""
    space = model_of(config, data)
    return space, encode(data.train, space.tokenizer, config.max_length, segments=space.segments)


def split_clients(config: Config, labels: np.ndarray) -> partition.Partition:
    """The training examples of each client. Raises ValueError for any reason of `Split.deal`."""
    return config.deal(labels, generator(config.seed, "llm", "split"))


def plan(
    config: Config, method: Method, server: Server, split: partition.Partition, lengths: np.ndarray
) -> Work:
    """Who trains what on which examples in the round after the server's."""
    now = server.round + 1
    rng = generator(config.seed, "llm", "participants", now)
    clients = tuple(int(k) for k in participants(rng, len(split), config.participation))
    seed, steps, size = config.seed, config.local_steps, config.batch_size
    batches = [
        local_batches(seed, split[k], lengths, k, server.visits.get(k, 0), now, steps, size)
        for k in clients
    ]
    rate = config.rate_in(now)
    trained = method.trainable(now)
    corrections = server.controls.corrections(np.array(clients), server.named(trained))
    still = [trained - method.moving(now, step) for step in range(1, steps + 1)]
    resting = [frozenset(server.named(factors)) for factors in still]
    shapes = {
        tensor_name(layer, Factor.A): shape
        for layer, adapter in server.adapters.items()
        if (shape := method.preconditioner(adapter, now)) is not None
    }
    personal = method.personal
    return Work(now, trained, clients, batches, rate, personal, corrections, resting, shapes)


def step(
    config: Config, method: Method, server: Server, work: Work, returned: Returned, sizes: list[int]
) -> tuple[Server, Outcome]:
    """The server's state after a round, and what the round came to."""
    weights = np.array([sizes[k] for k in work.clients]) if config.weighting == "examples" else None
    ranks = np.array(config.ranks)[list(work.clients)] if config.ranks else None
    trained = Trained(returned.factors, returned.heads, ranks)
    outcome = combined(method, server.shared(), trained, weights, work.round, head=config.head)
    velocity = server.velocity
    if config.server_momentum:
        outcome, velocity = carried_on(server.shared(), outcome, velocity, config.server_momentum)
    own, states = dict(server.own), dict(server.states)
    for i, k in enumerate(work.clients):
        if outcome.own:
            kept = {name: stack[i].clone() for name, stack in outcome.own.items()}
            own[k] = {**own.get(k, {}), **kept}
        if config.optimiser_state == "keep":
            # The frozen factor's state waits for its turn.
            states[k] = {**states.get(k, {}), **returned.states[i]}
    sent = server.sent or server.shared().nothing_sent(len(sizes), ranks=config.ranks)
    visits = server.visits | {k: server.visits.get(k, 0) + 1 for k in work.clients}
    made, counted = outcome.shared, outcome.counted(sent, work.round, np.array([work.clients]))
    after = replace(
        server, adapters=dict(made.adapters), head=dict(made.head), own=own, states=states, visits=visits,
        round=work.round, sent=counted, merged=made.merged, memory=made.memory,
        controls=_controls(config, server, work, returned, sizes), velocity=velocity,
    )  # fmt: skip
    return after, outcome


def _controls(
    config: Config, server: Server, work: Work, returned: Returned, sizes: list[int]
) -> Controls:
    """The control variates after a round."""
    held, sent = server.named(), returned.named()
    moved = {name: held[name] - sent[name] for name in work.corrections.keys() & sent.keys()}
    everybody = weights_of(config.weighting, np.array(sizes))
    steps = config.local_steps * work.learning_rate
    return server.controls.after(np.array(work.clients), moved, steps, everybody)


def _require_finite(returned: Returned, work: Work, rows: list[Row]) -> None:
    for name, stack in {**returned.named(), **returned.heads}.items():
        whole = sound(stack, 1)
        if not bool(whole.all()):
            client = work.clients[int(torch.nonzero(~whole)[0])]
            raise DivergedError(
                f"round {work.round}: client {client} returned NaN or infinity in tensor {name};"
                " lower the learning rate, or set a clip",
                rows,
            )


def _require_measured(row: Row, before: list[Row]) -> None:
    """Finite weights can still be so large that the model, or a product of factors, overflows."""
    told = {"loss": "evaluation loss", "aggregation_error": "aggregation error"}
    for name, words in told.items():
        if row[name] is not None and not math.isfinite(row[name]):
            remedy = (
                "lower the learning rate, or set a clip"
                if row["round"]
                else "the untrained model overflows: use another dtype or init"
            )
            raise DivergedError(
                f"round {row['round']}: the {words} is {row[name]}; {remedy}", before
            )


def _row(
    servers: tuple[Server, Server],
    before: Row,
    work: Work,
    returned: Returned,
    outcome: Outcome,
    seconds: float,
) -> Row:
    sent = servers[1].sent
    assert sent is not None  # a round is done
    errors = [float(error) for error in outcome.errors()]
    losses = returned.losses.double()
    return {
        "round": work.round,
        "trained": "".join(sorted(work.factors)),
        "participants": len(work.clients),
        "learning_rate": work.learning_rate,
        "train_loss": _finite(float(losses.mean())),
        "train_loss_spread": _finite(float(losses.mean(dim=1).std(correction=0))),
        "aggregation_error": math.sqrt(sum(e * e for e in errors)),
        "factor_change": _moved(*servers),
        "numbers_up": int(sent.up[0]),
        "numbers_down": int(sent.down[0]),
        "tokens": before["tokens"] + returned.tokens,
        "tokens_per_second": returned.tokens / seconds,
        "seconds": seconds,
    }


def _start_row(config: Config, score: Score | None) -> Row:
    unknown = ("train_loss", "train_loss_spread", "aggregation_error", "factor_change")
    row: Row = {"round": 0, "trained": "", "participants": 0, "learning_rate": None}
    row |= Score.columns(config, score)
    row |= dict.fromkeys(unknown) | {"numbers_up": 0, "numbers_down": 0, "tokens": 0}
    return row | {"tokens_per_second": None, "seconds": 0.0}


def _moved(before: Server, after: Server) -> float:
    """Frobenius norm of the change of all factors that the server shares."""
    held = before.named()
    changes = [value - held[name] for name, value in after.named().items()]
    return math.sqrt(sum(float(change.double().square().sum()) for change in changes))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _limited(examples: Examples, limit: int, seed: int, name: str) -> Examples:
    if not limit or limit >= len(examples):
        return examples
    rng = generator(seed, "llm", "limit", name)
    return examples.take(np.sort(rng.choice(len(examples), size=limit, replace=False)))


def _facts(
    config: Config, space: Workspace, encoded: Encoded, split: partition.Partition, data: TaskData
) -> dict[str, Any]:
    return {
        "clients_at_once": clients_that_fit(config, space, encoded),
        "client_examples": [int(part.size) for part in split],
        "train_examples": len(data.train),
        "evaluation_examples": len(data.evaluation),
        "data_note": data.train.note,
        "data_digest": data.digest,
        "base_digest": base_digest(space.base),
        "layers": len(space.layers),
        "device": str(space.device),
        "threads": torch.get_num_threads(),
    }
