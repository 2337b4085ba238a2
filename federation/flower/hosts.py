"""Which SuperNode hosts which client, asked before the first round.

A SuperNode is told `partition-id` and `num-partitions` when it is started and hosts the clients whose number
is its partition-id modulo num-partitions. So neither the order of arrival nor a node's number decides
anything.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from federation.flower.post import Post, RefusedError, read
from verification.discovery import extras_named

with extras_named():
    from flwr.app import ConfigRecord, RecordDict
    from flwr.common.constant import ErrorCode

VERSION = "rolora-verify"


def stated(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What must be alike, with the version that says so."""
    return {VERSION: version(VERSION), **facts}


@dataclass(frozen=True, slots=True)
class Hosts:
    """The SuperNodes of a run.

    Attributes:
        nodes: their numbers, in the order of their partitions.
        holds: client to digests of what it holds, by name.
    """

    nodes: tuple[int, ...]
    holds: Mapping[int, Mapping[str, str]]

    def of(self, client: int) -> int:
        """The SuperNode that hosts a client."""
        return self.nodes[client % len(self.nodes)]

    def who(self, node: int) -> str:
        """A SuperNode in words."""
        return f"partition {self.nodes.index(node)} (SuperNode {node})"


def gather(grid: Any, facts: Mapping[str, Any], clients: int, wait: float) -> Hosts:
    """Wait until every partition has a SuperNode, and see that all are of the same mind as the server.

    Raises:
        RefusedError: if one is not, if two are one partition, or if some are missing after `wait` seconds.
    """
    facts, ends = stated(facts), time.monotonic() + wait
    post, asked = Post(grid), set[int]()
    found: dict[int, tuple[int, dict[str, Any]]] = {}
    question = RecordDict({"clients": ConfigRecord({"clients": clients})})
    of = 0
    while not of or len(found) < of:
        for node in sorted(set(grid.get_node_ids()) - asked):
            post.send(node, "query", question, "hello", wait)
            asked.add(node)
        for node, reply in post.fetch():
            if reply.has_error() and reply.error.code == ErrorCode.NODE_UNAVAILABLE:
                continue  # the SuperLink had not noticed yet that it is gone
            told = read(reply, f"SuperNode {node}").config_records["hello"]
            place, places = int(told["partition-id"]), int(told["num-partitions"])
            _require_alike(facts, json.loads(str(told["facts"])), f"partition {place}")
            _require_place(place, places, of, node, {p: n for p, (n, _) in found.items()})
            found[place], of = (node, json.loads(str(told["holds"]))), places
        if time.monotonic() > ends:
            missing = [str(p) for p in range(of) if p not in found]
            lack = f"partition {', '.join(missing)} of {of}" if of else "any partition"
            silent = f", {len(post.open)} of them silent so far" if post.open else ""
            raise RefusedError(
                f"after {wait:g} s there is no SuperNode for {lack}, of {len(asked)} that the SuperLink"
                f" knows{silent}; start those that are missing, or set wait higher"
            )
    holds = {int(k): own for _, told in found.values() for k, own in told.items()}
    return Hosts(tuple(found[place][0] for place in range(of)), holds)


def _require_place(place: int, places: int, of: int, node: int, found: Mapping[int, int]) -> None:
    if of and places != of:
        raise RefusedError(
            f"num-partitions must be the same for all, got {min(of, places)} and {max(of, places)}"
        )
    if place in found:
        one, other = sorted((found[place], node))
        raise RefusedError(
            f"partition-id must be each SuperNode's own, got {place} from {one} and {other}"
        )


def _require_alike(ours: Mapping[str, Any], theirs: Mapping[str, Any], who: str) -> None:
    ours = json.loads(json.dumps(dict(ours)))
    for name in sorted({*ours, *theirs}, key=lambda name: (name != VERSION, name)):
        if ours.get(name) == theirs.get(name):
            continue
        what, remedy = f"its {name}", "start it as the server is"
        if name == VERSION:
            what, remedy = VERSION, "install the same version on all machines"
        raise RefusedError(
            f"{who} does not fit: {what} is {theirs.get(name)!r}, the server's is {ours.get(name)!r};"
            f" {remedy}"
        )
