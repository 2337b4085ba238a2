"""The two laboratories behind the Flower app: a run on the server's side, its clients on the others."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rolora.flower.options import Options

if TYPE_CHECKING:
    from federation.flower.channel import Channel
    from federation.flower.records import Hosted
    from llm_validation.config import Config
    from nonlinear_model import Configuration, Dataset

Tell = Callable[[str], None]


def hosted(options: Options) -> Hosted:
    """The clients of this machine."""
    made: Hosted
    if options.laboratory == "nonlinear":
        from nonlinear_model.training import remote as network

        made = network.Hosted(*_network(options))
    else:
        from llm_validation.training import remote as language

        made = language.Hosted(_language(options))
    return made


def serve(grid: Any, options: Options, tell: Tell) -> None:
    """A run from its start, or its newest checkpoint, to its results in `options.out`.

    Raises:
        ValueError: on a bad option, before anything is sent; on clients that do not fit, are gone, or
            return what is not finite, naming them. The finished rounds are kept.
    """
    (_serve_network if options.laboratory == "nonlinear" else _serve_language)(grid, options, tell)


def _serve_network(grid: Any, options: Options, tell: Tell) -> None:
    from federation import checkpoint
    from nonlinear_model.training import experiment, remote
    from rolora.commands.nonlinear import CHECKPOINTS, staged
    from rolora.storage.output_folder import OutputFolder

    config, data = _network(options)
    remote.require_possible(config)
    checkpoints = options.out / CHECKPOINTS
    with OutputFolder(options.out) as folder:
        channel = _channel(
            grid, remote.facts(config, data), config.clients, config.rank, options, tell
        )
        if not options.resume:
            checkpoint.forget(checkpoints)
        engine = remote.Remote(channel, config)

        def progress(round: int, rows: list[dict[str, Any]]) -> None:
            scores = "".join(f", test accuracy {row['test_accuracy']:.3f}" for row in rows)
            tell(f"round {round} of {config.rounds}{scores}")

        result = experiment.run(
            config, data, checkpoints=checkpoints, every=1, progress=progress, engine=engine
        )
        staged(folder, config, result, _command(options))
        _wire(folder, channel)
        folder.publish()
    if result.warning:
        tell(result.warning)
    if result.diverged is not None:
        raise result.diverged


def _serve_language(grid: Any, options: Options, tell: Tell) -> None:
    from llm_validation.training import loop, remote
    from rolora.storage.llm_run import staged
    from rolora.storage.output_folder import OutputFolder

    config = _language(options).changed(checkpoint_every=1)
    remote.require_possible(config)
    data = loop.examples(config)
    with OutputFolder(options.out) as folder:
        channel = _channel(
            grid, remote.facts(config, data), config.clients, config.rank, options, tell
        )

        def on_round(row: dict[str, Any]) -> None:
            tell(f"round {row['round']} of {config.rounds}")

        result = loop.run(
            config, folder=options.out, resume=options.resume, data=data, on_round=on_round,
            engine=remote.Remote(channel, config),
        )  # fmt: skip
        staged(folder, config, result, {}, command=_command(options))
        _wire(folder, channel)
        folder.publish()
    if result.warning:
        tell(result.warning)


def _network(options: Options) -> tuple[Configuration, Dataset]:
    from pathlib import Path

    from nonlinear_model import Configuration
    from nonlinear_model.data import registry

    config = Configuration.read(options.values)
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    folder = Path(options.data_dir) if options.data_dir else None
    return config, registry.load(config.dataset, folder)


def _language(options: Options) -> Config:
    from llm_validation.config import Config

    places: dict[str, Any] = {"data_dir": options.data_dir} if options.data_dir else {}
    if options.threads:
        places["threads"] = options.threads
    return Config.read({**options.values, **places})


def _channel(
    grid: Any, facts: Mapping[str, Any], clients: int, rank: int, options: Options, tell: Tell
) -> Channel:
    """The clients' machines, all there and of the server's mind."""
    from federation.flower.channel import Channel
    from federation.flower.hosts import gather

    hosts = gather(grid, facts, clients, options.wait)
    tell(f"{clients} clients on {len(hosts.nodes)} SuperNodes")
    return Channel(grid, hosts, options.patience, rank)


def _wire(folder: Any, channel: Channel) -> None:
    """What each of this process's rounds took."""
    from verification.codec import columns_of, csv_text

    if channel.rows:
        folder.write("wire.csv", csv_text(columns_of(channel.rows)))


def _command(options: Options) -> str:
    told = ", ".join(f"{name}={value!r}" for name, value in options.values.items())
    words = f'laboratory="{options.laboratory}" options="{told}"'
    return shlex.join(["flwr", "run", ".", "--run-config", words])
