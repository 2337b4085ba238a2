# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 6 · Reading a verification report, and checking a claim of your own
#
# `make verify` decides every claim of the toolkit and writes `results/verify/report.html`. This notebook runs a small part
# of it, reads the result as data, and adds a new claim in ten lines.
#
# **After this notebook you can**
# - tell the nine verdicts apart, and read theory, measurement and margin in a row of the report;
# - say what a negative control is for, and spot a check that decides nothing;
# - write a claim with a proof, a measurement and a control.

# %%
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import sympy as sp
from teaching import compare
from typer.testing import CliRunner

from rolora.cli import app
from theory.population import population_map
from verification.budget import Budget
from verification.claim import OURS, claim
from verification.evidence import Evidence
from verification.finding import Comparison, Relation
from verification.statistics import mean_estimate, proportion_interval
from verification.verdict import Verdict

# %% [markdown]
# **Question 1.** What can a check say at all? *Predict:* which of these are certain, and which could be wrong with a stated
# probability?

# %%
for verdict in Verdict:
    print(f"{verdict:13} {verdict.meaning}")

# %% [markdown]
# **Question 2.** Run two claims as `rolora verify --only … --only …` does. *Predict* the exit status.

# %%
folder = Path(tempfile.mkdtemp())
names = ("population-map", "plateau")
arguments = ["verify", "--quiet", "--out", str(folder)]
for name in names:
    arguments += ["--only", name]
outcome = CliRunner().invoke(app, arguments)
report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
print("exit status", outcome.exit_code)
print(report["headline"])

# %% [markdown]
# Status 0 means: every verdict was reached and is the expected one **and** every negative control was refuted. 1 means that
# some was not, 2 that the command was used wrongly, 3 that nothing differs but claims are open: undecided or not run.
#
# **Question 3.** What does one claim's row rest on? *Predict:* does a proved claim carry measurements too?

# %%
for row in report["claims"]:
    finding = row["finding"]
    print(f"{row['id']}: {finding['verdict']} with {len(finding['proof'])} proof steps")
    for c in finding["comparisons"][:2]:
        print(f"   {c['quantity'][:70]}")
        print(
            f"   theory {c['relation']} {c['theory']:.6g}, measured {c['measured']:.6g}, margin {c['margin']:.1e}"
        )

# %% [markdown]
# Yes: a proof can be about the wrong formula, a measurement cannot prove. Each claim has both where both are possible.
# The *margin* is the room left before the comparison would have failed.
#
# **Question 4.** Would the check notice a false statement? Its negative control runs the same check on one. *Predict* its
# verdict.

# %%
control = population_map.check.negative_control(Budget())
print("the mutant says:", population_map.check.says)
print(control.verdict, "-", control.counterexample[:100])

# %% [markdown]
# **Question 5.** A claim of your own. At $\kappa=1$ notebook 4 saw the digits triple: is one round exactly
# $\tan\theta^+=\tan^3\theta/(1+2\tan^2\theta)$? *Predict* the verdict, then read the ten lines that decide it.


# %%
@claim(
    "cubic-step", "κ = 1 is cubic", statement="At κ = 1, tan θ⁺ = tan³θ/(1 + 2 tan²θ).",
    latex=r"\tan\theta^+=\tan^3\theta/(1+2\tan^2\theta)", source=OURS, section="population",
    assumptions=("population limit",), expected=Verdict.PROVED,
    mutant={"two": sp.Rational(19, 10)}, says="1.9 in place of 2",
)  # fmt: skip
def cubic(evidence, *, two=2, at=0.1):
    t = sp.Symbol("t", positive=True)
    evidence.identity("κ = 1", population_map.next_tangent(t, 1), t**3 / (1 + two * t**2))
    measured = population_map.next_tangent(at, 1.0)
    evidence.equal(f"tan θ⁺ from {at}", at**3 / (1 + two * at**2), measured, rounding=1e-15)


mine, mutant = cubic.check(Budget()), cubic.negative_control(Budget())
print(f"check: {mine.verdict}; negative control: {mutant.verdict}")
print("counterexample of the control:", mutant.counterexample[:90])

# %% [markdown]
# In a file of your own, `my_claim.py`, these lines are run by `rolora verify --claims my_claim cubic-step --set at=0.3`; in
# `theory/population/cubic_step.py` they are a claim of the toolkit. `docs/how-to/add-a-claim.md` says what a reviewer looks for.
#
# **Question 6.** What if a claim can only be sampled? Then the error probability is part of the verdict. *Predict:* does a
# comparison `≤ 1.05` with measured interval $[0.98, 1.10]$ hold?

# %%
for certify in (False, True):
    c = Comparison("x", 1.05, 1.04, Relation.LE, interval=(0.98, 1.10), certify=certify)
    print(f"certify={certify!s:5}: holds {c.holds!s:5} ({c.standing})")
rng = Budget(seed=5).rng("notebook 6")
found = mean_estimate(rng.standard_normal(20_000) ** 2, alpha=1e-6)
print(
    f"mean of a squared normal: {found.mean:.4f} in [{found.interval[0]:.4f}, {found.interval[1]:.4f}], theory 1"
)

# %% [markdown]
# *Not refuted* and *certified* are different statements: the first says that the data do not exclude the bound, the second
# that they exclude everything beyond it.
#
# **Exercise 1.** A method never failed in $n$ runs. How many runs are needed to certify a failure probability of at most
# 1 % with error probability $10^{-6}$ (one-sided)? Solve $0.99^n\le10^{-6}$.

# %%
my_runs = ...  # your answer

# %%
solution = math.ceil(math.log(1e-6) / math.log(0.99))
compare(my_runs, solution)
assert (
    proportion_interval(0, solution, alpha=2e-6)[1]
    <= 0.01
    < proportion_interval(0, solution - 1, alpha=2e-6)[1]
)

# %% [markdown]
# **Exercise 2.** Write a check of the claim above that *cannot* fail: a function of `two` that returns a finding. The negative
# control gives it away: the mutant, `two=1.9`, is not refuted. (The solution below widens the tolerance until nothing is
# left to refute.)

# %%
my_check = ...  # your function


def empty_check(two):
    evidence = Evidence("empty", Budget())
    evidence.equal("tan θ⁺", 0.1**3 / (1 + two * 0.01), 0.001 / 1.02, rounding=1.0)
    return evidence.conclude(Verdict.PROVED)


for name, written in (("yours", my_check), ("the solution", empty_check)):
    if written is not ...:
        said, of_mutant = written(2).verdict, written(1.9).verdict
        found_out = said is Verdict.PROVED and of_mutant is Verdict.PROVED
        print(f"{name}: statement {said}, mutant {of_mutant}:", end=" ")
        print("an empty check, found out" if found_out else "not empty, it can fail")

# %%
# What this notebook rests on. A failure here means that a sentence above is wrong.
assert outcome.exit_code == 0 and {c["id"] for c in report["claims"]} == set(names)
assert all(c["finding"]["proof"] and c["finding"]["comparisons"] for c in report["claims"])
assert control.verdict is Verdict.REFUTED
assert mine.verdict is Verdict.PROVED and mutant.verdict is Verdict.REFUTED
assert found.interval[0] < 1 < found.interval[1]
assert np.isclose(solution, 1375) and empty_check(1.9).verdict is not Verdict.REFUTED
