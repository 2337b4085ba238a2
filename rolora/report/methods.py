"""Tables of the methods and of the conformance suite's cases, for the site: computed, never typed."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from federated_lora import (
    Adapter,
    ClientFactors,
    Factor,
    Method,
    aggregate,
    method_named,
    method_names,
)
from federated_lora.merged import numbers
from federated_lora.testing import CASES

MEASURED = Path(__file__).with_name("methods.json")
"""By `benchmarks.method_table`."""
NOTHING = 1e-12
"""Shares of the start below it are rounding."""
HARDSHIPS = ("targets", "local steps", "covariates", "labels", "privacy", "participation")
"""Of claim method-floors."""
SETTLED_AT_NOTHING, MOVING = 1e-6, 0.02
"""Excess that is none there, and the change in the last half of a run from which on it is still moving."""
SHAPE, CLIENTS, ROUNDS = (768, 8, 768), 10, 10
"""A square matrix of RoBERTa-base at rank 8."""


def sent(method: Method) -> tuple[float, float]:
    """Numbers a client sends and receives a round for one such matrix, the mean of the first ten rounds."""
    d_in, rank, d_out = SHAPE
    draw = np.random.default_rng(0).standard_normal
    server = Adapter(draw((d_in, rank)), draw((rank, d_out)))
    up = down = 0
    for t in range(1, ROUNDS + 1):
        trained = method.trainable(t) | method.personal
        sizes = {Factor.A: (d_in, rank), Factor.B: (rank, d_out)}
        stacks = {
            str(f): server.factor(f) + draw((CLIENTS, *sizes[f])) for f in sorted(trained)
        }  # fmt: skip
        made = aggregate(method, server, ClientFactors(**stacks), None, t)
        up += method.traffic([server.shape], t).up
        down += sum(
            server.shape.numbers(f)
            for f in Factor
            if made.adapter.factor(f) is not server.factor(f)
        )
        down += 0 if made.merged is None else numbers(made.merged, server.shape)
        server = made.adapter
    return up / ROUNDS, down / ROUNDS


def methods_table() -> str:
    """A Markdown table with a row per method."""
    d_in, rank, d_out = SHAPE
    one = rank * (d_in + d_out)
    lines = [
        f"| method | `--method` | the model is the clients' mean | sent up | sent down ({CLIENTS} clients)"
        " | W0 | stays with a client | ranks | server's time | rounds | left | privacy floor |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    measured = json.loads(MEASURED.read_text("utf-8"))
    known = measured["rows"]
    for name in method_names():
        method = method_named(name, ROUNDS)
        up, down = (f"{value / one:.3g}" for value in sent(method))
        kept = " and ".join(sorted(method.personal)) or "nothing"
        changed = "changes" if method.merges else "stays"
        ranks = "any" if method.mixed_ranks else "one"
        row = known.get(name, {})
        cells = [_cell(row.get(column)) for column in ("cost", "rounds", "floor", "private")]
        if row.get("private") is not None:
            cells[-1] = f"{row['private']:.3g} ± {row['private_error']:.1g}"
        lines.append(
            f"| {method.label} | `{name}` | {method.average} | {up} | {down} | {changed} | {kept} | {ranks}"
            f" | {' | '.join(cells)} |"
        )
    return "\n".join([*lines, *_at_an_epsilon(measured)])


def _at_an_epsilon(measured: dict[str, Any]) -> list[str]:
    """What the privacy floor comes to at a real ε, a sentence; nothing where that was not measured."""
    told = measured.get("private")
    if told is None:
        return []
    squared = told["multiplier"] ** 2
    left = {
        name: row["private"] * squared for name, row in measured["rows"].items() if row["private"]
    }
    least, most = (pick(left, key=left.__getitem__) for pick in (min, max))
    each = ", ".join(f"`{name}` {left[name]:.2g}" for name in (least, "rolora", "fedavg", most))
    return [
        "",
        f"The privacy floor at a real ε: ε = {told['epsilon']:g} at δ = {told['delta']:g} over"
        f" {told['rounds']} rounds takes σ = {told['multiplier']:.3g} (Opacus), so the clients' noise would"
        f" leave {each} times the start's excess risk, were it linear up to there; above 1 nothing is"
        f" learned. With N clients it is {CLIENTS}/N of it: a tenth of the start for RoLoRA at N ="
        f" {10 * CLIENTS * left['rolora']:.2g}.",
    ]


def _cell(value: float | None) -> str:
    """Two digits; a dash for what was not measured, or does not happen."""
    if value is None:
        return "–"
    return "0" if abs(value) < NOTHING else f"{value:.2g}"


def floors_table(csv_file: Path) -> str:
    """A Markdown table of the excess each method settles at, from the committed table of that figure."""
    with csv_file.open(encoding="utf-8", newline="") as file:
        rows = {(row["method"], row["hardship"]): row for row in csv.DictReader(file)}
    lines = ["| method | " + " | ".join(HARDSHIPS) + " |", "|---|" + "---|" * len(HARDSHIPS)]
    for name in method_names():
        key = name.split(":")[0]
        cells = [_settled(rows.get((key, hardship))) for hardship in HARDSHIPS]
        lines.append(f"| {method_named(name, ROUNDS).label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _settled(row: dict[str, str] | None) -> str:
    """The excess in the end: * by a closed form, ↓ where the last half of the run changed it by over 2 %."""
    if row is None:
        return "–"
    if row["kind"] == "diverges":
        return "diverges"
    if row["kind"] == "closed form":
        return f"{float(row['stated']):.3g} *"
    excess, before = float(row["excess"]), float(row["halfway"])
    if excess <= SETTLED_AT_NOTHING:
        return "0"
    random = row["low"] != row["high"]
    moving = not random and abs(before - excess) > MOVING * excess
    return f"{excess:.2g}" + (" ↓" if moving and before > excess else " ↑" if moving else "")


def cases_table() -> str:
    """A Markdown table with a row per case of the conformance suite."""
    lines = ["| case | asks | defect |", "|---|---|---|"]
    lines += [f"| `{one.name}` | {one.says} | {one.defect or ''} |" for one in CASES]
    return "\n".join(lines)
