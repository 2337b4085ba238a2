"""Every claim id maps to an existing check and every check to a claim."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from rolora.verify.registry import entries
from verification.claim import Claim
from verification.verdict import Verdict

LINEAR_THEORY = {
    "interference-identity", "alternating-exact", "bstep-law", "population-map",
    "contraction-lemma", "plateau", "recovery-theorem", "recovery-norm", "ffa-floor",
    "ffa-random-init", "mean-square-rate", "escape-time", "fixed-data-rate", "pooled-samples",
    "noise-floor", "heterogeneous-population", "fedavg-heterogeneity", "rank-r-map",
    "rank-r-ffa-floor", "traffic-halved",
}  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]
HOMES = ("theory", "linear_model/claims", "nonlinear_model/claims", "llm_validation")


def _modules_with_claims() -> list[str]:
    """Modules that build a Claim at their top level, read from the sources."""
    found = []
    for home in HOMES:
        for path in sorted((ROOT / home).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            calls = (
                node.value.func
                for node in tree.body
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
            )
            if any(isinstance(f, ast.Name) and f.id == "Claim" for f in calls):
                found.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return found


def test_the_linear_theory_has_exactly_its_claims():
    linear = entries(("theory.registry:claims", "linear_model.claims:claims"))
    assert {entry.claim.id for entry in linear} - {"nonconvex-bound"} == LINEAR_THEORY


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.claim.id)
def test_a_claim_is_complete(entry):
    claim = entry.claim
    assert claim.statement
    assert claim.latex
    assert claim.source
    assert claim.assumptions
    assert claim.control
    assert claim.expected is not Verdict.NOT_CHECKED or claim.id.startswith("llm-")
    for check in (claim.check, claim.negative_control):
        assert next(iter(inspect.signature(check).parameters)) == "budget"


@pytest.mark.parametrize("name", _modules_with_claims())
def test_every_claim_that_is_written_is_registered(name):
    registered = {entry.claim.id for entry in entries()}
    module = importlib.import_module(name)
    written = [value for value in vars(module).values() if isinstance(value, Claim)]
    assert written
    assert {claim.id for claim in written} <= registered
