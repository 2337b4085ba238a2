"""Claim `local-steps`: averaging more rarely hurts FFA-LoRA and leaves RoLoRA nearly unchanged."""

from __future__ import annotations

from nonlinear_model.claims import study
from nonlinear_model.claims.study import Setting
from verification.budget import Profile
from verification.claim import PAPER, claim
from verification.evidence import Evidence
from verification.finding import Mark, Plot, Series
from verification.paired_study import lead as ahead
from verification.verdict import Verdict

TOTAL = 400
"""Local steps of every run, K·T: more local steps mean fewer rounds, never more training."""


@claim(
    "local-steps",
    "More local steps between averages",
    statement="20 local steps a round instead of 1, at the same number of steps in all, make FFA-LoRA less"
    " accurate, and RoLoRA less so than FFA-LoRA.",
    latex=r"\mathrm{acc}_{K=1}(\mathrm{FFA})-\mathrm{acc}_{K=20}(\mathrm{FFA})>"
    r"\max\{0,\ \mathrm{acc}_{K=1}(\mathrm{RoLoRA})-\mathrm{acc}_{K=20}(\mathrm{RoLoRA})\}",
    source=f"{PAPER}, ablation on local steps (MNLI, 1 to 20)",
    section="network",
    assumptions=(
        "two-layer network, images split by label over 5 clients",
        f"{TOTAL} local steps in all: the number of samples stays constant",
        f"{study.CHOSEN}, for each K",
        study.COUNTS,
    ),
    expected=Verdict.REFUTED,
    confirms=Verdict.SUPPORTED,
    mutant={"gain": True},
    says="20 local steps instead of 1 make both methods more accurate",
    positive={"lead": -0.1},
    positive_says="both costs above −0.1 of accuracy",
    order=260,
)
def check(
    evidence: Evidence,
    *,
    few: int = 1,
    many: int = 20,
    seeds: int = 0,
    lead: float = 0.0,
    gain: bool = False,
) -> None:
    """Compare what many local steps instead of few cost each method, at the same number of steps in all.

    Args:
        evidence: gathers what is found.
        few, many: local steps K that are compared.
        seeds: how many judge; 0 for the profile's number.
        lead: demanded accuracy that each difference exceeds.
        gain: whether many are said to be better for both; False for the true statement.
    """
    if not 1 <= few < many or TOTAL % few or TOTAL % many:
        raise ValueError(f"few and many must be growing divisors of {TOTAL}, got {few} and {many}")
    # Both lose about the same: only many seeds tell such differences from a difference of 0.02.
    count = seeds or evidence.pick(24, 40)
    methods = evidence.pick(("rolora", "ffa"), ("rolora", "ffa", "fedavg"))
    settings = [Setting(5, k, TOTAL // k) for k in (few, many)]
    found = study.trained(evidence, settings, methods, count, lead=lead, axis="local_steps")
    if not found:
        return
    cost = {
        method: found[few, method].scores() - found[many, method].scores() for method in methods
    }
    instead = f"accuracy that {many} local steps instead of {few}"
    pairs = (
        {f"{instead} gain {method}": -cost[method] for method in ("rolora", "ffa")}
        if gain
        else {
            f"{instead} cost ffa, more than rolora": cost["ffa"] - cost["rolora"],
            f"{instead} cost ffa": cost["ffa"],
        }
    )
    for quantity, values in pairs.items():
        ahead(evidence, quantity, values, by=lead)
    if evidence.profile is Profile.QUICK:
        evidence.record(
            missing=f"`rolora verify --profile full --only {evidence.id} --data-dir DIR` runs more, on MNIST"
        )
    costs = ", ".join(f"{method} {values.mean():.3f}" for method, values in cost.items())
    evidence.note(
        f"At {TOTAL} local steps in all, K = {many} instead of {few} costs {costs} of accuracy."
    )
    study.tables(evidence, found, ("local_steps", "method"), PLOT)


PLOT = Plot(
    x="local_steps",
    series=(Series("accuracy", "mean, 95 % interval", Mark.LINE, "low", "high"),),
    xlabel=f"local steps K between averages ({TOTAL} steps in all)",
    ylabel="test accuracy",
    caption="Final test accuracy when the clients average after every step or after every 20th, with"
    " the same number of steps in all. The claim asks that FFA-LoRA's line fall, and more steeply"
    " than RoLoRA's.",
    group="method",
    xlog=True,
)
