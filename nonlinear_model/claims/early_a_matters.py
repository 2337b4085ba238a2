"""Claim `early-A-matters`: a fifth of the rounds spent on A too, then FFA-LoRA, beats FFA-LoRA."""

from nonlinear_model.study import analysis
from nonlinear_model.study.analysis import ahead, scores, short
from nonlinear_model.study.design import LOPSIDED
from verification.claim import PAPER, Evidence, Mark, Plot, Series, Verdict, claim

EARLY, FROZEN, FULL = "rolora-then-ffa:20", "ffa", "rolora"


@claim(
    "early-A-matters",
    "A fifth of the rounds on RoLoRA lifts FFA-LoRA's cap (of the network)",
    statement="In the two-layer network, 20 % of the rounds RoLoRA and then 80 % FFA-LoRA end more accurate"
    " than FFA-LoRA throughout.",
    latex=r"\mathrm{acc}(20\%\,\mathrm{RoLoRA}+80\%\,\mathrm{FFA})>\mathrm{acc}(\mathrm{FFA})",
    source=f"{PAPER}, ablation on freezing A early",
    section="network",
    assumptions=(
        "two-layer network, MNIST split by label over 5 and 10 clients, 25 local steps, equal rounds",
        *analysis.DECIDED,
    ),
    expected=Verdict.SUPPORTED,
    mutant={"reverse": True},
    says="FFA-LoRA throughout is better",
    order=250,
)
def check(evidence: Evidence, *, lead: float = 0.0, reverse: bool = False) -> None:
    """Compare both schedules seed by seed.

    Args:
        evidence: gathers what is found.
        lead: demanded accuracy over the other.
        reverse: whether FFA-LoRA is said to be ahead; False for the true statement.
    """
    better, worse = (FROZEN, EARLY) if reverse else (EARLY, FROZEN)
    places = {
        short(point): [(f"accuracy of {better} minus {worse}", ahead(point, better, worse))]
        for point in LOPSIDED
    }
    analysis.over_places(evidence, places, of=len(LOPSIDED), by=lead)
    evidence.method(analysis.method_of(LOPSIDED))
    shares = []
    for point in LOPSIDED:
        made, cap, full = (scores(point, method).mean() for method in (EARLY, FROZEN, FULL))
        shares.append(f"{(made - cap) / (full - cap):.0%} at {short(point)}")
    evidence.note(
        f"Of the way from FFA-LoRA to RoLoRA the early fifth makes {' and '.join(shares)}."
    )
    evidence.table(analysis.mean_rows(LOPSIDED, (FROZEN, EARLY, FULL)), PLOT)


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
