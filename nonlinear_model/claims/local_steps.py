"""Claim `local-steps`: averaging more rarely hurts FFA-LoRA and leaves RoLoRA nearly unchanged."""

from nonlinear_model.study import analysis
from nonlinear_model.study.analysis import scores
from nonlinear_model.study.design import FEW_AND_MANY
from verification.claim import PAPER, Evidence, Mark, Plot, Series, Verdict, claim
from verification.names import one_of

METHODS = ("ffa", "rolora")


@claim(
    "local-steps",
    "More local steps between averages (of the network)",
    statement="In the two-layer network, 100 local steps a round instead of 5, at the same number of steps in"
    " all, make FFA-LoRA less accurate, and RoLoRA less so than FFA-LoRA.",
    latex=r"\mathrm{acc}_{K=5}(\mathrm{FFA})-\mathrm{acc}_{K=100}(\mathrm{FFA})>"
    r"\max\{0,\ \mathrm{acc}_{K=5}(\mathrm{RoLoRA})-\mathrm{acc}_{K=100}(\mathrm{RoLoRA})\}",
    source=f"{PAPER}, ablation on local steps (there MNLI, 1 to 20), asked of the network",
    section="network",
    assumptions=(
        "two-layer network, MNIST split by label over 5 and 10 clients",
        "1,000 local steps in all: the number of samples stays constant",
        *analysis.DECIDED,
    ),
    expected=Verdict.REFUTED,
    confirms=Verdict.SUPPORTED,
    mutant={"gain": True},
    says="100 local steps instead of 5 make both methods more accurate",
    positive={"most": "rolora"},
    positive_says="RoLoRA is hurt, and more than FFA-LoRA",
    exact="both are hurt, and RoLoRA more than FFA-LoRA, whose random A caps it either way",
    order=260,
)
def check(evidence: Evidence, *, most: str = "ffa", lead: float = 0.0, gain: bool = False) -> None:
    """Compare what many local steps instead of few cost each method, at the same number of steps in all.

    Args:
        evidence: gathers what is found.
        most: the method said to be hurt more than the other: `ffa` or `rolora`.
        lead: demanded accuracy that each difference exceeds.
        gain: whether many are said to be better for both; False for the true statement.
    """
    one_of("most", most, METHODS)
    least = METHODS[most == METHODS[0]]
    places = {}
    for few, many in FEW_AND_MANY:
        # Pairs need both runs of a seed: the longer rounds have fewer seeds.
        cost = {}
        for method in ("rolora", "ffa", "fedavg"):
            rare = scores(many, method)
            cost[method] = scores(few, method)[: rare.size] - rare
        place = f"N={few[1]}"
        places[place] = (
            [(f"accuracy gained by {m}", -cost[m]) for m in METHODS]
            if gain
            else [
                (f"accuracy that it costs {most}, more than {least}", cost[most] - cost[least]),
                (f"accuracy that it costs {most}", cost[most]),
            ]
        )
        told = ", ".join(f"{method} {values.mean():+.4f}" for method, values in cost.items())
        evidence.note(f"At {place}, K = 100 instead of 5 costs of accuracy in the mean: {told}.")
    analysis.over_places(evidence, places, of=2 * len(FEW_AND_MANY), by=lead)
    points = [point for pair in FEW_AND_MANY for point in pair]
    evidence.method(analysis.method_of(points))
    rows = analysis.mean_rows(points, ("rolora", "ffa", "fedavg"))
    evidence.table([row | {"who": f"{row['method']}, N={row['clients']}"} for row in rows], PLOT)


PLOT = Plot(
    x="local_steps",
    series=(Series("accuracy", "mean, 95 % interval", Mark.LINE, "low", "high"),),
    xlabel="local steps K between averages (1,000 steps in all)",
    ylabel="test accuracy",
    caption="Test accuracy when the clients average after every 5th step or after every 100th, with the same"
    " number of steps in all. The claim asks that FFA-LoRA's line fall, and more steeply than RoLoRA's.",
    group="who",
    xlog=True,
)
