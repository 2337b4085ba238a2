"""Where each method settles under one hardship at a time: in closed form if there is one, else measured."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from math import inf, isinf, isnan, nan
from typing import Any

import numpy as np

from federated_lora import Adapter, Factor, method_named, method_names
from linear_model.claims.other_methods import floor_runs as runs
from linear_model.claims.other_methods.floor_runs import Hardship
from linear_model.claims.other_methods.literal import Pair, server_round
from linear_model.methods.base import State
from theory.clients_differ import heterogeneity
from theory.other_methods import method_floors
from verification.claim import OURS, claim
from verification.evidence import Evidence, between, exactly
from verification.finding import Mark, Plot, Series
from verification.statistics import ALPHA, mean_estimate
from verification.verdict import Verdict

FROZEN = ("ffa", "fedsvd")
ALTERNATING = (
    "rolora", "a-heavy", "b-heavy", "ffa-then-rolora", "rolora-momentum", "rolora-precond", "rolora-cv",
)  # fmt: skip
FREE = {
    "targets": (*ALTERNATING, "fedavg", "fedavg-cv", "fedrot", "la-lora", "fedsa"),
    "local steps": (*ALTERNATING, "fedavg-cv", "la-lora", "fedsa"),
    "covariates": ("rolora-cv", "fedavg-cv", "fedsa"),
    "participation": ("rolora-cv", "fedavg-cv", "fedsa"),
}
"""Methods that settle at nothing."""
KEEPS = {
    "targets": ("flexlora",),
    "local steps": ("fedavg", "fedrot", "flexlora", "lora-fair"),
    "covariates": ("rolora", "fedavg", "flexlora", "la-lora", "lora-fair"),
}
"""Methods that settle at something: there is no formula, so it is said that they do, not where."""
NOTHING, SETTLED = 1e-6, 0.01
"""Excess risk that counts as none; share of it that the later half of the rounds may still move."""
LOOPED, FEW = ("fedavg", "rolora", "flexlora", "la-lora"), 20
"""Methods, and rounds of them, beside a loop over clients."""
BRIEF = ("fedavg", "rolora", "rolora-cv", "fedavg-cv", "fedsa")
"""Methods whose runs under random hardships a quick profile makes."""


def hardships(privacy: float, labels: float, active: int) -> dict[str, Hardship]:
    """One thing at a time."""
    return {
        "targets": Hardship(),
        "local steps": Hardship(steps=5),
        "covariates": Hardship(shift=True, steps=5),
        "labels": Hardship(differ=False, samples=20, noise=labels),
        "privacy": Hardship(differ=False, privacy=privacy),
        "participation": Hardship(active=active),
    }


@claim(
    "method-floors",
    "Where every method settles, one hardship at a time",
    statement="Of the methods known by name, one small problem: a frozen A keeps s²‖b̄*‖² and a "
    "closed-form rest under every hardship. Different targets alone bias FlexLoRA, whose mean of products "
    "is exact, not the methods that average factors; local steps bias FedAvg-LoRA, not alternation; "
    "covariate shift biases alternation too, not control variates or personal factors, which have no floor "
    "with some of the clients a round either.",
    latex=r"\mathrm{FFA}:\ s^2B^2+\{0,\ \tfrac{\eta}{1-\eta}\,\tfrac{c^2V(N-n)}{n(N-1)},\ "
    r"\tfrac{p\,\sigma^2}{N(1-(1-2\eta)^2)},\ "
    r"\tfrac{\eta(s^2B^2+p\,\sigma^2)}{M(1-\eta(1+2/M))}\};\quad \mathrm{FlexLoRA}:\ AB-a^*\bar "
    r"b^{*\top}\approx\tfrac{2\eta}{B}a^*\bigl(\Sigma\bar b^*-\tfrac12nn^\top\Sigma\bar b^*\bigr)^\top",
    source=OURS,
    assumptions=(
        "d = 4, rank 1, N = 4, p = 3, one a* for all clients, η = 1/4 without normalising, s = 0.6 at the "
        "start",
        "targets that differ, and K = 5 local steps where named; else one (LA-LoRA and FLoRA: two)",
        "label noise with 20 fresh samples a client, everything else with infinitely many",
        "closed forms: one step a round, a unit frozen a",
        "no floor: excess risk below 1e-6 after the rounds made; a floor: above 1e-5 and settled to 1 %",
    ),
    expected=Verdict.DERIVED,
    mutant={"stretch": 1.02},
    control_at={"alone": True},
    says="a frozen a that loses 2 % more",
    exact="the table has every method under every hardship; LA-LoRA comes to rest where 2η‖a‖² = 1 and a "
    "b-step is exact, which is why it has no floor; LoRA-FAIR's factors drift out of balance until its "
    "step is too long",
    order=209,
)
def check(
    evidence: Evidence,
    *,
    active: int = 2,
    privacy: float = 0.05,
    labels: float = 0.5,
    alone: bool = False,
    stretch: float = 1.0,
) -> None:
    """Derive what has a closed form; run all methods.

    Args:
        active: clients of four that take part in a round, for that hardship.
        privacy: standard deviation of the noise on numbers sent.
        labels: standard deviation of the labels' noise.
        alone: whether to run the methods with a frozen A only.
        stretch: multiplies what a frozen a is said to lose; 1 for the true statement.
    """
    between(2, runs.CLIENTS - 1, active=active)
    between(0.001, 0.2, privacy=privacy)
    between(0.01, 2.0, labels=labels)
    hard = hardships(privacy, labels, active)
    rows = _frozen(evidence, hard, stretch)
    if not alone:
        for name in method_names():
            if name not in FROZEN:
                rows += _measured(evidence, name, hard)
        _why(evidence)
        _looped(evidence)
    _by_client(evidence, hard["labels"], stretch)
    evidence.precise()
    evidence.steps(*method_floors.derive(exactly(stretch)))
    evidence.argued(
        "what a round leaves as it is, the mean square tends to",
        because="each recursion is linear in the mean square, and keeps a share below 1 of it",
    )
    evidence.method(
        "SymPy: resting points of mean squares, means over any number of clients; every method's own "
        f"server step on clients with local steps, {_rounds(evidence, False)} rounds, random hardships "
        f"{_rounds(evidence, True)}"
    )
    evidence.note(
        "Not all settle: where column halfway differs, as for FLoRA, a method still moves at the end, and "
        "the share of RoLoRA's rounds that rolora-then-ffa makes is all it gets. LoRA-FAIR diverges under "
        "different targets.",
        "FedSA-LoRA is judged by its clients' own models, the others by the shared one.",
    )
    evidence.table(rows, PLOT)


def _rounds(evidence: Evidence, random: bool) -> int:
    return evidence.pick(120, 300) if random else evidence.pick(100, 600)


def _frozen(evidence: Evidence, hard: dict[str, Hardship], stretch: float) -> list[dict[str, Any]]:
    """FFA-LoRA and FedSVD against their closed forms; one with some of the clients first."""
    rows = []
    for title in sorted(hard, key=lambda title: title != "participation"):
        hardship = hard[title]
        stated = _stated(title, hardship, stretch)
        for name in FROZEN:
            words = f"{name}'s excess risk, hardship: {title}"
            if title == "participation":
                words += f", {hardship.active} of {runs.CLIENTS} clients"
            rounds, last = (80, 50) if hardship.random else (60, 1)
            rng, trials = (
                evidence.rng(name, title),
                evidence.pick(200, 1_000) if hardship.random else 1,
            )
            found, halfway = runs.run(name, hardship, rng, trials, rounds, last)
            row = {"hardship": title, "method": name, "kind": "closed form", "stated": stated}
            row |= {"place": method_names().index(name), "floor": float(found.mean())}
            row |= {"excess": float(found.mean())}
            if hardship.random:
                evidence.mean(words, found, equals=stated)
            else:
                evidence.equal(
                    words, stated, found[0], rounding=1e-10, why="rounding, all but settled"
                )
            rows.append(row | _interval(found) | {"halfway": float(halfway.mean())})
    return rows


def _stated(title: str, hardship: Hardship, stretch: float) -> float:
    """FFA-LoRA's floor."""
    size = float(np.linalg.norm(runs.MEAN))
    lost = stretch * float(heterogeneity.excess(runs.SINE, size))
    cosine = np.sqrt(1.0 - runs.SINE**2)
    if title == "participation":
        spread = float(np.square(runs.TARGETS - runs.MEAN).sum(axis=(1, 2)).mean())
        given = runs.CLIENTS, hardship.active
        return lost + float(method_floors.of_participation(runs.ETA, cosine, spread, *given))
    outputs = runs.MEAN.shape[-1]
    if title == "privacy":
        return lost + float(
            method_floors.of_privacy(runs.ETA, hardship.privacy, outputs, runs.CLIENTS)
        )
    if title == "labels":
        pooled = runs.CLIENTS * hardship.samples
        return lost + float(
            method_floors.of_labels(runs.ETA, hardship.noise, outputs, lost / stretch, pooled)
        )
    if title != "covariates":
        return lost
    a = runs.START
    squares = (a.T @ hardship.covariances @ a)[:, 0, 0]
    own = (a.T @ hardship.covariances @ runs.A_STAR)[:, 0, 0] / squares
    weights = method_floors.shift_weights(runs.ETA, squares, hardship.steps)
    B = np.tensordot(weights * own, hardship.targets, 1) / weights.sum()
    return stretch * float(runs.excess_over_best(hardship)(State(a[None], B[None], np.zeros(1)))[0])


def _interval(found: np.ndarray) -> dict[str, float]:
    if found.size == 1:
        return {"low": float(found.mean()), "high": float(found.mean())}
    seen = mean_estimate(found, ALPHA).columns()
    return {"low": seen["low"], "high": seen["high"]}


def _measured(evidence: Evidence, name: str, hard: dict[str, Hardship]) -> list[dict[str, Any]]:
    """A method's row of every hardship, and what is said of it."""
    rows = []
    key = name.split(":", 1)[0]
    for title, hardship in hard.items():
        if hardship.random and evidence.profile == "quick" and key not in BRIEF:
            continue
        rounds, trials = _rounds(evidence, hardship.random), 1
        if key in (FREE if hardship.random else KEEPS).get(title, ()):
            rounds = max(
                rounds, 200
            )  # the slowest trial decides, or the half that must have settled
        last = 4
        if hardship.random:
            trials, last = evidence.pick(64, 256), 60
        found, halfway = runs.run(name, hardship, evidence.rng(key, title), trials, rounds, last)
        floor = float(found.mean())
        kind = "diverges" if isinf(floor) else "measured"
        words = f"{key}'s excess risk, hardship: {title}"
        if key in FREE.get(title, ()):
            kind = "none"
            evidence.at_most(words, NOTHING, floor)
        elif key in KEEPS.get(title, ()):
            evidence.at_least(words, 10.0 * NOTHING, floor)
            moved = abs(float(halfway.mean()) - floor) / floor
            evidence.at_most(
                f"share of it that the later half of the rounds moved: {words}", SETTLED, moved
            )
        shown = floor if NOTHING < floor < inf else nan
        row = {"hardship": title, "method": key, "kind": kind, "place": method_names().index(name)}
        row |= {"stated": 0.0 if kind == "none" else nan, "floor": shown, "excess": floor}
        row |= {"low": nan, "high": nan} if isnan(shown) else _interval(found)
        rows.append(row | {"halfway": float(halfway.mean())})
    return rows


def _looped(evidence: Evidence) -> None:
    """The first rounds of some methods against clients one by one, without chance."""
    hardship = Hardship(steps=5)
    excess, targets = runs.excess_over_best(hardship), runs.A_STAR @ hardship.targets
    for name in LOOPED:
        rule, gap = method_named(name), 0.0
        server = Adapter(runs.START, np.zeros((1, runs.MEAN.shape[-1])))
        found = runs.states(name, hardship, evidence.rng("not used"), 1, FEW)
        for number, state in enumerate(found, 1):
            moving = [rule.moving(number, step) for step in range(1, hardship.steps + 1)]
            server = server_round(name, server, targets, partial(_trained, moving), number).adapter
            at = State(server.A[None], server.B[None], np.zeros(1))
            gap = max(gap, abs(float((excess(at) - excess(state))[0])))
        words = (
            f"largest gap of {name}'s excess risk to a loop over clients, {FEW} rounds of 5 steps"
        )
        evidence.equal(words, 0.0, gap, rounding=1e-12, why="rounding over the rounds")


def _trained(
    moving: Sequence[Collection[Factor]], A: np.ndarray, B: np.ndarray, W: np.ndarray
) -> Pair:
    """A client's local steps, each on the factors that move in it."""
    for factors in moving:
        off = 2.0 * runs.ETA * (A @ B - W)
        of_A, of_B = off @ B.T, A.T @ off
        A, B = A - of_A * (Factor.A in factors), B - of_B * (Factor.B in factors)
    return A, B


def _by_client(evidence: Evidence, hardship: Hardship, stretch: float) -> None:
    """FFA-LoRA under label noise: every client draws its samples and takes its step, one after another."""
    rounds, last, trials = 80, 50, evidence.pick(200, 1_000)
    rng, found = evidence.rng("by client"), np.zeros(trials)
    b = np.zeros((trials, 1, runs.MEAN.shape[-1]))
    for number in range(rounds):
        sent = []
        for target in hardship.targets:
            X = rng.standard_normal((trials, hardship.samples, runs.WIDTH))
            noise = rng.standard_normal((trials, hardship.samples, runs.MEAN.shape[-1]))
            Z, Y = X @ runs.START, X @ (runs.A_STAR @ target) + hardship.noise * noise
            slope = 2.0 / hardship.samples * (np.swapaxes(Z, 1, 2) @ (Z @ b - Y))
            sent.append(b - runs.ETA * slope)
        b = np.mean(sent, axis=0)
        if number >= rounds - last:
            found += np.square(runs.START @ b - runs.A_STAR @ runs.MEAN).sum(axis=(1, 2)) / last
    words = "ffa's excess risk, hardship: labels, a loop over clients with their samples"
    evidence.mean(words, found, equals=_stated("labels", hardship, stretch))


def _why(evidence: Evidence) -> None:
    """LA-LoRA's length, and how far an exact average moves FlexLoRA."""
    rng = evidence.rng("not used")
    *_, state = runs.states("la-lora", Hardship(steps=5), rng, 1, 120)
    length = 2.0 * runs.ETA * float(np.square(state.A).sum())
    evidence.equal(
        "2η‖a‖² where LA-LoRA settles with 5 local steps",
        1.0,
        length,
        rounding=1e-9,
        why="rounding",
    )
    ratios = []
    for eta in (0.08, 0.04):
        *_, state = runs.states("flexlora", Hardship(), rng, 1, round(12.0 / eta), eta)
        moved = (state.A @ state.B)[0, 0] - runs.MEAN[0]
        stated = method_floors.exact_average_bias(eta, runs.TARGETS[:, 0])
        ratios.append(float(moved @ stated) / float(stated @ stated))
    evidence.equal("FlexLoRA's distance from b̄* over its first order in η, extrapolated to η = 0", 1.0,
        2.0 * ratios[1] - ratios[0], rounding=2e-3, why="the square of η")  # fmt: skip


PLOT = Plot(
    x="place",
    series=(
        Series("floor", "excess risk in the end", Mark.POINTS, low="low", high="high"),
        Series("stated", "closed form", Mark.POINTS),
    ),
    xlabel="method, by its place in the list of methods",
    ylabel="excess risk over the best model",
    caption="What every method keeps under one hardship at a time; no point where nothing is left. The "
    "methods with a frozen A keep a third of the start's risk throughout.",
    group="hardship",
    ylog=True,
)
