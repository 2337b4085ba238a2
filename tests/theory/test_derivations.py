"""Every step of every derivation holds."""

import pytest

from verification.discovery import modules

DERIVED = [module for module in modules("theory") if hasattr(module, "derive")]


def test_there_are_derivations():
    assert len(DERIVED) > 15


@pytest.mark.parametrize("module", DERIVED, ids=lambda module: module.__name__)
def test_every_step_holds(module):
    assert [step.statement for step in module.derive() if not step.holds] == []
