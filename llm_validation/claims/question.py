"""What is asked of finished runs: whether RoLoRA leads, or loses least, and whether they can tell.

Runs are compared only where everything is equal but the method, its learning rate and the seed, and where and
by which engine they ran.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from llm_validation.paper import records as runs_of
from llm_validation.paper.own_cell import model_key
from llm_validation.paper.records import FREE, Record, Setting, by_seed

NAMES = {"fedavg": "FedAvg-LoRA", "ffa": "FFA-LoRA", "rolora": "RoLoRA"}
RIVALS = ("fedavg", "ffa")
LEAST_SEEDS = 3
ALIKE = "differ in nothing but method, learning rate, seed and machine"
USUAL: Setting = {"split": "iid", "local_steps": 20, "target_modules": []}
"""The paper's, where a claim says nothing else."""

Scores = dict[int, float]
"""Accuracy, or a difference of accuracies, in points by seed."""
Leads = dict[str, Scores]
"""How far RoLoRA is ahead, by what is compared in words."""


@dataclass(frozen=True, slots=True)
class Question:
    """A comparison of RoLoRA with its rivals.

    Attributes:
        model: end of the base's name, in small letters.
        tasks: whose mean accuracy is compared.
        ahead: settings at which RoLoRA is said to lead.
        falls: two settings from the first of which to the second RoLoRA is said to lose least; or none.
        rivals: that it is compared with.
        hurt: whether the rivals are said to lose from the first to the second.
        shown: settings of the table, where they are not all of these.
        axis: value that the table lists them by.
    """

    model: str
    tasks: tuple[str, ...]
    ahead: tuple[Setting, ...] = ()
    falls: tuple[Setting, ...] = ()
    rivals: tuple[str, ...] = RIVALS
    hurt: bool = False
    shown: tuple[Setting, ...] = ()
    axis: str = "clients"

    @property
    def settings(self) -> tuple[Setting, ...]:
        """All of them."""
        return (*self.falls, *(one for one in self.ahead if one not in self.falls))

    @property
    def methods(self) -> tuple[str, ...]:
        """RoLoRA behind its rivals."""
        return (*self.rivals, "rolora")

    def at(self, records: Iterable[Record], *settings: Setting) -> list[Record]:
        """The runs that are asked, at any of these settings."""
        return [
            r
            for r in records
            if r.method in self.methods and r.task in self.tasks and self.of_model(r)
            if any(r.fits(setting) for setting in settings or ({},))
        ]

    def leads(self, records: Sequence[Record]) -> Leads:
        """How much less RoLoRA loses, and how far it is ahead, seed by seed."""
        found: Leads = {}
        for rival in self.rivals if self.falls else ():
            change, theirs = (
                difference(*(self.scores(records, m, one) for one in self.falls[::-1]))
                for m in ("rolora", rival)
            )
            first, second = self.falls
            same = {name: value for name, value in first.items() if second.get(name) == value}
            where = f"{told(_without(first, same))} to {told(_without(second, same))}"
            at = f"from {where}, at {told(_without(same, USUAL))}"
            found[f"change {at}: RoLoRA minus {NAMES[rival]}"] = difference(change, theirs)
            if self.hurt:
                lost = {seed: -value for seed, value in theirs.items()}
                found[f"loss {at}: {NAMES[rival]}"] = lost
        for setting, rival in product(self.ahead, self.rivals):
            ours, theirs = (self.scores(records, m, setting) for m in ("rolora", rival))
            at = told(_without(setting, USUAL))
            found[f"at {at}: RoLoRA minus {NAMES[rival]}"] = difference(ours, theirs)
        return found

    def scores(self, records: Sequence[Record], method: str, setting: Setting) -> Scores:
        """Mean accuracy over the tasks, by seed."""
        return by_seed(self.at(records, setting), method, setting, self.tasks)

    def obstacle(self, records: Sequence[Record]) -> str:
        """Why these runs cannot answer, "" if they can."""
        found = {told(one): self.at(records, one) for one in self.settings}
        for where, runs in found.items():
            if said := _twice(where, runs) or _apart(runs, FREE):
                return said
        if self.falls:
            first, second = self.falls
            varied = {
                name for name in first.keys() | second.keys() if first.get(name) != second.get(name)
            }
            runs = self.at(records, *self.falls)
            if said := _apart(runs, FREE | varied | {"rounds"}) or _samples(runs):
                return said
        return self._lacking(records)

    def _lacking(self, records: Sequence[Record]) -> str:
        cells = {
            (m, task, told(one)): {
                r.seed for r in self.at(records, one) if (r.method, r.task) == (m, task)
            }
            for one, m, task in product(self.settings, self.methods, self.tasks)
        }
        if len(set.intersection(*cells.values())) >= LEAST_SEEDS:
            return ""
        fewest = method, task, where = min(cells, key=lambda cell: len(cells[cell]))
        setting = next(one for one in self.settings if told(one) == where)
        others = [r for r in records if (r.method, r.task) == (method, task)]
        return (
            f"finished runs of {self.model} with the same seeds everywhere, at least {LEAST_SEEDS};"
            f" {NAMES[method]} on {task} at {where} has"
            f" {len(cells[fewest]) or 'none' + self._near(others, setting)}"
        )

    def _near(self, runs: Iterable[Record], setting: Setting) -> str:
        """What keeps the one that comes nearest from being a run at a setting; "" if none is apart."""
        apart = {}
        for r in runs:
            other = {} if self.of_model(r) else {"model": r.settings["model"]}
            other |= {n: r.settings.get(n) for n, v in setting.items() if r.settings.get(n) != v}
            if other and not any(self.at([r], one) for one in self.settings):
                apart[r.place] = ", ".join(f"{name} is {value}" for name, value in other.items())
        place = min(apart, key=lambda place: apart[place].count(" is "), default=None)
        return "" if place is None else f": in {place} {apart[place]}"

    def of_model(self, record: Record) -> bool:
        """Whether it is a run of the model that is asked about."""
        return model_key(str(record.settings["model"])) == self.model


def difference(ahead: Scores, behind: Scores) -> Scores:
    """Paired difference, over the seeds both have."""
    return {seed: ahead[seed] - behind[seed] for seed in ahead if seed in behind}


def told(setting: Setting) -> str:
    """A setting in words."""
    return ", ".join(
        f"{name} = {(','.join(value) or 'default') if isinstance(value, list) else value}"
        for name, value in setting.items()
    )


def _without(setting: Setting, other: Setting) -> Setting:
    """What a setting says beyond another one."""
    return {name: value for name, value in setting.items() if (name, value) not in other.items()}


def _twice(where: str, runs: Iterable[Record]) -> str:
    seen: dict[tuple[str, str, int], Record] = {}
    for r in runs:
        other = seen.setdefault((r.method, r.task, r.seed), r)
        if other is not r:
            differ = runs_of.difference((other, r))
            return (
                f"one run for each method, task and seed: {other.place} and {r.place} are both"
                f" {NAMES[r.method]} on {r.task}, seed {r.seed}, at {where}"
                f"{f', and {differ}' if differ else ''}"
            )
    return ""


def _apart(runs: Sequence[Record], free: Iterable[str]) -> str:
    said = runs_of.difference(runs, free)
    return f"runs that {ALIKE}: {said}" if said else ""


def _samples(runs: Iterable[Record]) -> str:
    """Which runs of one task went through other numbers of samples, by a round or more."""
    first: dict[str, tuple[int, int, Record]] = {}
    for r in runs:
        clients, rounds, steps, batch = (
            int(r.settings[name]) for name in ("clients", "rounds", "local_steps", "batch_size")
        )
        each = clients * steps * batch
        total, other_each, other = first.setdefault(r.task, (each * rounds, each, r))
        if abs(total - each * rounds) >= max(each, other_each):
            return (
                f"runs that go through the same number of samples: rounds = {other.settings['rounds']} in"
                f" {other.place} make {total}, rounds = {rounds} in {r.place} make {each * rounds}"
            )
    return ""
