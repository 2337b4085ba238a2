"""The paper's claims on language models, decided from finished runs; importable without torch.

Where no runs are at hand, or runs that cannot be compared, a claim stays open with the command that would
make them. The controls use the same runs, or made-up ones, with a lead planted in them.
"""

from collections.abc import Callable, Sequence
from functools import update_wrapper
from inspect import Signature, signature
from math import inf
from typing import Any

import numpy as np

from llm_validation.claims import planted
from llm_validation.claims.question import NAMES, USUAL, Leads, Question, told
from llm_validation.paper.presets import task_of
from llm_validation.paper.published import cells
from llm_validation.paper.records import Record, by_seed, from_folders, from_paper
from verification.claim import PAPER, Claim, Evidence, Mark, Plot, Series, Verdict, claim
from verification.finding import Rule
from verification.names import one_of


class OverSeeds(Rule):
    """Samples count seeds: a seed is one run of every method and task that is compared."""

    each = "seeds"


RULE = OverSeeds(alpha=0.05, number="+.2f", unit=" points")
"""An empirical study, not a simulation: 5 % error probability of all intervals of one claim together."""
LARGE, LLAMA = "roberta-large", "llama-2-7b-hf"
GLUE = ("sst2", "qnli", "mnli", "qqp", "rte")
COMMONSENSE = tuple(dict.fromkeys(task_of(c) for c in cells() if c.table == "commonsense"))
PUBLISHED = (3, 20, 50)
"""Numbers of clients with published cells at rank 4."""
SHOWN = {
    "fedavg": NAMES["fedavg"],
    "ffa": NAMES["ffa"],
    "flexlora": "FlexLoRA",
    "rolora": NAMES["rolora"],
}
"""Methods of the tables: those that are compared, and others where there are numbers of them."""
FEW, MANY = PUBLISHED[0], PUBLISHED[-1]
ASSUMPTIONS = (
    "runs that differ in nothing but method, learning rate, seed and machine, by their manifests: one grid of"
    " learning rates, one optimiser and head policy for all methods",
    "20 local steps a round where nothing else is said, and equal numbers of samples",
)
Ask = Callable[..., Question]
"""`ask(*, name=default, …)`: what is asked at the user's parameters."""
RUNS = ("own", "planted", "exchanged")
"""Finished runs as they are; with a lead of RoLoRA planted in them; with that, and names exchanged."""
CONTROLS: dict[str, Any] = {
    "mutant": {"runs": "exchanged"},
    "says": "runs in which RoLoRA leads by a tenth more than the interval's half-width, with its name and the"
    " first rival's exchanged",
    "positive": {"runs": "planted"},
    "positive_says": "runs in which RoLoRA leads by a tenth more than the interval's half-width",
}


def at(
    clients: int = MANY, rank: int = 4, local_steps: int = 20, modules: Sequence[str] = ()
) -> dict[str, Any]:
    """The paper's setting of a run on GLUE, with equal shares of the data."""
    other = {"local_steps": local_steps, "target_modules": list(modules)}
    return {"clients": clients, "rank": rank, **USUAL, **other}


def asked(
    id: str,
    title: str,
    *,
    statement: str,
    latex: str,
    order: int,
    assumptions: tuple[str, ...] = (),
    expected: Verdict = Verdict.SUPPORTED,
    note: str = "",
) -> Callable[[Ask], Claim]:
    """Make a claim of the function that says what is asked of the user's finished runs.

    The claim has the function's parameters and two more: `lead`, the points by which RoLoRA is demanded to be
    ahead, and `runs`, one of `RUNS`. Fields as in `Claim`.

    Args:
        assumptions: beside `ASSUMPTIONS`.
        note: what a reader of the finding should know, "" for nothing more.
    """

    def make(ask: Ask) -> Claim:
        def check(evidence: Evidence, *, lead: float = 0.0, runs: str = "own", **own: Any) -> None:
            from_runs(evidence, ask(**own), lead=lead, runs=runs)
            evidence.note(*[note] * bool(note))

        first, *both, _ = signature(check).parameters.values()
        parameters = [first, *signature(ask).parameters.values(), *both]
        check.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        stated = claim(
            id,
            title,
            statement=statement,
            latex=latex,
            source=f"{PAPER}, experiments",
            section="language-models",
            assumptions=(*ASSUMPTIONS, *assumptions),
            expected=expected,
            confirms=Verdict.SUPPORTED,
            order=order,
            **CONTROLS,
        )
        return stated(update_wrapper(check, ask))

    return make


def from_runs(evidence: Evidence, question: Question, *, lead: float, runs: str) -> None:
    """Decide from the user's finished runs.

    Args:
        evidence: gathers what is found.
        question: what is compared.
        lead: points demanded of every lead.
        runs: one of `RUNS`.

    Raises:
        ValueError: on a demand that is negative or not finite, or unknown `runs`.
    """
    records, faults = from_folders(evidence.budget.results_dir)
    if runs != "own" and (faults or question.obstacle(records)):
        records, faults = planted.made_up(question, evidence.rng("made up")), []
    how = {"command": planted.command(question, evidence.id), "cost": planted.cost(question)}
    decide(evidence, question, records, faults, lead=lead, runs=runs, **how)
    evidence.note(
        "The paper names neither optimiser nor head policy; every run records its own, and a comparison"
        " sweeps the same grid of learning rates for every method."
    )
    rows, axis = _table(question, records), question.axis
    evidence.table(
        rows, _plot(axis) if all(isinstance(row[axis], (int, float)) for row in rows) else None
    )


def decide(
    evidence: Evidence,
    question: Question,
    records: Sequence[Record],
    faults: Sequence[str],
    *,
    lead: float,
    runs: str,
    command: str,
    cost: str,
) -> None:
    """Every lead exceeds what is demanded, as `RULE` judges it.

    Args:
        evidence: gathers what is found.
        question: what is compared.
        records: finished runs.
        faults: what keeps them from being trusted.
        lead: points by which RoLoRA is said to be ahead at least.
        runs: one of `RUNS`.
        command, cost: of runs that would decide.

    Raises:
        ValueError: on a demand that is negative or not finite, or unknown `runs`.
    """
    require_demand(lead, runs)
    if missing := next(iter(faults), "") or question.obstacle(records):
        evidence.not_run(missing, command=command, cost=cost)
        return
    if runs != "own":
        planted.require_noticed(question, records)
        records = planted.planted(question, records, lead, RULE.alpha)
    if runs == "exchanged":
        records = planted.exchanged(question, records)
    n = judged(evidence, question.leads(records), lead, RULE)
    evidence.method(
        f"{question.model}, {', '.join(question.tasks)}; {'; '.join(map(told, question.settings))}; paired"
        f" differences over {n} seeds, Student intervals with error probability {RULE.alpha:g} together"
    )
    evidence.record(trials=n, seed=None)


def judged(evidence: Evidence, leads: Leads, lead: float, rule: Rule) -> int:
    """Have a rule judge that every lead exceeds what is demanded. Returns the fewest seeds of one."""
    evidence.judge(rule)
    for quantity, found in leads.items():
        evidence.mean(
            quantity,
            np.array(list(found.values())),
            at_least=lead,
            certify=True,
            why="points of accuracy, mean of paired differences over seeds; the theory value is the"
            " lead that the statement demands",
        )
    return min(map(len, leads.values()))


def require_demand(lead: float, runs: str) -> None:
    """Check what is demanded of which runs.

    Raises:
        ValueError: on a demand that is negative or not finite, or unknown `runs`.
    """
    if not 0.0 <= lead < inf:
        raise ValueError(f"lead must be finite and at least 0, got {lead}")
    one_of("runs", runs, RUNS)


def require_setting(rank: int, *clients: int) -> None:
    """Check what runs are asked for.

    Raises:
        ValueError: on a rank below 1, or numbers of clients that are below 1 or do not grow.
    """
    if rank < 1:
        raise ValueError(f"rank must be at least 1, got {rank}")
    if list(clients) != sorted({n for n in clients if n >= 1}):
        raise ValueError(
            f"clients must be growing and at least 1, got {', '.join(map(str, clients))}"
        )


def _table(question: Question, records: Sequence[Record]) -> list[dict[str, object]]:
    """Published means beside ours, by method and setting, or by task at the only setting."""
    sources = {
        name: [r for r in own if question.of_model(r)]
        for name, own in (("published", from_paper()), ("ours", records))
    }
    shown, axis = question.shown or question.settings, question.axis
    by_task = [(task, (task,), setting) for setting in shown for task in question.tasks]
    by_setting = [(setting.get(axis), question.tasks, setting) for setting in shown]
    rows: list[dict[str, object]] = []
    for method, label in SHOWN.items():
        for x, tasks, setting in by_task if axis == "task" else by_setting:
            means = {s: _mean(by_seed(own, method, setting, tasks)) for s, own in sources.items()}
            if method in question.methods or not np.isnan([*means.values()]).all():
                place = {"method": label, axis: ", ".join(x) if isinstance(x, list) else x}
                rows.append(place | means)
    return rows


def _mean(found: dict[int, float]) -> float:
    return float(np.mean(list(found.values()))) if found else float("nan")


def _plot(axis: str) -> Plot:
    return Plot(
        x=axis,
        series=(
            Series("published", "published", Mark.DASHED),
            Series("ours", "our runs", Mark.POINTS),
        ),
        xlabel=axis.replace("_", " "),
        ylabel="mean accuracy (%)",
        caption="Published mean accuracies (dashed, from the cells, of which GLUE's at 3 and 20 clients are"
        " second-hand) and the means of our finished runs (points, where there are any). They differ where"
        " optimiser, head or learning rate do.",
        group="method",
    )
