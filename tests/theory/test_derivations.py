"""Every step of every derivation holds, and is handed to the further engines as it is defined."""

from functools import cache

import pytest

from verification.discovery import modules
from verification.proof.second_opinion import ALIKE

DERIVED = [module for module in modules("theory") if hasattr(module, "derive")]


@cache
def steps(module):
    return module.derive()


def test_there_are_derivations():
    assert len(DERIVED) > 15


@pytest.mark.parametrize("module", DERIVED, ids=lambda module: module.__name__)
def test_every_step_holds(module):
    assert [step.statement for step in steps(module) if not step.holds] == []


@pytest.mark.parametrize("module", DERIVED, ids=lambda module: module.__name__)
def test_no_step_reaches_the_engines_with_both_sides_alike(module):
    alike = [s.statement for s in steps(module) if any(ALIKE in o.scope for o in s.opinions)]
    assert alike == []
