"""Claim `study-replay`: the committed runs are what this code makes of the study's design."""

from collections.abc import Sequence
from typing import Any

from nonlinear_model.study import table
from nonlinear_model.study.analysis import short
from nonlinear_model.study.design import DESIGN, NetworkDesign
from nonlinear_model.study.drift import DRIFT
from nonlinear_model.study.table import Row
from verification.claim import OURS, Evidence, Mark, Plot, Series, Verdict, between, claim
from verification.names import one_of

TAMPERED = {
    "cell": "one score altered by a hundredth",
    "names": "RoLoRA's and FedAvg-LoRA's names exchanged",
}
STUDIES: dict[str, NetworkDesign] = {"network": DESIGN, "drift": DRIFT}
ONE_IMAGE = {"mnist": 1 / 10_000, "digits": 1 / 298}


@claim(
    "study-replay",
    "The committed network runs, run again",
    statement="The runs of the network study and of the drift study are those of their designs, complete, as"
    " their checksums say, under their own names; a run made again has the same scores.",
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
        runs: how many of each study are run again; 0 for the profile's number.
        tamper: `cell` or `names` alters the table first; nothing for the committed one.
    """
    from nonlinear_model.data import mnist
    from nonlinear_model.study import integrity

    one_of("tamper", tamper, ("", *TAMPERED))
    between(0, 200, runs=runs)
    budget = evidence.budget
    at_hand = mnist.find_folder(budget.data_dir) is not None
    count = runs or evidence.pick(3, 12)
    told: list[dict[str, Any]] = []
    for name, design in STUDIES.items():
        rows = tampered(table.stored(design), tamper)
        for quantity, found in _flaws(rows, design).items():
            evidence.equal(f"{name} study: {quantity}", 0, found)
        for how, words in TAMPERED.items():
            seen = sum(map(bool, _flaws(tampered(table.stored(design), how), design).values()))
            quantity = f"{name} study: of the counts above, those that notice {words}"
            evidence.at_least(quantity, 2, seen)
        short_ones = integrity.replayable(rows, mnist=at_hand)
        draw = evidence.rng("replay", name)
        drawn = sorted(draw.choice(len(short_ones), count, replace=False))
        told += [_again(evidence, short_ones[i], design) for i in drawn]
    evidence.method(
        f"every row held to design, traffic and checksum; {count} random runs of each study made again, "
        + ("MNIST among them" if at_hand else "on digits, since MNIST is not at hand")
    )
    evidence.table(told, PLOT)


def _again(evidence: Evidence, row: Row, design: NetworkDesign) -> dict[str, Any]:
    """Make a run again and compare it; a row of the table."""
    from nonlinear_model.study import integrity

    at = short(table.point_of(row, design), design)
    place = f"{row['method']} at {at}, {row['length']} rounds"
    made = integrity.again(row, evidence.budget.data_dir, design)
    for name, value in made.items():
        evidence.equal(
            f"{name} of {place}, seed {row['seed']}",
            row[name],
            value,
            rounding=ONE_IMAGE[row["dataset"]],
            why="rounding in another order may turn the label of one image",
        )
    return {"place": place, "seed": row["seed"], "stored": row["score"], "again": made["score"]}


def _flaws(rows: Sequence[Row], design: NetworkDesign) -> dict[str, int]:
    """What is wrong with a table, counted."""
    from nonlinear_model.study import integrity

    path = table.path_of(design)
    sum_differs = integrity.checksum(rows) != table.manifest(path)["sha256"]
    return {
        "runs of the design missing from the table, or too many in it": len(
            integrity.missing(rows, design)
        ),
        "runs that did not send what a run of their name sends": integrity.misnamed(rows, design),
        "differences between the table's checksum and that of its manifest": int(sum_differs),
        "scores that are not the mean of their two accuracies": integrity.unlike_their_parts(rows),
        "differences between the manifest's design and the code's": int(
            not integrity.same_design(design)
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
