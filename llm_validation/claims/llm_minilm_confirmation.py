"""Claim `llm-minilm-confirmation`: the fall from 3 to 20 clients, and the lead at 20, on a small encoder."""

from collections.abc import Mapping, Sequence
from typing import Any

from llm_validation.claims import decision
from llm_validation.claims.question import NAMES, Question
from llm_validation.paper.records import Record, by_seed, from_study
from llm_validation.study import confirm
from llm_validation.study.cell import unlearned
from verification.claim import OURS, Evidence, Plot, Series, Verdict, claim
from verification.names import one_of

MODEL = "all-minilm-l6-v2"
FEW, MANY = confirm.CLIENTS
ENDS = tuple({"clients": clients, "rank": 4} for clients in confirm.CLIENTS)
PICTURED = "sst2"
"""The task of the picture; the other one is in the table beside it."""
COMMAND = (
    "python -m llm_validation.study.confirm --data-dir DIR; cp results/minilm/minilm.*"
    " llm_validation/results; rolora verify --only llm-minilm-confirmation"
)

COST = "120 runs of one or two minutes of a CPU core"


@claim(
    "llm-minilm-confirmation",
    "Scaling with clients of the small encoder",
    statement="Of the small encoder MiniLM on SST-2 and RTE: from 3 to 20 clients at a fixed number of"
    " samples RoLoRA's accuracy falls less than FedAvg-LoRA's and FFA-LoRA's, and at 20 clients it is"
    " highest.",
    latex=r"\mathrm{acc}_{20}-\mathrm{acc}_{3}\ \mathrm{and}\ \mathrm{acc}_{20}"
    r"\ \mathrm{are\ largest\ for\ RoLoRA}",
    source=OURS,
    section="language-models",
    assumptions=decision.ASSUMPTIONS[:1],
    expected=Verdict.SUPPORTED,
    **decision.CONTROLS,
    order=310,
)
def check(
    evidence: Evidence,
    *,
    tasks: tuple[str, ...] = confirm.TASKS,
    lead: float = 0.0,
    runs: str = "own",
) -> None:
    """Compare the committed study's runs, seed by seed.

    Args:
        evidence: gathers what is found.
        tasks: whose mean is compared.
        lead: points by which RoLoRA is demanded to be ahead, or to fall less.
        runs: `own` for the study's; `planted` and `exchanged` are the controls.
    """
    if not tasks or len(set(tasks)) < len(tasks):
        raise ValueError(f"tasks must be different and at least one, got {tasks}")
    for task in tasks:
        one_of("tasks", task, confirm.TASKS)
    records, faults = from_study()
    question = Question(MODEL, tasks, ahead=ENDS[1:], falls=ENDS)
    how = {"command": COMMAND, "cost": COST}
    decision.decide(evidence, question, records, faults, lead=lead, runs=runs, **how)
    rows = _rows(records)
    evidence.note(
        *_by_task(rows),
        "A small encoder, few samples and short texts: what is seen here bounds no claim about"
        " RoBERTa-Large.",
    )
    evidence.table([row for row in rows if row["task"] == PICTURED], PLOT)
    evidence.extra_table("tasks", rows)


PLOT = Plot(
    x="clients",
    series=(Series("accuracy", "mean over seeds", low="lowest", high="highest"),),
    xlabel="clients",
    ylabel="validation accuracy on SST-2 (%)",
    caption="MiniLM on SST-2 after the same number of training samples, split over 3 or 20 clients; bands run"
    " from the lowest to the highest seed. More clients mean fewer rounds, so every method falls; the claim"
    " is about who falls least. The notes and the table have RTE too.",
    group="method",
)


def _by_task(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What every task alone says: its means, and whether it was learned at all."""
    notes = []
    for task in confirm.TASKS:
        own = [row for row in rows if row["task"] == task and row["seeds"]]
        if not own:
            continue
        means = {(row["method"], row["clients"]): row["accuracy"] for row in own}
        listed = "; ".join(
            f"{name} {means[name, FEW]:.1f} % → {means[name, MANY]:.1f} %"
            for name in NAMES.values()
            if {(name, FEW), (name, MANY)} <= means.keys()
        )
        learned = unlearned(task, max(means.values()))
        notes.append(f"{task}, {FEW} → {MANY} clients: {listed}.{learned}")
    return notes


def _rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    rows = []
    for task in (*confirm.TASKS, "mean"):
        tasks = confirm.TASKS if task == "mean" else (task,)
        for method, name in NAMES.items():
            for clients in confirm.CLIENTS:
                own = list(by_seed(records, method, {"clients": clients}, tasks).values())
                row = {"method": name, "task": task, "clients": clients}
                row["accuracy"] = sum(own) / len(own) if own else float("nan")
                row["lowest"] = min(own, default=float("nan"))
                row["highest"] = max(own, default=float("nan"))
                rows.append(row | {"seeds": len(own)})
    return rows
