"""The paper's claims on language models, decided from finished runs; importable without torch.

Where no runs are at hand a claim stays open with the command that would make them. The decision is a
function of the accuracies alone, so it can be fed the published numbers: that is how the controls show
that it can refute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf

import numpy as np

from llm_validation.paper.records import Record, by_seed, from_folders, from_paper
from verification.claim import PAPER
from verification.evidence import Evidence
from verification.finding import Mark, Plot, Rule, Series

RULE = Rule(alpha=0.05, number="+.2f", unit=" points")
"""An empirical study, not a simulation: 5 % error probability of all intervals of one claim together."""
LEAST_SEEDS = 3
GLUE = ("sst2", "qnli", "mnli", "qqp", "rte")
NAMES = {"fedavg": "FedAvg-LoRA", "ffa": "FFA-LoRA", "rolora": "RoLoRA"}
RIVALS = ("fedavg", "ffa")
PUBLISHED = (3, 20, 50)
"""Numbers of clients with published cells, and presets, at rank 4."""
FEW, MANY = PUBLISHED[0], PUBLISHED[-1]
OVERSTATED = 1.05
"""The controls on the published numbers demand leads this many times as large as the published ones."""
SOURCE = f"{PAPER}, experiments"
ASSUMPTIONS = (
    "the same grid of learning rates, seeds, splits, minibatches and samples for every method",
    "policies of optimiser and head as the manifest of each run records them",
)
SAYS = f"the published numbers, with leads {OVERSTATED - 1:.0%} larger than theirs demanded"

Scores = dict[int, float]
"""Accuracy, or a difference of accuracies, in points by seed."""
Leads = dict[str, Scores]
"""How far RoLoRA is ahead, by what is compared in words."""


def decide(
    evidence: Evidence,
    leads: Leads,
    demands: Mapping[str, float],
    *,
    method: str,
    missing: str,
    command: str,
) -> None:
    """Every lead exceeds its demand, as `RULE` judges it.

    Args:
        evidence: gathers what is found.
        leads: what is compared; each needs `LEAST_SEEDS` seeds.
        demands: points by which RoLoRA is said to be ahead at least, by the same words.
        method: how the numbers were made.
        missing, command: what is needed and what makes it, said where nothing can be decided.
    """
    n = min(map(len, leads.values()))
    if n < LEAST_SEEDS:
        evidence.not_run(missing, command=command, method="no verdict: results are missing")
        return
    evidence.judge(RULE)
    for quantity, found in leads.items():
        evidence.mean(
            quantity,
            np.array(list(found.values())),
            at_least=demands[quantity],
            certify=True,
            why="points of accuracy, mean of paired differences over seeds; the theory value is the"
            " lead that the statement demands",
        )
    evidence.method(
        f"{method}; paired differences over {n} seeds, Student intervals with error probability"
        f" {RULE.alpha:g} together"
    )
    evidence.record(trials=n, seed=None)


def on_large(
    evidence: Evidence,
    leads_of: Callable[[Sequence[Record]], Leads],
    lead: float,
    overstated: float,
    *,
    setting: str,
    presets: str,
    loop: str = "",
) -> None:
    """Decide from the finished runs on RoBERTa-Large, or from the published numbers.

    Args:
        evidence: gathers what is found.
        leads_of: what is compared.
        lead: points demanded of every lead.
        overstated: 0 for finished runs; else the published numbers are judged, and every lead is demanded
            to be larger by this multiple of its published size.
        setting: of the runs, in words.
        presets: names of the presets that would make them, in shell variables; "" if there are none.
        loop: over what else beside tasks, methods and seeds.

    Raises:
        ValueError: on a demand that is negative or not finite.
    """
    require_demands(lead=lead, overstated=overstated)
    records = from_paper() if overstated else _large(from_folders(evidence.budget.results_dir))
    leads = leads_of(records)
    demands = {
        quantity: lead + (overstated * _mean(found) if overstated else 0.0)
        for quantity, found in leads.items()
    }
    missing, command = _missing(evidence.id, setting, presets, loop)
    method = f"RoBERTa-Large, five GLUE tasks, {setting}"
    decide(evidence, leads, demands, method=method, missing=missing, command=command)
    evidence.note(
        "The paper names neither optimiser nor head policy; every run records its own, and a comparison"
        " sweeps the same grid of learning rates for every method."
    )
    evidence.table(_table(records), PLOT)


def leads(
    records: Sequence[Record], clients: int, rank: int = 4, tasks: Sequence[str] = GLUE
) -> Leads:
    """RoLoRA's lead over each rival."""
    ours = by_seed(records, "rolora", clients, rank, tasks)
    return {
        f"RoLoRA minus {NAMES[rival]}, {clients} clients, rank {rank}": difference(
            ours, by_seed(records, rival, clients, rank, tasks)
        )
        for rival in RIVALS
    }


def changes(
    records: Sequence[Record], few: int, many: int, rank: int = 4, tasks: Sequence[str] = GLUE
) -> Leads:
    """How much less RoLoRA loses than each rival from few clients to many."""

    def change(method: str) -> Scores:
        later, earlier = (by_seed(records, method, n, rank, tasks) for n in (many, few))
        return difference(later, earlier)

    return {
        f"change from {few} to {many} clients, RoLoRA minus {NAMES[rival]}": difference(
            change("rolora"), change(rival)
        )
        for rival in RIVALS
    }


def difference(ahead: Scores, behind: Scores) -> Scores:
    """Paired difference, over the seeds both have."""
    return {seed: ahead[seed] - behind[seed] for seed in ahead if seed in behind}


def require_demands(**demands: float) -> None:
    """Check demanded leads. Raises ValueError on one that is negative or not finite."""
    for name, value in demands.items():
        if not 0.0 <= value < inf:
            raise ValueError(f"{name} must be finite and at least 0, got {value}")


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


def _missing(claim_id: str, setting: str, presets: str, loop: str) -> tuple[str, str]:
    """What is missing, and the commands that would make it and check the claim."""
    verify = f"rolora verify --only {claim_id} --results-dir results/llm"
    if not presets:
        return (
            f"finished runs on RoBERTa-Large at {setting}, of {', '.join(NAMES)} on {', '.join(GLUE)} with"
            " the same seeds, three at least: begin with a preset of `rolora llm presets`, and set"
            " --clients, --rank and --rounds",
            verify,
        )
    loops = [f"for t in {' '.join(GLUE)}", f"for m in {' '.join(NAMES)}", "for s in 1 2 3"]
    loops += [loop] if loop else []
    head = " ".join(f"{loop}; do" for loop in loops)
    tail = " done;" * len(loops)
    return (
        "finished runs on RoBERTa-Large (a GPU and the model are needed)",
        f"{head} rolora llm run --preset {presets} --seed $s --out results/llm/{presets}-$s;{tail} {verify}",
    )


def _large(records: Iterable[Record]) -> list[Record]:
    return [r for r in records if "roberta-large" in r.model.lower()]


def _mean(found: Scores) -> float:
    return float(np.mean(list(found.values()))) if found else float("nan")


def _table(records: Sequence[Record]) -> list[dict[str, object]]:
    """Published averages beside our means, by clients and method, at rank 4."""
    published = from_paper((1,))
    return [
        {
            "method": name,
            "clients": clients,
            "published": _mean(by_seed(published, method, clients, 4, GLUE)),
            "ours": _mean(by_seed(records, method, clients, 4, GLUE)),
        }
        for method, name in NAMES.items()
        for clients in PUBLISHED
    ]


PLOT = Plot(
    x="clients",
    series=(
        Series("published", "published", Mark.DASHED),
        Series("ours", "our runs", Mark.POINTS),
    ),
    xlabel="clients",
    ylabel="mean GLUE accuracy (%)",
    caption="Published mean accuracies of RoBERTa-Large on five GLUE tasks (dashed, from the cells, of which"
    " those at 3 and 20 clients are second-hand) and the means of our finished runs (points, where there are"
    " any). They differ where optimiser, head or learning rate do.",
    group="method",
)
