"""Claim `study-replay`: the committed runs are what this code makes of the study's design."""

from collections.abc import Sequence

from nonlinear_model.study import table
from nonlinear_model.study.analysis import short
from nonlinear_model.study.table import Row
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.names import one_of

TAMPERED = {
    "cell": "one score altered by a hundredth",
    "names": "RoLoRA's and FedAvg-LoRA's names exchanged",
}
ONE_IMAGE = {"mnist": 1 / 10_000, "digits": 1 / 298}


@claim(
    "study-replay",
    "The committed network runs, run again",
    statement="The runs of the network study are those of its design, complete, as their checksum says, under"
    " their own names; a run made again has the same scores.",
    latex=r"\mathrm{score}_{\mathrm{again}}=\mathrm{score}_{\mathrm{committed}}",
    source=OURS,
    section="network",
    assumptions=(
        "runs are drawn at random from the short ones: those on digits, and with MNIST at hand those of 5"
        " local steps; longer ones are held to checksum, design and traffic only",
    ),
    expected=Verdict.SUPPORTED,
    mutant={"tamper": "cell"},
    control_at={"runs": 1},
    says="the same table with one score altered by a hundredth of itself",
    order=215,
)
def check(evidence: Evidence, *, runs: int = 0, tamper: str = "") -> None:
    """Hold the table to its checksum, the design and the methods' traffic, and run a few of it again.

    Args:
        evidence: gathers what is found.
        runs: how many are run again; 0 for the profile's number.
        tamper: `cell` or `names` alters the table first; nothing for the committed one.
    """
    from nonlinear_model.data import mnist
    from nonlinear_model.study import integrity

    one_of("tamper", tamper, ("", *TAMPERED))
    between(0, 200, runs=runs)
    budget = evidence.budget
    at_hand = mnist.find_folder(budget.data_dir) is not None
    rows = tampered(table.stored(), tamper)
    draw = evidence.rng("replay")
    short_ones = integrity.replayable(rows, mnist=at_hand)
    count = runs or evidence.pick(6, 24)
    drawn = [short_ones[i] for i in sorted(draw.choice(len(short_ones), count, replace=False))]
    for quantity, found in _flaws(rows).items():
        evidence.equal(quantity, 0, found)
    for how, words in TAMPERED.items():
        seen = sum(map(bool, _flaws(tampered(table.stored(), how)).values()))
        evidence.at_least(f"of the counts above, those that notice {words}", 2, seen)
    told = []
    for row in drawn:
        place = f"{row['method']} at {short(table.point_of(row))}, {row['length']} rounds"
        made = integrity.again(row, budget.data_dir)
        told.append({"place": place, "seed": row["seed"], "stored": row["score"]})
        told[-1]["again"] = made["score"]
        for name, value in made.items():
            evidence.equal(
                f"{name} of {place}, seed {row['seed']}",
                row[name],
                value,
                rounding=ONE_IMAGE[row["dataset"]],
                why="rounding in another order may turn the label of one image",
            )
    evidence.method(
        f"{len(rows)} rows held to design, traffic and checksum; {count} random runs made again, "
        + ("MNIST among them" if at_hand else "on digits, since MNIST is not at hand")
    )
    evidence.table(told, PLOT)


def _flaws(rows: Sequence[Row]) -> dict[str, int]:
    """What is wrong with a table, counted."""
    from nonlinear_model.study import integrity

    sum_differs = integrity.checksum(rows) != table.manifest(table.path_of())["sha256"]
    return {
        "runs of the design missing from the table, or too many in it": len(
            integrity.missing(rows)
        ),
        "runs that did not send what a run of their name sends": integrity.misnamed(rows),
        "differences between the table's checksum and that of its manifest": int(sum_differs),
        "scores that are not the mean of their two accuracies": integrity.unlike_their_parts(rows),
        "differences between the manifest's design and the code's": int(
            not integrity.same_design()
        ),
    }


def tampered(rows: Sequence[Row], how: str) -> list[Row]:
    """The table, with one score a hundredth larger, or RoLoRA's and FedAvg-LoRA's names exchanged."""
    found = [dict(row) for row in rows]
    if how == "cell":
        last = next(row for row in reversed(found) if row["purpose"] == "judging")
        last["score"] *= 1.01
    if how == "names":
        other = {"rolora": "fedavg", "fedavg": "rolora"}
        for row in found:
            row["method"] = other.get(row["method"], row["method"])
    return found


PLOT = Plot(
    x="stored",
    series=(Series("again", "made again", Mark.POINTS), Series("stored", "the same", Mark.DASHED)),
    xlabel="committed score",
    ylabel="score of the run made again",
    caption="Random runs of the committed study, made again: each lies on the diagonal.",
)
