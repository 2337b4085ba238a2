# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2 · The linear model by hand: one round in closed form
#
# The paper proves its theorem on a model small enough to hold in your hand: client $i$ has data
# $Y_i = X_i\,a^*b^{*\top}$ with standard normal $X_i\in\mathbb R^{m\times d}$, and learns a rank-1 product $ab^\top$. The
# only thing that matters is the angle $\theta$ between $a$ and $a^*$.
#
# **After this notebook you can**
# - carry out one round of Algorithm 2 (least squares for $b$, one gradient step for $a$) with numpy;
# - write each half of the round in closed form, and say which part of it is noise;
# - predict the next angle with a one-line map.

# %%
import matplotlib.pyplot as plt
import numpy as np
from teaching import compare, plot_style, slide

from linear_model import Algorithm2, Problem, simulate
from theory.population import population_map
from theory.population.angle import angle_distance

plot_style()
rng = np.random.default_rng(7)

d, N, m, kappa = 12, 4, 30, 0.6
a_star = np.eye(d)[0]
u = np.eye(d)[1]  # a unit vector orthogonal to a*
b_star = np.array([3.0, 0.0, 4.0])  # of length 5
eta = kappa / (2 * b_star @ b_star)  # κ = 2η‖b*‖² is the only step size that matters
theta = 0.8
a = np.cos(theta) * a_star + np.sin(theta) * u
X = rng.standard_normal((N, m, d))
Y = X @ np.outer(a_star, b_star)

# %% [markdown]
# **Question 1 (the b-step).** Every client solves $b_i=\arg\min_b\|X_iab^\top-Y_i\|^2$, the server averages. Which
# direction does $\bar b$ have?
#
# *Predict:* is $\bar b$ exactly parallel to $b^*$, or only nearly, with 30 noisy samples per client?

# %%
fits = []
for Xi, Yi in zip(X, Y, strict=True):
    z = Xi @ a
    fits.append(Yi.T @ z / (z @ z))
b_bar = np.mean(fits, axis=0)
print("b̄ / b* where b* is not 0:", b_bar[[0, 2]] / b_star[[0, 2]])

# %% [markdown]
# Exactly parallel: $Y_i$ has rank one. Only the *length* is random: $\bar b=\beta b^*$ with $\beta=c+s\bar\rho$, where
# $c=\cos\theta$, $s=\sin\theta$, $a^*=c\,a+s\,v$ and $\rho_i = v^\top G_ia/(a^\top G_ia)$, $G_i=X_i^\top X_i/m$.
#
# **Question 2.** How large is $\bar\rho$? *Predict:* it shrinks with the samples per client, or with all clients' samples?

# %%
c, s = a_star @ a, np.sin(theta)
v = (a_star - c * a) / s
G = np.einsum("nmi,nmj->nij", X, X) / m
rho = np.array([v @ Gi @ a / (a @ Gi @ a) for Gi in G])
beta = c + s * rho.mean()
print(f"c + s·ρ̄ = {beta:.12f},  measured {b_bar[0] / b_star[0]:.12f}")

draws = 40_000
g, h = rng.standard_normal((2, draws, N, m))
many = np.mean((g * h).sum(-1) / (g * g).sum(-1), axis=1)
print(f"Var ρ̄ measured {many.var():.5f}, exact 1/(N(m−2)) = {1 / (N * (m - 2)):.5f}")

# %% [markdown]
# Pooled samples count: $\sqrt m\,\rho_i$ has Student's t distribution with $m$ degrees of freedom, which makes
# $\mathrm{Var}\,\bar\rho=1/(N(m-2))$ (the claim `bstep-law`).
#
# **Question 3 (the a-step).** Clients send the gradient $\nabla_a\frac1m\|X_ia\bar b^\top-Y_i\|^2$. What happens to it as
# $\theta\to0$? *Predict:* does sampling noise keep it away from zero at the solution?

# %%
gradients = [
    2 / m * Xi.T @ (Xi @ np.outer(a, b_bar) - Yi) @ b_bar for Xi, Yi in zip(X, Y, strict=True)
]
gradient = np.mean(gradients, axis=0)
closed = 2 * (b_star @ b_star) * beta * s * G.mean(axis=0) @ (rho.mean() * a - v)
closed_gap = np.linalg.norm(gradient - closed) / np.linalg.norm(gradient)
print(f"gradient = 2‖b*‖² β s Ḡ(ρ̄a − v): relative gap {closed_gap:.1e}")

# %% [markdown]
# The whole gradient is **proportional to** $s=\sin\theta$, noise included. That is why RoLoRA converges to *zero* error
# on noisy samples: the noise is multiplicative and dies with the angle.
#
# **Question 4.** Put the halves together: step, normalise, measure the new angle. *Predict* it with the population map
# $\tan\theta^+=\tan\theta\,|1-\kappa\cos^2\theta|/(1+\kappa\sin^2\theta)$. How close will 120 samples come?

# %%
moved = a - eta * gradient
moved /= np.linalg.norm(moved)
measured = np.linalg.norm(
    moved - a_star * (a_star @ moved)
)  # sin θ; never arccos, which loses small angles
tangent = population_map.next_tangent(np.tan(theta), kappa)
predicted = tangent / np.hypot(1, tangent)
print(f"sin θ was {s:.4f}; after the round {measured:.4f}; the map says {predicted:.4f}")
assert np.isclose(measured, angle_distance(moved[:, None], a_star[:, None]))

# %% [markdown]
# **Question 5.** When is the map exact? Move the slider for the samples per client.
# *Predict:* ten times more samples bring the dots closer to the curve by which factor?


# %%
def against_map(samples):
    starts = np.linspace(0.05, 0.99, 15)
    for start in starts:
        run = simulate(
            Problem(d=d, clients=N, samples=samples), Algorithm2(kappa=kappa), rounds=1, trials=20,
            start=float(start), seed=1,
        )  # fmt: skip
        plt.plot([start] * run.trials, run.angle[:, 1], ".", color="C0", markersize=2)
    t = population_map.next_tangent(starts / np.sqrt(1 - starts**2), kappa)
    plt.plot(starts, t / np.hypot(1, t), "k", label="population map")
    plt.xlabel("sin θ before the round")
    plt.ylabel("sin θ after")
    plt.title(f"m = {samples} samples per client, n = 20 runs a start")
    plt.legend()


slide(against_map, samples=[10, 30, 100, 1000, 10_000])

# %% [markdown]
# In the limit $m\to\infty$, and the dots come closer like $1/\sqrt m$: ten times more samples bring them closer by a factor
# of about $\sqrt{10}\approx3$.
#
# **Exercise 1.** At the step size $\kappa=1$, what does the map make of a small angle? Give $\tan\theta^+$ for
# $\tan\theta=0.01$.

# %%
my_tangent = ...  # your answer

# %%
solution = (
    0.01 * 0.01**2 / (1 + 2 * 0.01**2)
)  # |1 − κcos²θ| = sin²θ: cubic, so digits triple in a round
compare(my_tangent, solution)
assert np.isclose(solution, population_map.next_tangent(0.01, 1.0))

# %% [markdown]
# **Exercise 2.** Show with the closed form of Question 2 that $\|a\bar b^\top-a^*b^{*\top}\|_F=\|b^*\|\,s\sqrt{1+\bar\rho^2}$,
# by computing both sides for the data above.

# %%
my_error = ...  # your right-hand side, a number

# %%
left = np.linalg.norm(np.outer(a, b_bar) - np.outer(a_star, b_star))
right = np.linalg.norm(b_star) * s * np.sqrt(1 + rho.mean() ** 2)
compare(my_error, right)
assert np.isclose(left, right)

# %%
# What this notebook rests on. A failure here means that a sentence above is wrong.
assert np.allclose(b_bar, beta * b_star)
assert closed_gap < 1e-12
assert abs(many.var() * N * (m - 2) - 1) < 0.06  # six standard errors: 40,000 draws give about 1 %
exact = simulate(
    Problem(d=d), Algorithm2(kappa=kappa), simulator="population", rounds=1, start=float(s)
)
assert np.isclose(exact.angle[0, 1], predicted, rtol=1e-12)
few, many_samples = (
    simulate(
        Problem(d=d, clients=N, samples=samples), Algorithm2(kappa=kappa), rounds=1, trials=2000,
        start=0.5, seed=2,
    ).angle[:, 1].std()
    for samples in (1000, 10_000)
)  # fmt: skip
assert abs(few / many_samples / np.sqrt(10) - 1) < 0.15  # six standard errors of the ratio are 0.13
