"""Every formula of `theory`, 2 % too small or too large, makes at least one claim refuted.

The formulas are found by reading the sources, so a new one is tested without being listed here. A bound made
looser is refuted as well where its claim says what the bound is, not only that it is one: `escape-time` and
`nonconvex-bound` state that their constants are what the parts of the proof add up to.
"""

import ast
import importlib
import inspect
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import sympy as sp

import theory
from rolora.verify.registry import entries, select
from rolora.verify.runner import run
from verification.budget import Budget
from verification.claim import Claim
from verification.evidence import Evidence
from verification.finding import ProofStep
from verification.verdict import Verdict

INFRASTRUCTURE = {"__init__", "angle", "registry"}
"""Modules that state no result."""

NOT_FORMULAS = {
    "nonconvex.smooth_problem.alternate": "runs the experiment the bound is compared with"
}
"""`chapter.module.function` of a result module that is no formula, with the reason."""

MEASURED = {
    "fedavg-heterogeneity": (
        "clients_differ.fedavg_flow",
        "client_scale interference growth decay_constant",
    ),
    "heterogeneous-population": (
        "clients_differ.heterogeneity",
        "effective_kappa excess excess_after_round",
    ),
    "heterogeneous-samples": (
        "clients_differ.heterogeneous_samples",
        "spread_along_mean round_spread floor",
    ),
    "ffa-floor": ("frozen_factor.ffa_floor", "training_constant"),
}
"""Of a claim: formulas whose mutants its measurements see without the proof."""

STEPS = ("derive", "check", "negative_control")
"""How functions begin that give steps of a proof or a finding."""


def _formulas() -> list[tuple[str, str]]:
    found = []
    root = Path(theory.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if path.stem in INFRASTRUCTURE:
            continue
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [
            (module, node.name)
            for node in tree.body
            if isinstance(node, ast.FunctionDef)
            and not node.name.startswith("_")
            and not node.name.startswith(STEPS)
            and f"{module}.{node.name}" not in NOT_FORMULAS
        ]
    return found


def _scaled(result, percent):
    if isinstance(result, tuple):
        return tuple(_scaled(part, percent) for part in result)
    if isinstance(result, (sp.Basic, sp.MatrixBase)):
        return sp.Rational(percent, 100) * result
    return percent / 100 * result


OURS = ("theory.", "linear_model.")


def _imports(module: ModuleType) -> set[ModuleType]:
    """Modules of the linear theory that a module's globals are, or come from."""
    names = {
        value.__name__ if inspect.ismodule(value) else str(getattr(value, "__module__", ""))
        for value in vars(module).values()
    }
    return {sys.modules[n] for n in names if n.startswith(OURS) and n in sys.modules} - {module}


@cache
def _claims_about(module: str) -> tuple[Claim, ...]:
    """The linear theory's claims that rest on a module, the ones that import it directly first."""
    target = _theory(module)
    found = []
    for entry in entries():
        if not entry.value.module.startswith(OURS):
            continue
        home = sys.modules[entry.value.module]
        seen, ring, distance = {home}, {home}, 0
        while ring and target not in ring:
            ring = {m for module in ring for m in _imports(module)} - seen
            seen |= ring
            distance += 1
        if ring:
            found.append((distance, entry.name, entry.value))
    return tuple(claim for _, _, claim in sorted(found, key=lambda item: item[:2]))


@cache
def _claims_deriving(module: str) -> tuple[str, ...]:
    """Claims whose file calls the module's `derive`, whose failing step then refutes them."""
    target = _theory(module)
    if not hasattr(target, "derive"):
        return ()
    found = []
    for claim in _claims_about(module):
        home = sys.modules[claim.module]
        called = re.findall(r"(?<!def )\b(?:(\w+)\.)?derive\(", inspect.getsource(home))
        if any((vars(home)[name] if name else home) is target for name in called):
            found.append(claim.id)
    return tuple(found)


@cache
def _derivations(module: str) -> tuple[str, ...]:
    """The module if a claim rests on its derivation, or else all derivations of the claims about it."""
    if _claims_deriving(module):
        return (module,)
    about = {claim.id for claim in _claims_about(module)}
    modules = dict.fromkeys(name for name, _ in reversed(_formulas()))
    return tuple(one for one in modules if about & set(_claims_deriving(one)))


def _theory(module: str) -> ModuleType:
    return importlib.import_module(f"theory.{module}")


def _put_off(monkeypatch, module, function, percent):
    home = _theory(module)
    original = getattr(home, function)
    monkeypatch.setattr(home, function, lambda *args, **kw: _scaled(original(*args, **kw), percent))
    return home


def test_there_are_formulas_to_mutate():
    assert len(_formulas()) > 40


def test_exceptions_name_existing_functions():
    for name in NOT_FORMULAS:
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(f"theory.{module}"), function))


@pytest.mark.parametrize("percent", [98, 102])
@pytest.mark.parametrize(("module", "function"), _formulas())
def test_a_formula_off_by_two_percent_is_refuted(module, function, percent, monkeypatch):
    _put_off(monkeypatch, module, function, percent)

    # The cheap way: a step of a derivation is false, and a claim rests on that derivation.
    if any(step.refuted for one in _derivations(module) for step in _theory(one).derive()):
        return
    claims = _claims_about(module)
    assert claims, f"no claim rests on theory.{module}"
    for claim in claims:
        if claim.check(Budget()).verdict is Verdict.REFUTED:
            return
    pytest.fail(
        f"{percent} % of theory.{module}.{function} went unnoticed by {[claim.id for claim in claims]}"
    )


@pytest.mark.parametrize(
    ("module", "name"),
    [(m, name) for m in dict.fromkeys(m for m, _ in _formulas()) for name in _claims_deriving(m)],
)
def test_a_false_step_of_its_derivation_refutes_a_claim(module, name, monkeypatch):
    """What the cheap way takes for granted, by the way `rolora verify` goes, measurements being true."""
    planted = ProofStep("planted", False, "1 = 0")
    home = _theory(module)
    true = home.derive
    # One claim takes the first two steps of another's derivation, which that one takes whole.
    part = (module, name) == ("averaging.interference_identity", "alternating-exact")

    def derive(*given, **named):
        steps = true(*given, **named)
        return (planted, *steps) if part else (*steps, planted)

    monkeypatch.setattr(home, "derive", derive)
    (outcome,) = run(select([name]), Budget())
    assert not outcome.error
    assert outcome.finding.verdict is Verdict.REFUTED
    assert planted in outcome.finding.proof
    assert "planted" in outcome.finding.counterexample


@pytest.mark.parametrize(
    ("name", "module", "function"),
    [(name, module, one) for name, (module, all_) in MEASURED.items() for one in all_.split()],
)
def test_measurements_alone_notice_a_formula(name, module, function, monkeypatch):
    home = _put_off(monkeypatch, module, function, 105)
    monkeypatch.setattr(home, "derive", lambda *_: ())
    assert select([name])[0].value.check(Budget()).verdict is Verdict.REFUTED


@pytest.mark.parametrize(
    ("fails", "verdict"), [("false", Verdict.REFUTED), ("unproved", Verdict.UNDECIDED)]
)
def test_a_failing_step_confirms_nothing(fails, verdict):
    """What the cheap way rests on; a bound 2 % off may be true, and is then only unproved."""
    evidence = Evidence("planted", Budget())
    planted = ProofStep("1 = 0", False, "planted", fails=fails)
    evidence.steps(ProofStep("1 = 1", True, ""), planted)
    finding = evidence.conclude(Verdict.PROVED)
    assert finding.verdict is verdict
    assert "planted" in finding.counterexample + finding.missing
