"""A round's orders sent and answers taken, in the order of the clients, whoever is first."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from federation.flower.hosts import Hosts
from federation.flower.post import Post, RefusedError, read
from federation.flower.records import Answer, Order, digest, digests, packed, together, unpacked
from verification.discovery import extras_named

with extras_named():
    from flwr.app import ConfigRecord, RecordDict

AGAIN = "the rounds before are kept: mend it and run again with resume=true"


@dataclass(eq=False)
class Channel:
    """The server's end.

    Attributes:
        patience: seconds to wait for the answers of a round.
        rank: the server's LoRA rank.
        rows: of each round, the bytes of its arrays down and up, those of them that stay with their client,
            and the seconds from the first message to the last answer.
    """

    grid: Any
    hosts: Hosts
    patience: float
    rank: int
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._holds = {client: dict(own) for client, own in self.hosts.holds.items()}

    def ask(self, round: int, orders: Sequence[Order]) -> list[Answer]:
        """Have the clients train, and wait for all of them.

        Raises:
            RefusedError: naming round and partition or client, if one is gone or silent, fails, or answers
                with anything but what it was asked for.
        """
        began = time.perf_counter()
        parts: dict[int, list[Order]] = {}
        for order in orders:
            parts.setdefault(self.hosts.of(order.client), []).append(order)
        post, row = Post(self.grid), {"round": round, "down": 0, "up": 0, "kept": 0}
        marks: dict[int, str] = {}
        for node, own in parts.items():
            content = RecordDict(
                {"round": ConfigRecord({"round": round, "clients": [one.client for one in own]})}
            )
            for order in own:
                row["down"] += self._write(content, order, marks)
            post.send(node, "train", content, str(round), self.patience)
        answers: dict[int, Answer] = {}
        for node, content in self._replies(round, post).items():
            for order in parts[node]:
                answers[order.client] = self._read(content, order, round)
                row["up"] += _bytes(content[f"{order.client}/sent"])
                row["kept"] += _bytes(content[f"{order.client}/kept"])
        self.rows.append({**row, "seconds": time.perf_counter() - began})
        return [answers[order.client] for order in orders]

    def _write(self, content: RecordDict, order: Order, marks: dict[int, str]) -> int:
        """Put an order into a message; the bytes of its arrays. `marks` are digests of arrays seen before."""
        own = self._holds.setdefault(order.client, {})
        for value in order.held.values():
            if id(value) not in marks:  # what clients share is one object
                marks[id(value)] = digest(value)
        now = {name: marks[id(value)] for name, value in order.held.items()}
        missed = {name: order.held[name] for name in now if own.get(name) != now[name]}
        own |= now
        told = {"names": sorted(now), "holds": together(now), "rank": order.rank}
        records = {
            "missed": packed(missed, order.rank),
            "once": packed(order.once),
            "order": ConfigRecord(told),
            "told": ConfigRecord(dict(order.told)),
        }
        for name, record in records.items():
            content[f"{order.client}/{name}"] = record
        return _bytes(records["missed"]) + _bytes(records["once"])

    def _replies(self, round: int, post: Post) -> dict[int, RecordDict]:
        found: dict[int, RecordDict] = {}
        ends, look = time.monotonic() + self.patience, 0.0
        while post.open:
            for node, reply in post.fetch():
                try:
                    found[node] = read(reply, f"round {round}: {self.hosts.who(node)}")
                except RefusedError as error:
                    raise RefusedError(f"{error}; {AGAIN}") from None
            now = time.monotonic()
            if not post.open or now < look:
                continue
            look = now + 1.0
            gone = {*post.open.values()} - {*self.grid.get_node_ids()}
            if gone or now > ends:
                names = ", ".join(map(self.hosts.who, sorted(gone or {*post.open.values()})))
                why = "is gone" if gone else f"has not answered within {self.patience:g} s"
                raise RefusedError(f"round {round}: {names} {why}; {AGAIN}")
        return found

    def _read(self, content: RecordDict, order: Order, round: int) -> Answer:
        who = f"round {round}: client {order.client}"
        for part in ("sent", "kept", "told"):
            if f"{order.client}/{part}" not in content:
                raise RefusedError(f"{who} left out the record {part!r} of its answer")
        try:
            sent, kept = (
                unpacked(content[f"{order.client}/{part}"], self.rank if order.rank else 0)
                for part in ("sent", "kept")
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise RefusedError(f"{who} sent what are no arrays: {error}") from error
        answer = Answer(sent, kept, dict(content[f"{order.client}/told"]))
        arrays = answer.arrays
        for name in sorted(order.trains):
            wanted = order.held[name]
            if name not in arrays:
                raise RefusedError(f"{who} left out {name}, which it was to train")
            got = arrays[name]
            if (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
                raise RefusedError(
                    f"{who} sent {name} of shape {tuple(got.shape)} in {got.dtype}, asked for was"
                    f" {tuple(wanted.shape)} in {wanted.dtype}"
                )
        self._holds[order.client] |= digests(kept)
        return answer


def _bytes(record: Mapping[str, Any]) -> int:
    return sum(len(array.data) for array in record.values())
