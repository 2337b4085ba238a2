# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 9 · RoLoRA is Oja's rule
#
# A client's target need not have rank 1, nor anything in common with another's. Let each have its own $W_i$, of full rank. What
# does RoLoRA learn from those? With infinitely many samples the answer is a rule from 1982, $\hat A=A+2\eta\,(I-AA^\top)\,SA$
# with $S=\bar W\bar W^\top$, and then QR.
#
# **After this notebook you can**
# - write a round as one line, Oja's rule for the mean of the clients' targets, and derive it;
# - say what clients' differences and several local steps do to it: nothing;
# - predict the rate and the best step from the singular values of the mean target, and what momentum gains.

# %%
import matplotlib.pyplot as plt
import numpy as np
from teaching import compare, line_of, plot_style, slide

import rolora
from linear_model import Algorithm2, FFALeastSquares, Problem, simulate
from theory.local_steps import no_client_drift
from theory.population import best_rank_r, oja_identity
from theory.population import momentum_and_preconditioning as cures
from theory.population.angle import angle_distance

plot_style()
d, p, N, r = 20, 8, 6, 2
rng = np.random.default_rng(0)
own = rng.standard_normal((N, d, p))
own -= own.mean(axis=0)  # what clients have of their own cancels in the mean
U, V = (np.linalg.qr(rng.standard_normal((n, p))).Q for n in (d, p))
sigma = np.array([1.0, 0.8, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1])
targets = (U * sigma) @ V.T + own  # W_i, (N, d, p)
S = targets.mean(axis=0) @ targets.mean(axis=0).T
print(f"‖W̄‖ = {np.linalg.norm(targets.mean(axis=0)):.2f}, ‖W_i‖ = {np.linalg.norm(targets[0]):.2f}")

# %% [markdown]
# The mean is an eighth of what a client has: the clients disagree about nearly everything.
#
# **Question 1.** A client's best $B$ for orthonormal $A$ is $B_i=A^\top W_i$. The server averages, then each client takes the
# gradient $2(A\bar B-W_i)\bar B^\top$ in $A$, and the server averages again. *Predict:* does the new $A$ depend
# on anything but the mean of the $W_i$?
#
# *Hint:* write down both means. Is a client's $W_i$ anywhere multiplied by another $W_i$, or by itself, before it is averaged?

# %%
eta = 0.5
A = np.linalg.qr(rng.standard_normal((d, r))).Q
B = np.mean([A.T @ W for W in targets], axis=0)
moved = A - eta * np.mean([2 * (A @ B - W) @ B.T for W in targets], axis=0)
gap = np.abs(moved - oja_identity.oja_step(A, S, eta)).max()
print(f"is the gap to Oja's step below 1e-14? {gap < 1e-14}")

# %% [markdown]
# No. $\bar B=A^\top\bar W$, and the mean gradient is $2(A\bar B-\bar W)\bar B^\top=-2(I-AA^\top)\bar W\bar W^\top A$: only the
# mean survives. That is Oja's rule, which finds the leading subspace of $S$ as it would a principal component.
#
# **Question 2.** So where does $A$ end up, and does the disagreement slow it down? *Predict* the two curves: clients as they are,
# and clients that all have the target $\bar W$.

# %%
first = np.linalg.qr(np.random.default_rng(1).standard_normal((d, r))).Q
how = {"simulator": "population", "rounds": 40, "start": first}
runs = {}
for name, B_star in (("their own targets", targets), ("the mean target", targets.mean(axis=0))):
    problem = Problem(d=d, clients=N, rank=r, A_star=np.eye(d), B_star=B_star)
    runs[name] = simulate(problem, Algorithm2(eta=eta), **how)
    style = "o" if name == "their own targets" else "k"
    plt.semilogy(runs[name].angle[0], style, markerfacecolor="white", label=name)
found = rolora.check("oja-identity", d=9, clients=4).finding
print(f"claim oja-identity: {found.verdict}, in {len(found.proof)} steps of proof")
plt.xlabel("round")
plt.ylabel(f"angle to the best {r}-dimensional subspace")
plt.legend()
plt.show()

# %% [markdown]
# They are one curve, and it goes to the span of the two leading left singular vectors of $\bar W$: with $B$ fitted, the best
# rank-2 model there is. `rolora.check("best-rank-r-of-the-mean")` decides this claim, `oja-identity` the one above: with a
# proof for every $d$, $p$, $r$ and $N$, and a comparison with a loop over clients at the sizes you ask for.
#
# **Question 3.** How fast? Near the end a small tangent between the modes $i\le r<j$ shrinks by $|1-2\eta(\lambda_i-\lambda_j)|$ a
# round, $\lambda$ the eigenvalues of $S$. *Predict* the slope of the curve above: which pair of modes decides?

# %%
values = np.linalg.eigvalsh(S)[::-1]
angles = runs["their own targets"].angle[0]
rate = best_rank_r.local_rate(values, r, eta)
print(f"rate by formula {rate:.5f}, last two rounds {angles[-1] / angles[-2]:.5f}")
etas = np.linspace(0.1, 1.1, 41)
plt.plot(etas, [best_rank_r.local_rate(values, r, e) for e in etas])
narrow, wide = values[r - 1] - values[r], values[0] - values[-1]
best = best_rank_r.best_step(narrow, wide)
plt.axvline(best, color="k", linewidth=0.8, linestyle=":", label="1/(narrow + wide gap)")
plt.axhline(1, color="0.6", linewidth=0.8)
plt.xlabel("step size η")
plt.ylabel("factor a round")
plt.legend()
plt.show()

# %% [markdown]
# The narrowest gap $\lambda_r-\lambda_{r+1}$ decides for small steps, the widest for large ones; the best step balances them. Beyond
# $1/(\lambda_1-\lambda_d)$ the best subspace repels.
#
# **Question 4.** FedAvg-LoRA drifts when clients take $K$ local steps before they average. *Predict* what $K$ local steps in $A$
# do to RoLoRA: another end, another speed, or both? Move the slider.


# %%
def local_work(steps):
    state, seen = first, []
    for _ in range(40):
        seen.append(angle_distance(state, U[:, :r]))
        B = np.mean([state.T @ W for W in targets], axis=0)
        sent = []
        for W in targets:  # each client works on its own loss
            mine = state.copy()
            for _ in range(steps):
                mine -= 0.1 * 2 * (mine @ B - W) @ B.T
            sent.append(mine)
        state = np.linalg.qr(np.mean(sent, axis=0)).Q
    rate = no_client_drift.local_rate(values, r, 0.1, steps)
    plt.semilogy(seen, label="literal clients")
    last = max(t for t in range(40) if seen[t] > 1e-10)
    plt.semilogy(
        [seen[last] * rate ** (t - last) for t in range(40)], "k--", label="rate by formula"
    )
    plt.title(f"K = {steps} local steps of η = 0.1: factor {rate:.3f} a round")
    plt.ylim(1e-12, 3)
    plt.xlabel("round")
    plt.ylabel("angle to the best subspace")
    plt.legend()
    return seen


slide(local_work, steps=[1, 2, 4, 8, 16, 32])

# %% [markdown]
# The same end, only faster: each client's step is affine in its $W_i$ with the same matrix for all, so the mean of $K$ steps is
# $K$ steps for the mean. In the limit the factor is $\lambda_j/\lambda_i$, power iteration. (With covariances that differ among
# clients this ends: claim `covariate-shift-bias`.)
#
# **Question 5.** FFA-LoRA never moves $A$. What does it lose here? *Predict* with the picture of a fixed subspace in mind.

# %%
problem = Problem(d=d, clients=N, rank=r, A_star=np.eye(d), B_star=targets)
frozen = simulate(problem, FFALeastSquares(), **how)
for run, method in ((frozen, "ffa"), (runs["their own targets"], "rolora")):
    plt.semilogy(np.arange(1, 41), run.excess[0, 1:], **line_of(method))
plt.axhline(
    best_rank_r.excess(first, targets.mean(axis=0)), color="k", linestyle=":", linewidth=0.8
)
plt.xlabel("round")
plt.ylabel("excess over the best model")
plt.ylim(1e-14, 10)
plt.legend()
plt.show()

# %% [markdown]
# What the start's subspace does not hold of $\bar W$, in every round (dotted: `best_rank_r.excess`).
#
# **Exercise 1.** $S$ has the eigenvalues 1, 0.5, 0.3, 0, …, 0 and the rank is 2. What is the smallest factor a round that a fixed
# step can have? (*Hint:* narrowest and widest gap.)

# %%
my_factor = ...  # your answer

# %%
solution = (1.0 - 0.2) / (1.0 + 0.2)  # (wide − narrow)/(wide + narrow)
compare(my_factor, solution)
assert np.isclose(solution, best_rank_r.best_rate(0.2, 1.0))

# %% [markdown]
# **Exercise 2.** A mean target of rank 2 with singular values 3 and 1: gaps from $s^2=1$ to $l^2=9$. Heavy-ball momentum on $A$ has
# the rate $(l-s)/(l+s)$. What is it, and what is the best without momentum?

# %%
my_rates = ...  # your answer: [with, without]

# %%
solution = [2 / 4, 8 / 10]
compare(my_rates, solution)
assert np.allclose(solution, [cures.momentum_rate(3, 1), best_rank_r.best_rate(1, 9)])

# %%
# What this notebook rests on. A failure here means that a sentence above is wrong.
assert gap < 1e-14
assert np.allclose(angles, runs["the mean target"].angle[0], rtol=1e-6) and angles[-1] < 1e-4
assert np.isclose(angles[-1] / angles[-2], rate, rtol=1e-3) and best < 1 / wide
assert found.verdict == "PROVED"
assert np.allclose(frozen.excess[0, 1:], best_rank_r.excess(first, targets.mean(axis=0)))
assert np.linalg.norm(targets[0]) > 8 * np.linalg.norm(targets.mean(axis=0))
plt.close("all")
for steps, t in ((2, 39), (8, 20), (32, 12)):
    seen = local_work(steps)
    factor = no_client_drift.local_rate(values, r, 0.1, steps)
    assert np.isclose(seen[t] / seen[t - 1], factor, rtol=0.01) and seen[-1] < 1e-3
plt.close("all")
