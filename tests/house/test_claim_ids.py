"""Every claim is complete, and stands in a file named after it."""

import pytest

from rolora.verify.registry import entries
from verification.discovery import LAST

ENTRIES = entries()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_claim_is_complete(entry):
    claim = entry.value
    for text in (claim.statement, claim.latex, claim.source, claim.assumptions, claim.says):
        assert text
    assert claim.order < LAST


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_claim_lives_in_a_file_named_after_it(entry):
    assert entry.place == f"{entry.value.module}:check"
    assert entry.value.module.rpartition(".")[2] == entry.name.replace("-", "_").lower()


def test_orders_are_distinct():
    orders = [entry.value.order for entry in ENTRIES]
    assert orders == sorted(set(orders))
