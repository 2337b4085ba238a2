"""The lemmas for Coq: what they say, and, where `coqc` is installed, that the true ones alone compile."""

import shutil
from types import SimpleNamespace

import pytest
import sympy as sp

from rolora.report import proofs
from rolora.verify import certify
from tests.verification.test_second_opinion import OFF, TRUE_AND_MUTANT
from verification.proof import coq, identities
from verification.proof.obligations import Reader

COQC = shutil.which("coqc")
x = sp.Symbol("x", positive=True)
M = sp.MatrixSymbol("M", *sp.symbols("n k", integer=True, positive=True))


def report(tmp_path, *steps):
    """A report's folder with the proofs of one claim."""
    claim = SimpleNamespace(id="one", statement="a (* claim *)")
    finding = SimpleNamespace(proof=steps)
    for name, text in proofs.files([SimpleNamespace(claim=claim, finding=finding)]).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_every_step_is_a_file_and_every_lemma_is_found(tmp_path):
    steps = [make(sp.Integer(1)) for make in TRUE_AND_MUTANT.values()]
    steps.append(identities.identity("tangent", sp.tan(x) * sp.cos(x), sp.sin(x)))
    folder = report(tmp_path, *steps)
    assert len(list(folder.glob("proofs/one/*.smt2"))) == sum(len(step.smt2) for step in steps)
    found = certify.lemmas(folder)
    assert {lemma.step.split(".")[0] for lemma in found} == {str(i) for i in range(1, len(steps))}
    hoped = {int(lemma.step.split(".")[0]) for lemma in found if not lemma.expected}
    # A square's sign has no certificate of one piece, a number is enclosed.
    assert {list(TRUE_AND_MUTANT)[index - 1] for index in hoped} == {"half-line"}
    enclosed = {int(lemma.step.split(".")[0]) for lemma in found if lemma.enclosed}
    assert {list(TRUE_AND_MUTANT)[index - 1] for index in enclosed} == {"number"}
    assert coq.ENCLOSURES in (folder / "proofs/one.v").read_text()
    assert "(* not stated: tan has no algebraic tree *)" in (folder / "proofs/one.v").read_text()
    with pytest.raises(ValueError, match="DIR must hold a report with proofs"):
        certify.lemmas(tmp_path / "nowhere")


def test_a_report_says_who_agrees():
    true, false = (TRUE_AND_MUTANT["every size"](off) for off in (sp.Integer(1), OFF))
    assert (
        proofs.opinions_text(true) == "python-flint agrees, Z3 agrees (instance k = 2, n = 1 only)"
    )
    assert "python-flint disagrees (left − right is" in proofs.opinions_text(false)

    def told(*steps):
        return proofs.opinions_sentence([SimpleNamespace(finding=SimpleNamespace(proof=steps))])

    first = "proof steps were decided again by two engines that share no code with the first"
    both = TRUE_AND_MUTANT["polynomial"](sp.Integer(1))
    assert told(both, both) == f"2 of 2 {first}; no engine disagrees."
    first += " (in 1 of them one engine for matrices of one size only)"
    assert told(both, true) == f"2 of 2 {first}; no engine disagrees."
    silent = identities.identity("", sp.tan(x) * sp.cos(x), sp.sin(x))
    same = identities.identity("", x + 1, 1 + x)
    roots = identities.identity("", sp.sqrt(x + 1) * sp.sqrt(x + 2), sp.sqrt(x**2 + 3 * x + 2))
    turned = identities.sized_identity("", (M * M.T).T, M * M.T)
    assert "python-flint agrees (both sides were alike" in proofs.opinions_text(turned)
    said = f"2 of 7 {first}, 1 by one, 2 by none, and 2 had two sides alike as SymPy left them"
    assert (
        told(both, true, silent, false, same, roots, turned) == f"{said}; an engine disagrees on 1."
    )
    assert told() == ""


def test_without_coq_a_sentence_says_what_is_missing(tmp_path, capsys, monkeypatch):
    folder = report(tmp_path, TRUE_AND_MUTANT["polynomial"](sp.Integer(1)))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert certify.main([str(folder)]) == 0
    assert "1 lemmas not compiled, for coqc is missing" in capsys.readouterr().out
    assert certify.main([str(tmp_path / "nowhere")]) == 2


@pytest.mark.skipif(COQC is None, reason="coqc is not installed")
@pytest.mark.parametrize("off", [1, OFF])
def test_coq_compiles_the_true_lemmas_alone(tmp_path, off, capsys):
    steps = [make(sp.sympify(off)) for kind, make in TRUE_AND_MUTANT.items()]
    status = certify.main([str(report(tmp_path, *steps))])
    said = capsys.readouterr().out
    assert status == (off != 1), said
    if off == 1:
        assert "(0 of those expected to do not)" in said
    else:
        failed = {
            line.split("step ")[1].split(".")[0] for line in said.splitlines() if "step " in line
        }
        assert failed == {str(i) for i in range(1, len(steps) + 1)}


@pytest.mark.skipif(COQC is None, reason="coqc is not installed")
def test_functions_on_a_box_are_enclosed(tmp_path, capsys, monkeypatch):
    def lemma(slack):
        gap = sp.exp(x) - 1 - x + sp.log(1 + x) / 100 + sp.Rational(slack, 100) * sp.pi
        return coq.lemma(Reader().obligation([(gap, 0)], "≥", {x: (0, 1)}))

    steps = [SimpleNamespace(statement="", smt2=(), coq=lemma(slack)) for slack in (1, -1)]
    assert all(coq.ENCLOSED in step.coq for step in steps)
    folder = report(tmp_path, *steps)
    status = certify.main([str(folder)])
    said = capsys.readouterr().out
    monkeypatch.setattr(certify, "ENCLOSURES", "From Nowhere Require Import Tactic.\n")
    assert certify.main([str(folder)]) == 0
    assert certify.WITHOUT_INTERVAL in capsys.readouterr().out
    if certify.WITHOUT_INTERVAL in said:
        pytest.skip("Coq's Interval is not installed")
    assert status == 1
    assert "step 2. : FAILS" in said
    assert "1 of 2 lemmas compile" in said
