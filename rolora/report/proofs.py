"""Every proof step as files that other provers read, and who agrees with it in words."""

import re
from collections.abc import Sequence

from rolora.verify.runner import Outcome
from verification.finding import Opinion, ProofStep, Says


def files(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Texts by path: `proofs/<claim>/<nn>-<slug>.smt2` for steps that can be said, `proofs/<claim>.v`."""
    from verification.proof import coq

    found: dict[str, str] = {}
    for outcome in outcomes:
        if outcome.finding is None or not any(step.coq for step in outcome.finding.proof):
            continue
        lemmas = [f"(* {_quoted(outcome.claim.statement)} *)", coq.PREAMBLE]
        if any(f"(* {coq.ENCLOSED} *)" in step.coq for step in outcome.finding.proof):
            lemmas.append(coq.ENCLOSURES)
        for index, step in enumerate(outcome.finding.proof, 1):
            found |= dict(zip(paths(outcome.claim.id, index, step), step.smt2, strict=True))
            lemmas += [f"(* {index}. {_quoted(step.statement)} *)", _numbered(step.coq, index)]
        found[f"proofs/{outcome.claim.id}.v"] = "\n".join(lemmas)
    return found


def paths(claim_id: str, index: int, step: ProofStep) -> list[str]:
    """Where a step's SMT-LIB 2 files lie beside the report, one a part."""
    slug = re.sub(r"[^a-z0-9]+", "-", step.statement.lower()).strip("-")[:40].strip("-") or "step"
    parts = [""] if len(step.smt2) == 1 else [f"-{part + 1}" for part in range(len(step.smt2))]
    return [f"proofs/{claim_id}/{index:02d}-{slug}{part}.smt2" for part in parts]


def opinions_text(step: ProofStep) -> str:
    """What further engines say of a step, "" if none was asked."""
    return ", ".join(map(_opinion_text, step.opinions))


def opinions_sentence(outcomes: Sequence[Outcome]) -> str:
    """How many steps further engines decided again, "" without any."""
    from verification.proof.second_opinion import ALIKE

    steps = [s for o in outcomes if o.finding is not None for s in o.finding.proof]
    if not steps:
        return ""
    by, alike, sized = [], 0, {1: 0, 2: 0}
    for step in steps:
        told_apart = [o.says is Says.AGREES and not o.scope.endswith(ALIKE) for o in step.opinions]
        if any(o.scope.endswith(ALIKE) for o in step.opinions) and not any(told_apart):
            alike += 1
        else:
            by.append(sum(told_apart))
            one_size = sum(o.says is Says.AGREES and "instance" in o.scope for o in step.opinions)
            if by[-1] == 2 and one_size:
                sized[one_size] += 1
    against = sum(any(o.says is Says.DISAGREES for o in step.opinions) for step in steps)
    told = f"{by.count(2)} of {len(steps)} proof steps were decided again by two engines that share no code"
    told += " with the first"
    told += "".join(
        f" (in {sized[n]} of them {engines} for matrices of one size only)"
        for n, engines in ((1, "one engine"), (2, "both engines")) if sized[n]
    )  # fmt: skip
    told += "".join(
        f", {by.count(n)} by {words}" for n, words in ((1, "one"), (0, "none")) if n in by
    )
    told += f", and {alike} had two sides alike as SymPy left them" if alike else ""
    return f"{told}; " + (
        f"an engine disagrees on {against}." if against else "no engine disagrees."
    )


def _opinion_text(opinion: Opinion) -> str:
    why = opinion.scope if opinion.says is Says.AGREES else opinion.detail
    return f"{opinion.engine} {opinion.says}" + (f" ({why})" if why else "")


def _quoted(text: str) -> str:
    return text.replace("(*", "( *").replace("*)", "* )")


def _numbered(lemmas: str, index: int) -> str:
    if not lemmas:
        return "(* not algebraic *)"
    parts = lemmas.split("LEMMA")
    names = [f"step_{index:02d}_{part}" for part in range(1, len(parts))]
    return parts[0] + "".join(name + rest for name, rest in zip(names, parts[1:], strict=True))
