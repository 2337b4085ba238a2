"""Claim `early-A-matters`: a fifth of the rounds spent on A too, then FFA-LoRA, beats FFA-LoRA."""

from __future__ import annotations

from nonlinear_model.claims import study
from nonlinear_model.claims.study import Setting
from verification.claim import PAPER, claim
from verification.evidence import Evidence
from verification.finding import Mark, Plot, Series
from verification.paired_study import lead as ahead
from verification.verdict import Verdict

FROZEN, FULL = "ffa", "rolora"


@claim(
    "early-A-matters",
    "A fifth of the rounds on RoLoRA lifts FFA-LoRA's cap",
    statement="20 % of the rounds RoLoRA and then 80 % FFA-LoRA end more accurate than FFA-LoRA throughout.",
    latex=r"\mathrm{acc}(20\%\,\mathrm{RoLoRA}+80\%\,\mathrm{FFA})>\mathrm{acc}(\mathrm{FFA})",
    source=f"{PAPER}, ablation on freezing A early",
    section="network",
    assumptions=(
        "two-layer network, images split by label over 5 and 10 clients (quick profile: 5)",
        "same seeds, splits and rounds for both",
        study.CHOSEN,
        study.COUNTS,
    ),
    expected=Verdict.SUPPORTED,
    mutant={"reverse": True},
    says="FFA-LoRA throughout is better",
    order=250,
)
def check(
    evidence: Evidence,
    *,
    share: int = 20,
    seeds: int = 0,
    lead: float = 0.0,
    reverse: bool = False,
) -> None:
    """Train both schedules in the paper's two splits and compare them seed by seed.

    Args:
        evidence: gathers what is found.
        share: per cent of the rounds that are RoLoRA's.
        seeds: how many judge; 0 for the profile's number.
        lead: demanded accuracy over the other.
        reverse: whether FFA-LoRA is said to be ahead; False for the true statement.
    """
    if not 1 <= share <= 99:
        raise ValueError(f"share must be 1 to 99 per cent of the rounds, got {share}")
    early = f"rolora-then-ffa:{share}"
    # A fifth of the digits' rounds has to be long enough for A to learn something: 20 rounds.
    settings = evidence.pick((Setting(5, 10, 100),), study.settings(evidence.budget))
    methods = (early, FROZEN, FULL)
    found = study.trained(evidence, settings, methods, seeds or evidence.pick(8, 10), lead=lead)
    if not found:
        return
    better, worse = (FROZEN, early) if reverse else (early, FROZEN)
    scores = {key: result.scores() for key, result in found.items()}
    shares = []
    for setting in settings:
        n = setting.clients
        quantity = f"{n} clients: accuracy of {better} minus {worse}"
        ahead(evidence, quantity, scores[n, better] - scores[n, worse], by=lead)
        made, cap, full = (scores[n, method].mean() for method in methods)
        shares.append(f"{(made - cap) / (full - cap):.0%} at {n} clients")
    fifth = "fifth" if share == 20 else f"{share} %"
    evidence.note(
        f"Of the way from FFA-LoRA to RoLoRA the early {fifth} makes {' and '.join(shares)}."
    )
    study.tables(evidence, found, ("clients", "method"), PLOT)


PLOT = Plot(
    x="clients",
    series=(Series("accuracy", "mean, 95 % interval", Mark.POINTS, "low", "high"),),
    xlabel="clients, split by label",
    ylabel="test accuracy",
    caption="Final test accuracy when A trains never (ffa), in the first fifth of the rounds only, or"
    " in every other round (rolora). A frozen random A caps what B can reach; a few early rounds on A"
    " lift the cap.",
    group="method",
)
