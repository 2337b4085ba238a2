"""Claim `llm-drift-correction`: RoLoRA with control variates against four rivals, on a small encoder."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from federated_lora import method_named
from llm_validation.claims import decision, planted
from llm_validation.claims.question import Leads, difference
from llm_validation.paper.records import study
from llm_validation.study import drift
from llm_validation.study.cell import MODEL, unlearned
from verification.claim import OURS, Evidence, Verdict, claim
from verification.finding import Comparison, ProofStep
from verification.names import one_of
from verification.statistics import mean_estimate

COMMAND = (
    "python -m llm_validation.study.drift --data-dir DIR; cp results/drift/drift.* llm_validation/results;"
    " rolora verify --only llm-drift-correction"
)
RUNS = len(drift.DESIGN.methods) * (len(drift.DESIGN.rates) + len(drift.DESIGN.seeds))
COST = f"{RUNS} runs of about 35 s of a CPU core"
NOTHING_GAINED = (
    " Nobody gains on the start: the best rates are those that lose least of it, so this tells what drift"
    " costs, not which method learns more."
)
Rows = Sequence[Mapping[str, Any]]
Found = dict[tuple[str, int], dict[int, tuple[float, int]]]
"""By method and rounds: by seed the accuracy in points, and the numbers sent both ways."""


class ByRival(decision.OverSeeds):
    """Some leads hold, others do not: HOLDS_UNDER, and which."""

    def judge(
        self, comparisons: Sequence[Comparison], steps: Sequence[ProofStep] = ()
    ) -> tuple[Verdict | None, str]:
        """As `Rule.judge`, where all leads hold or none does."""
        stands = {
            "ahead": [c.quantity for c in comparisons if c.holds],
            "behind": [c.quantity for c in comparisons if c.violated],
            "open": [c.quantity for c in comparisons if c.undecided],
        }
        if not stands["ahead"] or len(stands["ahead"]) == len(comparisons):
            return super().judge(comparisons, steps)
        said = [f"{words} {', '.join(own)}" for words, own in stands.items() if own]
        return Verdict.HOLDS_UNDER, "; ".join(said)


@claim(
    "llm-drift-correction",
    "Drift correction on the small encoder",
    statement="Of the small encoder MiniLM on SST-2, with labels split by Dirichlet(0.1) over 10 clients:"
    " RoLoRA with control variates is ahead of RoLoRA, of FedAvg-LoRA with and without control variates and"
    " of FFA-LoRA, at equal rounds and at equal numbers sent.",
    latex=r"\mathrm{acc}(\mathrm{RoLoRA\text{-}CV})>\mathrm{acc}(\mathrm{rival})",
    source=OURS,
    section="language-models",
    assumptions=(
        "20 local steps of plain SGD, everybody in every round, the head a frozen linear probe",
        "every method at the learning rate of one grid that is best for it on another seed's held-out data",
    ),
    expected=Verdict.SUPPORTED,
    confirms=Verdict.SUPPORTED,
    **decision.CONTROLS
    | {
        "says": "runs in which RoLoRA with control variates leads by a tenth more than the interval's"
        " half-width, with its name and each rival's exchanged",
    },
    order=311,
)
def check(
    evidence: Evidence,
    *,
    rivals: tuple[str, ...] = drift.RIVALS,
    lead: float = 0.0,
    runs: str = "own",
) -> None:
    """Compare the committed study's runs, seed by seed.

    Args:
        evidence: gathers what is found.
        rivals: whom it is compared with.
        lead: points by which it is demanded to be ahead.
        runs: `own` for the study's; `planted` and `exchanged` are the controls.
    """
    if not rivals or len(set(rivals)) < len(rivals):
        raise ValueError(f"rivals must be different and at least one, got {rivals}")
    for rival in rivals:
        one_of("rivals", rival, drift.RIVALS)
    decision.require_demand(lead, runs)
    rows, _, faults = study("drift")
    found = by_seed(rows)
    missing = next(iter(faults), "") or obstacle(found)
    if missing and runs != "own":
        found, missing = made_up(evidence.rng("made up")), ""
    if missing:
        evidence.not_run(missing, command=COMMAND, cost=COST)
        return
    alpha, leads = decision.RULE.alpha, leads_of(found, rivals)
    if runs != "own":
        up = planted.shortfall(leads.values(), lead, alpha / len(drift.PLACES))
        sign = -1.0 if runs == "exchanged" else 1.0
        leads = {
            name: {seed: sign * (value + up) for seed, value in own.items()}
            for name, own in leads.items()
        }
    evidence.share(len(drift.PLACES))
    n = decision.judged(evidence, leads, lead, ByRival(alpha, "+.2f", " points"))
    evidence.method(
        f"{MODEL}, SST-2, {drift.CLIENTS} clients, Dirichlet(0.1), {drift.ROUNDS} rounds; paired differences"
        f" over {n} seeds, Student intervals with error probability {alpha:g} over all six together"
    )
    evidence.record(trials=n, seed=None)
    means = [_summary(found, rows, method, end) for method, end in found]
    best = max(row["accuracy"] for row in means)
    evidence.note(
        *rates_at_an_edge(means),
        f"The best mean is {best:.1f} %; the start alone, the fitted head, makes {drift.START:.1f} %."
        f"{unlearned('sst2', best)}{NOTHING_GAINED * (best <= drift.START)}",
        "A small encoder and few steps: what is seen here bounds no claim about RoBERTa-Large.",
    )
    evidence.table(means)
    evidence.extra_table("leads", [{"lead": name, **_interval(own)} for name, own in leads.items()])


def by_seed(rows: Rows) -> Found:
    """The runs that count."""
    found: Found = {}
    for row in rows:
        if row["purpose"] == "final" and row["accuracy"]:
            own = found.setdefault((row["method"], int(row["rounds"])), {})
            sent = int(row["numbers_up"]) + int(row["numbers_down"])
            own[int(row["seed"])] = 100.0 * float(row["accuracy"]), sent
    return found


def obstacle(found: Found) -> str:
    """Why these runs cannot answer, "" if they can."""
    seeds, ours = set(drift.DESIGN.seeds), (drift.OURS, drift.ROUNDS)
    for cell in (ours, *((rival, end) for (rival, _), end in drift.PLACES.items())):
        method, end = cell
        if (own := found.get(cell, {})).keys() != seeds:
            return (
                f"the finished study's {len(seeds)} seeds everywhere; {_name(method)} after {end} rounds has"
                f" {len(own.keys() & seeds) or 'none'}"
            )
    for (rival, kind), end in drift.PLACES.items():
        sent = sorted({sent for cell in (ours, (rival, end)) for _, sent in found[cell].values()})
        if "sent" in kind and len(sent) > 1:
            return (
                f"equal numbers sent: {_name(drift.OURS)} after {drift.ROUNDS} rounds and {_name(rival)}"
                f" after {end} have {' and '.join(map(str, sent))}"
            )
    return ""


def leads_of(found: Found, rivals: Iterable[str]) -> Leads:
    """How far `drift.OURS` is ahead at each of the rivals' places."""
    points = {cell: {s: score for s, (score, _) in own.items()} for cell, own in found.items()}
    return {
        f"{_name(drift.OURS)} minus {_name(rival)}, equal {kind}": difference(
            points[drift.OURS, drift.ROUNDS], points[rival, end]
        )
        for (rival, kind), end in drift.PLACES.items()
        if rival in rivals
    }


def made_up(rng: np.random.Generator) -> Found:
    """Runs of equal methods with some spread."""
    cells = [(method, end) for method in drift.DESIGN.methods for end in drift.lengths(method)]
    return {
        cell: {seed: (80.0 + float(rng.standard_normal()), 1) for seed in drift.DESIGN.seeds}
        for cell in cells
    }


def rates_at_an_edge(means: Rows) -> list[str]:
    """Which methods' best rate is the grid's smallest or largest."""
    edges = {f"{rate:g}" for rate in (min(drift.DESIGN.rates), max(drift.DESIGN.rates))}
    at = [
        f"{row['method']} after {row['rounds']} rounds ({row['rate']})"
        for row in means
        if row["rate"] in edges
    ]
    return [f"Best rates at an end of the grid: {'; '.join(at)}."] if at else []


def _summary(found: Found, rows: Rows, method: str, end: int) -> dict[str, Any]:
    scores, sent = zip(*found[method, end].values(), strict=True)
    rates = {
        float(row["learning_rate"])
        for row in rows
        if (row["method"], row["rounds"], row["purpose"]) == (method, str(end), "final")
    }
    return {
        "method": _name(method),
        "rounds": end,
        "accuracy": float(np.mean(scores)),
        "lowest": min(scores),
        "highest": max(scores),
        "numbers": max(sent),
        "rate": ", ".join(f"{rate:g}" for rate in sorted(rates)),
    }


def _interval(lead: Mapping[int, float]) -> dict[str, float]:
    return mean_estimate(np.array(list(lead.values())), 0.05 / len(drift.PLACES)).columns()


def _name(method: str) -> str:
    return method_named(method, drift.ROUNDS).label
