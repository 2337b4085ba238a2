"""How many rounds the sharp recovery bound asks for beside the paper's T, and how many it takes."""

from typing import Any

import numpy as np

from rolora.figures import Drawing, Table, figure, look, number, select, table_of

STARTS = {"random": "uniformly random start", "warm": "start at sin θ⁰ = 1/2"}
KAPPA = "1"


def _cell(start: str, kappa: str = KAPPA) -> str:
    return f"{start} start, κ = {kappa}"


def caption(table: Table) -> str:
    random, warm = (select(table, cell=_cell(start)) for start in STARTS)
    small = select(table, cell=_cell("random", "0.5"))
    d, last = random["d"], int(random["d"][-1])
    loose = random["T_paper"] / random["median"]
    asked = ", ".join(f"{number(T)} at d = {w:,}" for T, w in zip(random["T_ours"], d, strict=True))
    ours = random["ours / median"]
    wide = np.concatenate([rows["ours / median"][d >= 1000] for rows in (random, warm, small)])
    return (
        f"Rounds to sin θ ≤ 1e-6 for widths from {int(d[0])} to {last:,}: N·m = 200 d pooled samples"
        f" among {int(random['N'][0])} clients, κ = {KAPPA}. Drawn is the table of claim sharp-recovery. (a)"
        f" From a uniformly random start the median run needs {number(random['median'][0])} rounds at d ="
        f" {int(d[0])} and {number(random['median'][-1])} at d = {last:,}; the bar reaches to the 99 %"
        f" quantile. The sharp bound for a failure of at most 1 % is {asked}: from d = 1000 on it grows with"
        " log d, as does the lower bound, before which 99 % of the runs are not there yet. The paper's T"
        f" (median over the starts drawn) grows with d, to {number(random['T_paper'][-1], 2)}. (b) The same"
        f" over the actual median: the paper's T is {number(loose[0], 2)} to {number(loose[-1], 2)} times"
        f" too long, the sharp bound {number(ours[0], 2)} times at d = {int(d[0])} and {number(ours[-1], 3)}"
        f" at d = {last:,}. From d = 1000 on its largest ratio is {number(wide.max(), 3)}, over random and"
        " warm starts and over random ones at κ = 0.5 too. From the warm start the paper's T is"
        f" {number((warm['T_paper'] / warm['median'])[-1], 2)} times too long at d = {last:,}, the sharp"
        f" bound {number(warm['ours / median'][-1], 3)}."
    )


@figure(
    "sharp-recovery-tightness", "The sharp recovery bound beside the paper's, against width",
    data=table_of("sharp-recovery"), caption=caption, order=150, height=3.1,
)  # fmt: skip
def draw(table: Table, drawing: Drawing) -> None:
    """Left: rounds from a random start. Right: both bounds over the actual median, from both starts."""
    left, right = drawing.subplots(1, 2)
    style = look.of_method("rolora")
    rows = select(table, cell=_cell("random"))
    solid: dict[str, Any] = {"color": look.THEORY, "linewidth": 1.1}
    dashed = {**solid, "linestyle": (0, (5, 1.6))}
    left.plot(rows["d"], rows["T_paper"], **dashed, label="the paper's T")
    left.plot(rows["d"], rows["T_ours"], **solid, label="sharp bound, failure 1 %")
    left.plot(rows["d"], rows["T_least"], **{**solid, "linestyle": ":"}, label="lower bound")
    reach = [np.zeros(len(rows["d"])), rows["q99"] - rows["median"]]
    look.bars(left, rows["d"], rows["median"], style, yerr=reach, label="actual median, to 99 %")
    left.set(title="(a) from a random start", ylabel=r"rounds to $\sin\theta \leq 10^{-6}$")
    left.set_ylim(1, 3 * rows["T_paper"].max())
    for start, marker in (("random", "o"), ("warm", "s")):
        rows = select(table, cell=_cell(start))
        dots: dict[str, Any] = {"marker": marker, "markerfacecolor": "white"}
        right.plot(rows["d"], rows["T_paper"] / rows["median"], **dashed, **dots)
        right.plot(rows["d"], rows["ours / median"], **solid, **dots)
        right.plot([], [], linestyle="none", color="0.3", **dots, label=STARTS[start])
    right.axhline(1.0, color="0.6", linewidth=0.7, zorder=1)
    right.set(title="(b) how loose they are", ylabel="bound ÷ actual median")
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="input width d")
    look.below(drawing, [left, right], 3)
