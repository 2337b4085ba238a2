"""`ClientApp`: the clients of one SuperNode, which train by the literal engine."""

from functools import cache
from typing import Any

from federation.flower import client
from federation.flower.records import Hosted
from rolora.flower import laboratories
from rolora.flower.options import read
from verification.discovery import extras_named

with extras_named():
    from flwr.app import Context, Message
    from flwr.clientapp import ClientApp

app = ClientApp()
Items = tuple[tuple[str, Any], ...]


@cache
def _hosted(run: Items, machine: Items) -> Hosted:
    """Built once in a process, which Flower may use for one message or for many."""
    return laboratories.hosted(read(dict(run), dict(machine)))


def _of(context: Context) -> Hosted:
    return _hosted(
        tuple(sorted(context.run_config.items())), tuple(sorted(context.node_config.items()))
    )


@app.query()  # type: ignore[untyped-decorator,unused-ignore]
def query(message: Message, context: Context) -> Message:
    """Who it is and what it runs."""
    return client.answered(client.hello, _of, message, context)


@app.train()  # type: ignore[untyped-decorator,unused-ignore]
def train(message: Message, context: Context) -> Message:
    """A round of its clients."""
    return client.answered(client.train, _of, message, context)
