"""Every method with every defect that it can have, and the case that finds it.

Defects of training loops, 10 and 11, are the laboratories'; a NaN, 12, never reaches a rule, for the server's
step refuses it first (both held elsewhere).
"""

import sys
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from federated_lora import BOTH, ONLY_A, method_named, method_names
from federated_lora.adapter import Factor
from federated_lora.merged import dense
from federated_lora.testing import CASES, Setting, check_method
from federated_lora.testing.subject import ROUNDS, OfMethod


def sent(replies, change):
    """The replies with every stack changed."""
    stacks = {str(f): replies.factor(f) for f in Factor if replies.factor(f) is not None}
    return replace(replies, **{name: change(name, stack) for name, stack in stacks.items()})


def leak(combine, self, server, replies, round):
    held = getattr(self, "held", {})
    self.held = dict(held)

    def mixed(name, stack):
        self.held[name] = stack
        before = held.get(name)
        return stack if before is None or before.shape != stack.shape else stack + 0.5 * before

    return combine(server, sent(replies, mixed), round)


def by_position(combine, self, server, replies, round):
    turn = np.arange(1.0, replies.weights.size + 1) * replies.weights
    return combine(server, replace(replies, weights=turn / turn.sum()), round)


def first_only(combine, self, server, replies, round):
    alone = (np.arange(replies.weights.size) == 0).reshape(-1, 1, 1)
    return combine(server, sent(replies, lambda _, stack: stack * alone), round)


def unweighted(combine, self, server, replies, round):
    equal = np.full_like(replies.weights, 1 / replies.weights.size)
    return combine(server, replace(replies, weights=equal), round)


def thawed(combine, self, server, replies, round):
    update = combine(server, replies, round)
    adapter = update.adapter
    for f in BOTH - self.trainable(round) - self.personal:
        adapter = adapter.with_factor(f, 1.01 * adapter.factor(f))
    return replace(update, adapter=adapter)


def unscaled(combine, self, server, replies, round):
    update = combine(server, replies, round)
    return replace(update, merged=replace(update.merged, scale=np.sign(update.merged.scale)))


def turned(combine, self, server, replies, round):
    update = combine(server, replies, round)
    return replace(update, merged=np.swapaxes(dense(update.merged), -1, -2))


def counted(trainable, self, round):
    self.asked = getattr(self, "asked", 0) + 1
    return trainable(self.asked)


def a_first(trainable, self, round):
    shift = next(s for s in range(ROUNDS) if trainable(1 + s) == ONLY_A)
    return trainable(round + shift)


def always(method):
    return True


def turns(method):
    return len({method.trainable(t) for t in (1, 2, 3, 4)}) > 1


def takes_turns_with_A(method):
    return any(method.trainable(t) == ONLY_A for t in range(1, ROUNDS + 1))


def freezes(method):
    # FedSVD says that it sends A, too.
    return method.trainable(1) != BOTH and not method.personal and method.name != "fedsvd"


def merges(method):
    return method.merges


DEFECTS = {
    # What is changed, of which methods, and the cases that find it.
    "1 leak": ("combine", leak, always, ("nothing-written", "resume")),
    "1 order": ("combine", by_position, always, ("order-of-clients",)),
    "2 counter": ("trainable", counted, turns, ("phase",)),
    "3 A first": ("trainable", a_first, takes_turns_with_A, ("first-round",)),
    "4 thawed": ("combine", thawed, freezes, ("frozen-factor",)),
    "5 scale": ("combine", unscaled, merges, ("scale", "exact-mean")),
    "6 transposed": ("combine", turned, merges, ("rectangular",)),
    "7 first client": ("combine", first_only, always, ("agreement",)),
    "8 unweighted": ("combine", unweighted, always, ("weights-matter", "weight-of-one")),
    "9 kept by the instance": ("combine", leak, always, ("resume",)),
}
MADE = {name: method_named(name, ROUNDS) for name in method_names()}


def mutant(name, attribute, change):
    """The method of that name with one of its functions changed, in every new instance."""

    sound = type(MADE[name])

    def changed(self, *given):
        return change(partial(getattr(sound, attribute), self), self, *given)

    made: Any = type("Mutant", (sound,), {"name": sound.name, attribute: changed})
    return OfMethod(made.made(name.partition(":")[2] or None, ROUNDS))


@pytest.mark.parametrize(
    ("defect", "name"),
    [
        (defect, name)
        for defect, (_, _, has, _) in DEFECTS.items()
        for name in MADE
        if has(MADE[name])
    ],
)
def test_a_method_with_a_defect_is_found_by_its_case(defect, name):
    attribute, change, _, cases = DEFECTS[defect]
    report = check_method(mutant(name, attribute, change), (Setting(),))
    assert set(cases) <= set(report.failed), str(report)
    numbers = {one.name: one.defect for one in CASES}
    assert int(defect[0]) in {numbers[case] for case in cases}


@pytest.mark.parametrize("name", MADE)
def test_its_module_says_the_rule_its_use_and_its_traffic(name):
    said = sys.modules[type(MADE[name]).__module__].__doc__
    assert "Use it" in said or "Use them" in said
    assert "Traffic:" in said
    assert "exact" in said or "personal" in said
    assert MADE[name].label
    assert MADE[name].source


@pytest.mark.parametrize("name", MADE)
def test_the_same_in_a_mutants_clothes_but_without_a_defect_conforms(name):
    same = mutant(name, "combine", lambda combine, _self, *given: combine(*given))
    assert check_method(same, (Setting(),)).conforms
