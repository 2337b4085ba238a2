# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3 · RoLoRA against FFA-LoRA: the angle and the floor
#
# FFA-LoRA freezes $A$ at a random start and trains $B$ only. RoLoRA trains both in turn. Both average exactly. So what is
# the difference?
#
# **After this notebook you can**
# - compute the loss FFA-LoRA cannot go below, and see that it does not depend on data, rounds or clients;
# - say how much of the signal a random frozen $A$ of rank $r$ keeps in $d$ dimensions;
# - explain why the paper's constant $\tilde c$ has two signs, depending on which loss is meant.

# %%
import matplotlib.pyplot as plt
import numpy as np
from teaching import compare, line_of, plot_style, slide

from linear_model import Algorithm2, FFALeastSquares, Problem, simulate
from theory.frozen_factor import ffa_floor, random_init

plot_style()

# %% [markdown]
# **Question 1.** $a$ starts at angle distance $\sin\theta=0.6$ from $a^*$ and stays there. What is the smallest loss
# $\|ab^\top-a^*b^{*\top}\|_F^2$ over all $b$, with $\|b^*\|=1$?
#
# *Predict:* 0.6, 0.36, or 0?

# %%
problem = Problem(d=30, clients=5, samples=40)
frozen = simulate(problem, FFALeastSquares(), rounds=30, trials=200, start=0.6, seed=3)
print(
    f"FFA-LoRA's excess loss after 1 round {frozen.excess[:, 1].mean():.4f}, after 30 {frozen.excess[:, -1].mean():.4f}"
)

# %% [markdown]
# About $\sin^2\theta=0.36$, in every round: $a^*$ has a component of length $\sin\theta$ that no multiple of $a$ reaches.
#
# **Question 2.** And RoLoRA, from the same starts, on as many samples? *Predict* where its curve ends.

# %%
ours = simulate(problem, Algorithm2(kappa=0.7), rounds=30, trials=200, start=0.6, seed=3)
for run, method in ((frozen, "ffa"), (ours, "rolora")):
    middle = np.median(run.excess[:, 1:], axis=0)
    plt.semilogy(np.arange(1, 31), middle, **line_of(method))
plt.axhline(0.36, color="k", linewidth=0.8, linestyle=":", label="sin²θ")
plt.xlabel("round")
plt.ylabel("excess loss (median of 200)")
plt.legend()
plt.show()

# %% [markdown]
# **Question 3.** The paper states the floor as $(1+\tilde c)\,\|b^*\|^2\sin^2\theta$ with $\tilde c=O(1/(Nm))$. *Predict the
# sign:* is the loss a little above or a little below $\sin^2\theta$?

# %%
N, m, draws = 3, 8, 200_000
g, h = np.random.default_rng(0).standard_normal((2, draws, N, m))
gg, gh, hh = (g * g).mean(-1), (g * h).mean(-1), (h * h).mean(-1)
rho = (gh / gg).mean(axis=1, keepdims=True)
on_training = ffa_floor.loss_in_frame(rho, 0.0, 1.0, gg, gh, hh).mean(axis=1)
on_new = 1 + rho[:, 0] ** 2
constants = {
    "training samples": (on_training, float(ffa_floor.training_constant(N, m))),
    "new samples": (on_new, float(ffa_floor.fresh_constant(N, m))),
}
for name, (loss, exact) in constants.items():
    error = loss.std() / np.sqrt(draws)
    print(f"{name:17} measured c̃ = {loss.mean() - 1:+.4f} ± {error:.4f}, exact {exact:+.4f}")

# %% [markdown]
# Both signs occur. On the samples that were fitted the loss is *below* $\sin^2\theta$, because least squares also fits part
# of what it cannot learn; on new samples it is above. The exact constants are the claim `ffa-floor`.
#
# **Question 4.** A frozen $A$ is random, not at $\sin\theta=0.6$. In $d=20$ dimensions with rank $r$, which share of the
# signal $\|A^*B^*\|_F^2$ is lost on average? *Predict* for $r=1$ and $r=10$.

# %%
d = 20
ranks = np.array([1, 2, 5, 10, 15, 20])
rng = np.random.default_rng(5)
lost = []
for r in ranks:
    frames = np.linalg.qr(rng.standard_normal((4000, d, r)))[0]
    lost.append(1 - np.mean((frames[:, 0, :] ** 2).sum(-1)))  # a* = first unit vector
plt.plot(ranks, lost, "o", markerfacecolor="white", label="measured, 4000 random A")
plt.plot(ranks, [random_init.remaining_fraction(int(r), d) for r in ranks], "k", label="1 − r/d")
plt.xlabel("rank r")
plt.ylabel("expected share lost")
plt.legend()
plt.show()

# %% [markdown]
# A frozen random $A$ learns $r/d$ of the signal, whatever the signal is: no direction is special to a random $A$. With a
# language model's $d=1024$ and $r=4$ that would be 0.4 %. FFA-LoRA does much better there, because this model is harsher
# than a language model in two ways: its inputs fill all $d$ directions equally, and only one update fits the labels.
#
# **Question 5.** Does a better start help FFA-LoRA, and RoLoRA? Move the slider. *Predict* which curve moves.


# %%
def from_start(start):
    for name, method in (("ffa", FFALeastSquares()), ("rolora", Algorithm2(kappa=0.7))):
        run = simulate(problem, method, rounds=30, trials=40, start=start, seed=4)
        plt.semilogy(np.arange(1, 31), np.median(run.excess[:, 1:], axis=0), **line_of(name))
    plt.xlabel("round")
    plt.ylabel("excess loss (median of 40)")
    plt.title(f"start at sin θ = {start}")
    plt.ylim(1e-26, 2)
    plt.legend()


slide(from_start, start=[0.05, 0.3, 0.9, 0.99, 0.999])

# %% [markdown]
# FFA-LoRA's floor falls with the start's angle, and RoLoRA's end does not depend on it: from a bad start its curve waits some
# rounds, then falls at the same rate.
#
# **Exercise 1.** With $N=10$ clients of $m=12$ samples each, by how many per cent does FFA-LoRA's expected loss on *new*
# samples exceed $\sin^2\theta$?

# %%
my_percent = ...  # your answer

# %%
solution = 100 / (10 * (12 - 2))  # 100·Var ρ̄ = 100/(N(m − 2)) = 1 %
compare(my_percent, solution)
assert np.isclose(solution, 100 * float(ffa_floor.fresh_constant(10, 12)))

# %% [markdown]
# **Exercise 2.** How large must $r$ be, in $d=768$ dimensions, for a random frozen $A$ to keep half of the signal on average?

# %%
my_rank = ...  # your answer

# %%
solution = 768 / 2
compare(my_rank, solution)
assert np.isclose(float(random_init.remaining_fraction(384, 768)), 0.5)

# %%
# What this notebook rests on. A failure here means that a sentence above is wrong.
floor = 0.36 * (1 + float(ffa_floor.fresh_constant(5, 40)))
late = frozen.excess[:, -1]
assert abs(late.mean() - floor) < 6 * late.std() / np.sqrt(late.size)
assert np.all(ours.excess[:, -1] < 1e-12)
for loss, exact in constants.values():
    assert abs(loss.mean() - 1 - exact) < 6 * loss.std() / np.sqrt(draws)
assert np.allclose(lost, 1 - ranks / d, atol=0.02)
