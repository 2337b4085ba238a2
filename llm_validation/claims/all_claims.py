"""The paper's claims on language models, decided from finished runs; importable without torch.

Where no runs are at hand a claim comes out NOT_CHECKED with the command that would make them. The
decision is a function of the accuracies alone, so it can be fed the published numbers: that is how the
controls show that it can refute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from llm_validation.claims.decision import Lead, decide, difference
from llm_validation.paper.records import Record, by_seed, from_folders, from_paper, from_study
from verification.budget import Budget
from verification.claim import PAPER
from verification.claim import OldClaim as Claim
from verification.finding import Finding, Mark, Plot, Series, Table
from verification.verdict import Verdict

GLUE = ("sst2", "qnli", "mnli", "qqp", "rte")
NAMES = {"fedavg": "FedAvg-LoRA", "ffa": "FFA-LoRA", "rolora": "RoLoRA"}
RIVALS = ("fedavg", "ffa")
MANY = 50
OVERSTATED = 1.05
"""The controls on the published numbers demand leads this many times as large as the published ones."""
DEMANDED = 10.0
"""Points that the control on the small encoder demands, about what is published for RoBERTa-Large. Fixed
before any lead in the study was known."""
STUDY_TASKS = ("sst2", "rte")
STUDY_CLIENTS = (3, 20)
PICTURED = "sst2"
"""The task of the picture; the other one is in the table beside it."""
LARGER_CLASS = {"sst2": 100 * 444 / 872, "rte": 100 * 146 / 277}
"""Per cent of the larger class in GLUE's validation splits: what a model reaches that learned nothing."""
LEARNED = 5.0
"""Points above the larger class from which on a task counts as learned."""
STUDY_COMMAND = "python -m llm_validation.claims.confirm --data-dir ../shared/data/glue"


def claims() -> tuple[Claim, ...]:
    """Every claim on language models, in the order of the report."""
    return (RANKING, SCALING, LOW_RANK, MINILM)


def ranking(records: Sequence[Record], times: float = 0.0) -> Finding:
    """Decide: at 50 clients and rank 4, RoLoRA's mean GLUE accuracy exceeds both rivals'."""
    leads = _overstated(_ranking_leads, records, times)
    return decide(
        leads,
        method="RoBERTa-Large, five GLUE tasks, 50 clients, rank 4",
        missing=_missing("llm-ranking", "glue-$t-50-$m"),
        table=_table(records),
        plot=_PLOT,
        notes=(_POLICY,),
    )


def scaling(records: Sequence[Record], times: float = 0.0) -> Finding:
    """Decide: from 3 to 50 clients RoLoRA's mean GLUE accuracy falls less than both rivals'."""
    leads = _overstated(_scaling_leads, records, times)
    return decide(
        leads,
        method="RoBERTa-Large, five GLUE tasks, 3 against 50 clients, rank 4, equal numbers of samples",
        missing=_missing("llm-scaling-with-clients", "glue-$t-$n-$m", counts=(3, MANY)),
        table=_table(records),
        plot=_PLOT,
        notes=(_POLICY,),
    )


def low_rank(records: Sequence[Record], times: float = 0.0) -> Finding:
    """Decide: at 50 clients RoLoRA is ahead of both rivals, at rank 8 and at rank 4."""
    leads = _overstated(_low_rank_leads, records, times)
    return decide(
        leads,
        method="RoBERTa-Large, five GLUE tasks, 50 clients, ranks 4 and 8",
        missing=_missing("llm-low-rank", "glue-${r}$t-50-$m", prefixes=("", "rank8-")),
        table=_table(records),
        plot=_PLOT,
        notes=(_POLICY,),
    )


def minilm(records: Sequence[Record], by: float = 0.0) -> Finding:
    """Decide the scaling statement on MiniLM: the fall from 3 to 20 clients, and the lead at 20."""
    few, many = STUDY_CLIENTS
    leads = [_scaling_lead(records, rival, few, many, STUDY_TASKS) for rival in RIVALS]
    leads += [_lead(records, rival, many, 4, STUDY_TASKS) for rival in RIVALS]
    leads = [replace(lead, by=by) for lead in leads]
    rows = _study_rows(records)
    finding = decide(
        leads,
        method="all-MiniLM-L6-v2, SST-2 and RTE, 3 against 20 clients, equal numbers of samples, one grid"
        " of learning rates chosen per method on held-out training data",
        missing=f"no committed study: run `{STUDY_COMMAND}` and put its minilm.csv and minilm.json into"
        " llm_validation/results/",
        table=Table.from_rows([row for row in rows if row["task"] == PICTURED]),
        plot=_STUDY_PLOT,
        notes=(
            *_by_task(records),
            "A small encoder, few samples and short texts: what is seen here bounds no claim about"
            " RoBERTa-Large.",
        ),
    )
    return replace(finding, extra_tables={"tasks": Table.from_rows(rows)})


def _by_task(records: Sequence[Record]) -> list[str]:
    """What every task alone says: its means, and whether it was learned at all."""
    notes = []
    for task in STUDY_TASKS:
        means = {
            (method, clients): sum(own.values()) / len(own)
            for method in NAMES
            for clients in STUDY_CLIENTS
            if (own := by_seed(records, method, clients, 4, (task,)))
        }
        if not means:
            continue
        few, many = STUDY_CLIENTS
        listed = "; ".join(
            f"{name} {means[method, few]:.1f} % → {means[method, many]:.1f} %"
            for method, name in NAMES.items()
            if (method, few) in means and (method, many) in means
        )
        best, chance = max(means.values()), LARGER_CLASS[task]
        learned = (
            ""
            if best >= chance + LEARNED
            else f" Nothing is learned here: the larger class alone makes {chance:.1f} %, so this task says"
            " nothing for or against the claim."
        )
        notes.append(f"{task}, {few} → {many} clients: {listed}.{learned}")
    return notes


def _ranking_leads(records: Sequence[Record]) -> list[Lead]:
    return [_lead(records, rival, MANY, 4, GLUE) for rival in RIVALS]


def _scaling_leads(records: Sequence[Record]) -> list[Lead]:
    return [_scaling_lead(records, rival, 3, MANY, GLUE) for rival in RIVALS]


def _low_rank_leads(records: Sequence[Record]) -> list[Lead]:
    everything = list(records) + _averages(records)
    at_eight = [_lead(everything, rival, MANY, 8, ("avg",)) for rival in RIVALS]
    return _ranking_leads(records) + at_eight


def _overstated(
    leads_of: Callable[[Sequence[Record]], list[Lead]], records: Sequence[Record], times: float
) -> list[Lead]:
    """The leads in these records, each demanded to be `times` its published size."""
    published = leads_of(from_paper())
    return [
        replace(lead, by=times * float(known.differences().mean()))
        for lead, known in zip(leads_of(records), published, strict=True)
    ]


def _lead(
    records: Iterable[Record], rival: str, clients: int, rank: int, tasks: Sequence[str]
) -> Lead:
    records = list(records)
    return Lead(
        f"RoLoRA minus {NAMES[rival]}, {clients} clients, rank {rank}",
        by_seed(records, "rolora", clients, rank, tasks),
        by_seed(records, rival, clients, rank, tasks),
    )


def _scaling_lead(
    records: Sequence[Record], rival: str, few: int, many: int, tasks: Sequence[str]
) -> Lead:
    def change(method: str) -> dict[int, float]:
        return difference(
            by_seed(records, method, many, 4, tasks), by_seed(records, method, few, 4, tasks)
        )

    return Lead(
        f"change from {few} to {many} clients, RoLoRA minus {NAMES[rival]}",
        change("rolora"),
        change(rival),
    )


def _averages(records: Sequence[Record]) -> list[Record]:
    """Means over the GLUE tasks at rank 8, in the form the paper publishes them."""
    out = []
    for method in NAMES:
        for seed, mean in by_seed(records, method, MANY, 8, GLUE).items():
            out.append(Record("mean over GLUE", "avg", method, MANY, 8, seed, mean))
    return out


def _large(budget: Budget) -> list[Record]:
    """The finished runs on RoBERTa-Large."""
    return [r for r in from_folders(budget.results_dir) if "roberta-large" in r.model.lower()]


def _missing(
    claim_id: str,
    pattern: str,
    counts: Sequence[int] = (),
    prefixes: Sequence[str] = (),
) -> str:
    """The commands that would make the results and check the claim."""
    loops = [f"for t in {' '.join(GLUE)}", f"for m in {' '.join(NAMES)}", "for s in 1 2 3"]
    if counts:
        loops.append(f"for n in {' '.join(map(str, counts))}")
    if prefixes:
        loops.append("for r in " + " ".join(p or "''" for p in prefixes))
    head = " ".join(f"{loop}; do" for loop in loops)
    tail = " done;" * len(loops)
    return (
        "finished runs on RoBERTa-Large (a GPU and the model are needed): "
        f"{head} rolora llm run --preset {pattern} --seed $s --out results/llm/{pattern}-$s;{tail}"
        f" rolora verify --only {claim_id} --results-dir results/llm"
    )


def _table(records: Sequence[Record]) -> Table:
    """Published averages beside our means, by clients and method, at rank 4."""
    rows = []
    for method, name in NAMES.items():
        for clients in (3, 20, 50):
            ours = by_seed(records, method, clients, 4, GLUE)
            paper = by_seed(from_paper((1,)), method, clients, 4, GLUE)
            rows.append(
                {
                    "method": name,
                    "clients": clients,
                    "published": paper.get(1, float("nan")),
                    "ours": sum(ours.values()) / len(ours) if ours else float("nan"),
                }
            )
    return Table.from_rows(rows)


def _study_rows(records: Sequence[Record]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for task in (*STUDY_TASKS, "mean"):
        tasks = STUDY_TASKS if task == "mean" else (task,)
        for method, name in NAMES.items():
            for clients in STUDY_CLIENTS:
                own = list(by_seed(records, method, clients, 4, tasks).values())
                rows.append(
                    {
                        "method": name,
                        "task": task,
                        "clients": clients,
                        "accuracy": sum(own) / len(own) if own else float("nan"),
                        "lowest": min(own, default=float("nan")),
                        "highest": max(own, default=float("nan")),
                        "seeds": len(own),
                    }
                )
    return rows


_POLICY = (
    "The paper names neither optimiser nor head policy; every run records its own, and a comparison"
    " sweeps the same grid of learning rates for every method."
)
_PLOT = Plot(
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
_STUDY_PLOT = Plot(
    x="clients",
    series=(Series("accuracy", "mean over seeds", low="lowest", high="highest"),),
    xlabel="clients",
    ylabel="validation accuracy on SST-2 (%)",
    caption="MiniLM on SST-2 after the same number of training samples, split over 3 or 20 clients; bands run"
    " from the lowest to the highest seed. More clients mean fewer rounds, so every method falls; the claim"
    " is about who falls least. The notes and the table have RTE too.",
    group="method",
)


def _claim(
    claim_id: str,
    title: str,
    statement: str,
    latex: str,
    decided_by: str,
    expected: Verdict = Verdict.SUPPORTED,
) -> Claim:
    def check(budget: Budget) -> Finding:
        records = from_study() if decided_by == "minilm" else _large(budget)
        finding: Finding = globals()[decided_by](records)
        return finding

    def control(budget: Budget) -> Finding:
        if decided_by == "minilm":
            return minilm(from_study(), DEMANDED)
        finding: Finding = globals()[decided_by](from_paper(), OVERSTATED)
        return finding

    return Claim(
        id=claim_id,
        title=title,
        statement=statement,
        latex=latex,
        source=f"{PAPER}, experiments" if decided_by != "minilm" else "ours",
        assumptions=(
            "the same grid of learning rates, seeds, splits, minibatches and samples for every method",
            "policies of optimiser and head as the manifest of each run records them",
        ),
        expected=expected,
        check=check,
        negative_control=control,
        control=(
            f"a lead of {DEMANDED:g} points demanded of the same runs"
            if decided_by == "minilm"
            else f"the published numbers, with leads {OVERSTATED - 1:.0%} larger than theirs demanded"
        ),
    )


RANKING = _claim(
    "llm-ranking",
    "RoLoRA leads on GLUE at 50 clients",
    "RoBERTa-Large, 50 clients, rank 4: RoLoRA's mean accuracy over five GLUE tasks exceeds FedAvg-LoRA's and"
    " FFA-LoRA's.",
    r"\mathrm{acc}_{\mathrm{RoLoRA}} > \max(\mathrm{acc}_{\mathrm{FedAvg}}, \mathrm{acc}_{\mathrm{FFA}})",
    "ranking",
)
SCALING = _claim(
    "llm-scaling-with-clients",
    "RoLoRA loses least as clients grow",
    "RoBERTa-Large, rank 4: from 3 to 50 clients, the number of samples fixed, RoLoRA's mean accuracy over"
    " five GLUE tasks falls less than FedAvg-LoRA's and FFA-LoRA's.",
    r"\mathrm{acc}_{50}-\mathrm{acc}_{3}\ \mathrm{is\ largest\ for\ RoLoRA}",
    "scaling",
)
LOW_RANK = _claim(
    "llm-low-rank",
    "RoLoRA leads at rank 8 and at rank 4",
    "RoBERTa-Large, 50 clients: RoLoRA's mean accuracy over five GLUE tasks exceeds FedAvg-LoRA's"
    " and FFA-LoRA's at rank 8 and at rank 4.",
    r"\mathrm{acc}_{\mathrm{RoLoRA}}(r) > \max(\mathrm{acc}_{\mathrm{FedAvg}}(r),"
    r" \mathrm{acc}_{\mathrm{FFA}}(r)),\ r \in \{4, 8\}",
    "low_rank",
)
MINILM = _claim(
    "llm-minilm-confirmation",
    "The scaling claim on a small encoder",
    "MiniLM on SST-2 and RTE: from 3 to 20 clients at a fixed number of samples RoLoRA's accuracy falls less"
    " than FedAvg-LoRA's and FFA-LoRA's, and at 20 clients it is the highest.",
    r"\mathrm{acc}_{20}-\mathrm{acc}_{3}\ \mathrm{and}\ \mathrm{acc}_{20}"
    r"\ \mathrm{are\ largest\ for\ RoLoRA}",
    "minilm",
    Verdict.NOT_CHECKED,
)
