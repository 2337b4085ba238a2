"""The generated parts of docs/scale.md, from committed measurements: `python -m docs.scale_page`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from math import inf
from typing import Any, NamedTuple

from docs.build import ROOT, insert
from theory.samples import mean_square_rate
from verification import files

PAGE = ROOT / "docs" / "scale.md"
RESULTS = ROOT / "benchmarks" / "results"
BYTES = 4
"""Of a number that travels, float32."""
DOUBLE = 8
"""Of one of the linear model, float64."""
LINK = 10e9 / 8
"""Bytes a second that a server of 10 Gbit/s takes in."""
DAY = 86_400
MEMORY = 64 * 2**30
ROUND_SECONDS = 600.0
"""What a round may take before somebody asks whether it hangs."""
PARTICIPANTS = 1000


class Limit(NamedTuple):
    """Something that ends, and the number of clients in a round (or in all) at which it does."""

    clients: float
    what: str
    why: str
    then: str


def filled(text: str, scale: Mapping[str, Any]) -> str:
    """The page with its tables made anew."""
    parts = {"rounds": _rounds(scale), "total": _total(scale)}
    parts |= {"costs": _costs(scale), "limits": _limits_table(scale)}
    for name, part in parts.items():
        text = insert(text, name, part)
    return text


def measured() -> dict[str, Any]:
    """The committed measurements."""
    read: dict[str, Any] = json.loads((RESULTS / "scale.json").read_text(encoding="utf-8"))
    return read


def limits(scale: Mapping[str, Any]) -> list[Limit]:
    """What breaks as clients become more, first first, where all of them send in one round of RoLoRA."""
    server, books = scale["costs"]["server"]["rolora"], scale["costs"]["books"]
    sent = server["numbers_up"] * BYTES
    found = [
        Limit(
            MEMORY / sent,
            "memory of the stacked replies, 64 GiB",
            f"the engines average a stack of all replies, {sent / 1e6:.2f} MB each",
            "average in a tree or as replies come: the mean of one factor needs no other reply",
        ),
        Limit(
            ROUND_SECONDS * LINK / sent,
            "the server's link, 10 Gbit/s, in 10 minutes",
            "every participant's factor goes through one machine",
            "fewer participants a round, or a tree: every inner node sends on one factor",
        ),
        Limit(
            ROUND_SECONDS / server["average_seconds"],
            "averaging on one core, in 10 minutes",
            f"{server['average_seconds'] * 1e3:.2g} ms a reply, to see that it is finite and to add it",
            "more cores or the tree above",
        ),
        Limit(
            MEMORY / books["account_bytes"],
            "the account of what each client holds, 64 GiB",
            f"{books['account_bytes']:.0f} bytes a client of the population, taking part or not",
            "nothing nearer breaks",
        ),
    ]
    return sorted(found)


def _rounds(scale: Mapping[str, Any]) -> str:
    lines = [
        "| clients N | samples each, m | pooled N·m ÷ d | rounds to ε: exact chain, median (5–95 %)"
        " | ours, at most | paper's | trials, seconds |",
        "|---:|---:|---:|---|---:|---:|---|",
    ]
    for row in scale["rows"]:
        took = f"{row['median']} ({row['low']}–{_or_never(row['high'])})"
        if row["median"] is None:
            took = f"not in {scale['setting']['rounds']}: angle {row['angle_left']:.3g} then"
        ours = "–" if row["ours"] is None else f"{row['ours']:.0f}"
        pooled = row["clients"] * row["samples"] / row["d"]
        lines.append(
            f"| {row['clients']:,} | {row['samples']:,} | {pooled:.3g} | {took} | {ours}"
            f" | {row['paper']:.2g} | {row['trials']}, {row['seconds']:,.2f} s |"
        )
    return "\n".join(lines)


def _total(scale: Mapping[str, Any]) -> str:
    """Traffic and time to ε on the linear model, the clients side by side."""
    lines = [
        "| clients N | samples each, m | rounds | sent by one client | by all | clients compute"
        " | through 10 Gbit/s | averaging, one core | in all |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    server, client = scale["costs"]["server"]["rolora"], scale["costs"]["client"]
    average = server["average_seconds"] / server["numbers_up"]
    for row in scale["rows"]:
        if row["kind"] != "pooled":
            continue
        n, rounds, numbers = row["clients"], row["median"], row["d"] + 1
        sent = rounds * numbers * DOUBLE
        times = [
            rounds * row["samples"] * client["sample_seconds"],
            n * sent / LINK,
            n * rounds * numbers * average,
        ]
        told = " | ".join(_time(seconds) for seconds in (*times, sum(times)))
        lines.append(
            f"| {n:,} | {row['samples']:,} | {rounds} | {_bytes(sent)} | {_bytes(n * sent)} | {told} |"
        )
    return "\n".join(lines)


def _or_never(value: int | None) -> str:
    return "never" if value is None else str(value)


def _costs(scale: Mapping[str, Any]) -> str:
    server, books = scale["costs"]["server"], scale["costs"]["books"]
    lines = [
        "| clients N | who sends | up in a round: RoLoRA | FedAvg-LoRA | through 10 Gbit/s: RoLoRA"
        " | FedAvg-LoRA | averaging, one core | the account |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for n in sorted({row["clients"] for row in scale["rows"]}):
        for who in dict.fromkeys((n, min(n, PARTICIPANTS))):
            sent = {name: own["numbers_up"] * BYTES * who for name, own in server.items()}
            average = server["rolora"]["average_seconds"] * who
            account = books["account_seconds"] * n
            people = "all" if who == n else f"{who:,}"
            lines.append(
                f"| {n:,} | {people} | {_bytes(sent['rolora'])} | {_bytes(sent['fedavg'])}"
                f" | {_time(sent['rolora'] / LINK)} | {_time(sent['fedavg'] / LINK)} | {_time(average)}"
                f" | {_time(account)}, {_bytes(books['account_bytes'] * n)} |"
            )
    return "\n".join(lines)


def _limits_table(scale: Mapping[str, Any]) -> str:
    lines = ["| at N about | what ends | why | what to do |", "|---:|---|---|---|"]
    lines += [
        f"| {_rough(one.clients)} | {one.what} | {one.why} | {one.then} |" for one in limits(scale)
    ]
    return "\n".join([*_too_few(scale), "", *lines])


def _too_few(scale: Mapping[str, Any]) -> Iterator[str]:
    """The other end: where clients are too few for their samples."""
    each = [row for row in scale["rows"] if row["kind"] == "each"]
    lost = [row["clients"] for row in each if row["median"] is None]
    enough = [row["clients"] for row in each if row["median"] is not None]
    if lost and enough:
        samples, d, kappa = each[0]["samples"], each[0]["d"], scale["setting"]["kappa"]
        q = mean_square_rate.noise_ratio(d, max(lost), samples)
        yield (
            f"At the lower end samples are too few for the step before anything else breaks: with"
            f" {samples} samples a client and d = {d:,}, the angle does not get to ε with {max(lost):,}"
            f" clients and does with {min(enough):,}. At κ = {kappa} no number of rounds makes up for it:"
            f" there the noise ratio q (theory.md §6) is {q:.3g}, and the angle shrinks only for κ below"
            f" 2/(1 + q) = {mean_square_rate.threshold_kappa(q):.2g}. A smaller step gets there, in rounds"
            f" that grow as 1 + q."
        )


def _rough(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.0f}"


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} EB"


def _time(seconds: float) -> str:
    if seconds < 1e-3:
        return "< 1 ms"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 120:
        return f"{float(f'{seconds:.2g}'):g} s"
    for size, unit, until in ((60, "min", 7200), (3600, "h", 2 * DAY), (DAY, "days", inf)):
        if seconds < until:
            return f"{float(f'{seconds / size:.2g}'):,.4g} {unit}"
    return "for ever"


def main() -> int:
    """Write the page."""
    files.write(PAGE, filled(PAGE.read_text(encoding="utf-8"), measured()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
