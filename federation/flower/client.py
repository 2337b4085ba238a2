"""The client's side: what a SuperNode answers, for all clients it hosts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from federation.flower.hosts import stated
from federation.flower.records import Hosted, Order, digests, packed, together, unpacked
from verification.discovery import extras_named

with extras_named():
    from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict


def answered(
    reply: Callable[[Hosted, RecordDict, Context], RecordDict],
    hosted: Callable[[Context], Hosted],
    message: Message,
    context: Context,
) -> Message:
    """The reply to a message; a refusal goes back as its sentence."""
    try:
        content = reply(hosted(context), message.content, context)
    except ValueError as error:
        content = RecordDict({"refused": ConfigRecord({"because": str(error)})})
    return Message(content, reply_to=message)


def place(node: Any) -> tuple[int, int]:
    """A SuperNode's partition and the number of partitions, out of its `--node-config`."""
    found = [node.get(name) for name in ("partition-id", "num-partitions")]
    if not all(isinstance(one, int) for one in found) or not 0 <= found[0] < found[1]:
        raise ValueError(
            "--node-config must tell partition-id and num-partitions, as 'partition-id=0 num-partitions=2',"
            f" got {found[0]!r} and {found[1]!r}"
        )
    return found[0], found[1]


def hello(hosted: Hosted, content: RecordDict, context: Context) -> RecordDict:
    """Who it is, what it runs, and what its clients hold."""
    clients = int(content["clients"]["clients"])
    own, of = place(context.node_config)
    if of > clients:
        raise ValueError(f"num-partitions must be at most the {clients} clients, got {of}")
    holds = {k: digests(hosted.start(k)) for k in range(own, clients, of)}
    told = {
        "partition-id": own,
        "num-partitions": of,
        "facts": json.dumps(stated(hosted.facts())),
        "holds": json.dumps(holds),
    }
    return RecordDict({"hello": ConfigRecord(told)})


def train(hosted: Hosted, content: RecordDict, context: Context) -> RecordDict:
    """A round's local training of the clients it is asked for."""
    reply, round = RecordDict(), int(content["round"]["round"])
    for client in map(int, content["round"]["clients"]):
        order, told = content[f"{client}/order"], content[f"{client}/told"]
        rank, names, key = int(order["rank"]), list(order["names"]), f"held-{client}"
        more = unpacked(context.state.array_records.get(key, ArrayRecord()))
        more |= unpacked(content[f"{client}/missed"], hosted.rank)
        held = {**hosted.start(client), **more}
        held = {name: held[name] for name in names if name in held}
        if together(digests(held)) != order["holds"]:
            raise ValueError(
                f"client {client} does not hold what round {round} begins with: its SuperNode lost its state"
            )
        once = unpacked(content[f"{client}/once"])
        answer = hosted.train(round, Order(client, held, frozenset(), once, dict(told)))
        context.state[key] = packed({**more, **answer.kept})
        reply[f"{client}/sent"] = packed(answer.sent, rank)
        reply[f"{client}/kept"] = packed(answer.kept)
        reply[f"{client}/told"] = ConfigRecord(dict(answer.told))
    return reply
