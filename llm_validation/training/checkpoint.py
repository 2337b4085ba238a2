"""The server's state as a checkpoint of `federation.checkpoint`.

It holds everything a next round depends on: both factors of every layer, heads, optimiser state, visit counts
(the samplers' places) and the round.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from federated_lora import Adapter, Factor
from federation import checkpoint
from federation.checkpoint import Checkpoint
from federation.controls import Controls
from federation.round import Shared
from llm_validation.base.models import resolve_device
from llm_validation.config import Config
from llm_validation.training.server import OptimiserState, Server


def save(
    folder: Path,
    config: Config,
    data: str,
    server: Server,
    rows: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> Path:
    """Write the checkpoint of a completed round on data of that digest.

    The facts are what a resumed run must take over (clients per pass, say).
    """
    values = {
        "visits": server.visits,
        "scales": {layer: adapter.scale for layer, adapter in server.adapters.items()},
        "facts": dict(facts),
    }
    state = Checkpoint(server.round, _flat(server), rows, values)
    return checkpoint.write(folder, {**config.deciding, "data": data}, state)


def load(
    folder: Path, config: Config, data: str
) -> tuple[Server, list[dict[str, Any]], dict[str, Any], str] | None:
    """The newest sound checkpoint of a run: state, metrics, facts and a warning if a newer one is damaged."""
    found = checkpoint.read(folder, {**config.deciding, "data": data})
    if found is None:
        return None
    rows = [dict(row) for row in found.rows]
    server = _server(found, config)
    return server, rows, found.values["facts"], found.warning


def _server(found: Checkpoint, config: Config) -> Server:
    device, travel = resolve_device(config.device), config.participation < 1.0
    state = found.values
    # Optimisers and counts are taken up where they are used.
    tensors = {
        key: value if key.startswith(("optimiser/", "sent/")) else value.to(device)
        for key, value in found.tensors.items()
    }
    adapters = {
        layer: Adapter(tensors[f"server/A/{layer}"], tensors[f"server/B/{layer}"], scale)
        for layer, scale in state["scales"].items()
    }
    head, merged = _under("head/", tensors), _under("merged/", tensors)
    own: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in _under("local/", tensors).items():
        client, _, name = key.partition("/")
        own.setdefault(int(client), {})[name] = value
    states: dict[int, OptimiserState] = {}
    for key, value in _under("optimiser/", tensors).items():
        client, name, slot = key.split("/")
        states.setdefault(int(client), {}).setdefault(name, {})[slot] = value
    visits = {int(k): int(v) for k, v in state["visits"].items()}
    controls = Controls.restored(_under("control/", tensors))
    counts = {name: value.numpy() for name, value in _under("sent/", tensors).items()}
    sent = None
    if counts:
        controlled = frozenset(controls.own) if travel else frozenset()
        shared = Shared(adapters, head, controlled=controlled)
        sent = shared.nothing_sent(counts["held"].shape[1], ranks=config.ranks).restored(counts)
    return Server(
        adapters, head, own, states, visits, found.round, sent, merged, controls, travel,
        _under("memory/", tensors), velocity=_under("velocity/", tensors),
    )  # fmt: skip


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _flat(server: Server) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for layer, adapter in server.adapters.items():
        tensors |= {f"server/{f}/{layer}": adapter.factor(f) for f in Factor}
    tensors.update({f"head/{name}": value for name, value in server.head.items()})
    tensors.update({f"merged/{layer}": value for layer, value in server.merged.items()})
    tensors.update({f"memory/{layer}": value for layer, value in server.memory.items()})
    tensors.update({f"velocity/{name}": value for name, value in server.velocity.items()})
    for client, own in server.own.items():
        tensors.update({f"local/{client}/{name}": value for name, value in own.items()})
    for client, state in server.states.items():
        for name, slots in state.items():
            tensors.update({f"optimiser/{client}/{name}/{s}": v for s, v in slots.items()})
    tensors.update({f"control/{name}": value for name, value in server.controls.arrays().items()})
    if server.sent is not None:
        counts = server.sent.arrays().items()
        tensors.update({f"sent/{name}": torch.from_numpy(value) for name, value in counts})
    return tensors
