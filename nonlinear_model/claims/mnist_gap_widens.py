"""Claim `mnist-gap-widens`: RoLoRA's lead grows from 5 clients to 10, and where that is so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from federation.learning_rates import Sweep
from nonlinear_model.claims import regime_map, study
from verification.claim import PAPER, claim
from verification.evidence import Evidence
from verification.finding import Comparison, Mark, Plot, Series
from verification.paired_study import paired
from verification.statistics import mean_estimate
from verification.verdict import Verdict

FEW, MANY = study.CLIENTS
OTHERS = ("fedavg", "ffa")


@claim(
    "mnist-gap-widens",
    "RoLoRA's lead from 5 to 10 clients",
    statement="RoLoRA's lead in final accuracy over FedAvg-LoRA, and over FFA-LoRA, is larger at 10 clients"
    " with one label each than at 5 clients with two.",
    latex=r"\mathrm{lead}_{N=10}>\mathrm{lead}_{N=5}",
    source=f"{PAPER}, two-layer network on MNIST",
    section="network",
    assumptions=(
        "two-layer network, images split by label over 5 and 10 clients",
        "equal numbers of rounds",
        study.CHOSEN,
        study.COUNTS,
    ),
    expected=Verdict.SUPPORTED,
    mutant={"times": 2.0},
    says="the lead at 10 clients is at least twice the lead at 5",
    order=230,
)
def check(
    evidence: Evidence,
    *,
    local_steps: int = study.LOCAL_STEPS,
    seeds: int = 0,
    times: float = 1.0,
) -> None:
    """Compare RoLoRA's lead at 10 clients with its lead at 5, seed by seed, here and on the map.

    Args:
        evidence: gathers what is found.
        local_steps: between averages; at others than the claim's own the map is not asked.
        seeds: how many judge; 0 for the profile's number.
        times: how many times the lead at 5 clients the lead at 10 is said to exceed.
    """
    if not 0.0 < times < float("inf"):
        raise ValueError(f"times must be positive and finite, got {times}")
    methods = ("rolora", *OTHERS)
    settings = study.settings(evidence.budget, local_steps=local_steps)
    beside = "; MNIST map of clients × local steps from the committed runs"
    count = seeds or evidence.pick(10, 12)
    found = study.trained(evidence, settings, methods, count, beside=beside)
    if not found:
        return
    # Half of the error probability for the runs of this profile, half for the map.
    here = {n: {m: found[n, m].scores() for m in methods} for n in (FEW, MANY)}
    live = widening(here, times, f"{local_steps} local steps", study.ALPHA / 2 / 2)
    stored = regime_map.stored("mnist")
    assert stored is not None  # committed with the package
    steps = sorted({k for n, k in stored if n == FEW} & {k for n, k in stored if n == MANY})
    on_map = {k: _on_map(stored, k, times, study.ALPHA / 2 / (2 * len(steps))) for k in steps}
    own = local_steps != study.LOCAL_STEPS
    study.settle(
        evidence,
        live,
        {} if own else on_map,
        lambda places: (
            "clients drift far between averages: on the MNIST map at"
            f" {', '.join(map(str, places))} local steps"
        ),
        "" if own else MORE_SEEDS,
    )
    over_fedavg = [k for k, group in on_map.items() if group[0].holds]
    evidence.note(
        "In this profile: " + "; ".join(f"{c.quantity} {c.measured:+.3f}" for c in live) + ".",
        "On the MNIST map: "
        + "; ".join(
            f"K={k}: {group[0].measured:+.3f} over fedavg, {group[1].measured:+.3f} over ffa"
            for k, group in on_map.items()
        )
        + ".",
        "The lead over FedAvg-LoRA widens with its whole interval at K = "
        + (", ".join(map(str, over_fedavg)) or "none")
        + " of the map.",
    )
    evidence.table(_rows(stored, steps), PLOT)
    study.tables(evidence, found, ("clients", "method"))


MORE_SEEDS = "`rolora nonlinear map --dataset mnist --seeds 40 --data-dir DIR` runs more"
PLOT = Plot(
    x="local_steps",
    series=(Series("lead", "lead, 95 % interval", Mark.POINTS, "low", "high"),),
    xlabel="local steps K between averages",
    ylabel="RoLoRA's lead in test accuracy",
    caption="MNIST split by label: RoLoRA's final accuracy minus the other method's, each at its own"
    " best learning rate, at 5 and at 10 clients. The claim asks that the lead at 10 lie above the"
    " lead at 5. Against FedAvg-LoRA the means say so, the more so the more local steps, but the"
    " intervals do not; FFA-LoRA sits at the cap of its random A at either number of clients.",
    group="against",
    xlog=True,
)


def widening(
    scores: Mapping[int, Mapping[str, np.ndarray]], times: float, where: str, alpha: float
) -> list[Comparison]:
    """How far the lead at 10 clients exceeds `times` the lead at 5, over each other method."""
    factor = "" if times == 1.0 else f"{times:g} × that "
    return [
        paired(
            f"{where}: lead over {other} at {MANY} clients minus {factor}at {FEW}",
            (scores[MANY]["rolora"] - scores[MANY][other])
            - times * (scores[FEW]["rolora"] - scores[FEW][other]),
            alpha,
        )
        for other in OTHERS
    ]


def _on_map(
    stored: Mapping[tuple[int, int], Mapping[str, Sweep]],
    local_steps: int,
    times: float,
    alpha: float,
) -> list[Comparison]:
    # Pairs need both runs of a seed; a cell that was run with more seeds brings those both have.
    others = stored[MANY, local_steps]["rolora"].seeds
    seeds = [seed for seed in stored[FEW, local_steps]["rolora"].seeds if seed in others]
    scores = {
        n: {m: s.on_seeds(seeds).scores() for m, s in stored[n, local_steps].items()}
        for n in (FEW, MANY)
    }
    return widening(scores, times, f"MNIST map, {local_steps} local steps", alpha)


def _rows(
    stored: Mapping[tuple[int, int], Mapping[str, Sweep]], steps: Sequence[int]
) -> list[dict[str, Any]]:
    rows = []
    for n in (FEW, MANY):
        for other in OTHERS:
            for k in steps:
                lead = stored[n, k]["rolora"].scores() - stored[n, k][other].scores()
                estimate = mean_estimate(lead, 0.05)
                rows.append(
                    {
                        "against": f"{other}, {n} clients",
                        "local_steps": k,
                        "lead": estimate.mean,
                        "low": estimate.interval[0],
                        "high": estimate.interval[1],
                    }
                )
    return rows
