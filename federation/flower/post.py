"""Messages under way: sent one by one, their replies fetched as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from verification.discovery import extras_named

with extras_named():
    from flwr.app import Message, RecordDict

PAUSE = 0.05
"""Seconds between two looks for replies."""


class RefusedError(ValueError):
    """A machine that cannot take part, or a reply that cannot be used; one sentence."""


class Post:
    """The server's messages to SuperNodes through a Flower grid, and what came back."""

    def __init__(self, grid: Any) -> None:
        self.grid = grid
        self.open: dict[str, int] = {}

    def send(self, node: int, kind: str, content: RecordDict, group: str, ttl: float) -> None:
        """One message to a SuperNode."""
        message = Message(content, node, kind, ttl=ttl, group_id=group)
        numbers = [number for number in self.grid.push_messages([message]) if number]
        if not numbers:
            raise RefusedError(f"the SuperLink did not take a message to SuperNode {node}")
        self.open[numbers[0]] = node

    def fetch(self) -> Iterator[tuple[int, Message]]:
        """What has come since, with the SuperNode it came from."""
        if self.open:
            for reply in self.grid.pull_messages(list(self.open)):
                yield self.open.pop(reply.metadata.reply_to_message_id), reply
        time.sleep(PAUSE)


def read(reply: Message, who: str) -> RecordDict:
    """The content of a reply.

    Raises:
        RefusedError: if the client's machine refused, or its client app failed, with what it said.
    """
    if reply.has_error():
        raise RefusedError(f"{who} failed: {reply.error.reason}")
    refused = reply.content.config_records.get("refused")
    if refused is not None:
        raise RefusedError(f"{who}: {refused['because']}")
    return reply.content
