# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5 · How much data: the one-dimensional chain and the pooled-sample law
#
# With finite samples the next angle is random. By rotational invariance its law depends on the present angle alone: a
# Markov chain in one dimension that can be simulated at $d=10^6$ and $m=10^7$ as fast as at $d=10$.
#
# **After this notebook you can**
# - say when the chain may replace literal data, and test that it does;
# - predict the mean-square rate of a federation from $d$ and the *pooled* number of samples $Nm$;
# - see what the theorem's condition per client asks for and what is needed.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy import stats
from teaching import compare, plot_style, slide

from linear_model import Algorithm2, Problem, simulate
from theory.recovery import recovery_theorem
from theory.samples import mean_square_rate

plot_style()

# %% [markdown]
# **Question 1.** Does the chain have the same law as literal data? *Predict:* with 400 runs of each, can a
# Kolmogorov–Smirnov test tell them apart?

# %%
small = Problem(d=10, clients=3, samples=8)
settings = {"rounds": 3, "trials": 400, "start": 0.7, "seed": 11}
literal = simulate(small, Algorithm2(kappa=0.6), simulator="data", **settings).angle[:, -1]
chain = simulate(small, Algorithm2(kappa=0.6), simulator="chain", **settings).angle[:, -1]
test = stats.ks_2samp(literal, chain)
print(
    f"medians {np.median(literal):.4f} and {np.median(chain):.4f}; KS distance {test.statistic:.3f}, p = {test.pvalue:.2f}"
)

# %% [markdown]
# It cannot (and should not: the chain is exact, not an approximation). What does it buy?
#
# **Question 2.** One million dimensions, ten million samples per client, ten clients: $X$ would have $10^{14}$ entries. From
# a *random* start, how many rounds to $\sin\theta\le10^{-6}$? *Predict*, and compare with the theorem's $T$.

# %%
huge = Problem(d=1_000_000, clients=10, samples=10_000_000)
run = simulate(huge, Algorithm2(kappa=0.5), simulator="chain", rounds=60, trials=100, seed=1)
reached = run.angle <= 1e-6
needed = reached.argmax(axis=1)
asked = recovery_theorem.rounds_bound(run.angle[:, 0], 1e-6, 0.5, log=np.log)
print(f"median rounds needed {np.median(needed):.0f}, the theorem asks for {np.median(asked):.1e}")

# %% [markdown]
# The escape from a random start is exponential, so it takes $\log\sqrt d$ rounds; the theorem charges the worst angle's
# price in every round and grows like $d$.
#
# **Question 3.** Now few samples. Near the solution $\mathrm E[s_+^2]/s^2=(1-\kappa)^2+\kappa^2q$ with $q\approx d/(Nm)$. *Predict*
# the best $\kappa$ when $d=100$ and $Nm=100$ (so $q\approx1$).

# %%
d, kappas = 100, np.linspace(0.1, 1.5, 15)
problem = Problem(d=d, clients=10, samples=10)
q = float(mean_square_rate.noise_ratio(d, 10, 10))
measured = []
for kappa in kappas:
    one = simulate(
        problem,
        Algorithm2(kappa=float(kappa)),
        simulator="chain",
        rounds=1,
        trials=4000,
        start=1e-6,
        seed=2,
    )
    measured.append(np.mean((one.angle[:, 1] / one.angle[:, 0]) ** 2))
measured = np.array(measured)
plt.plot(kappas, measured, "o", markerfacecolor="white", label="measured, n = 4000")
plt.plot(kappas, mean_square_rate.rate_squared(kappas, q), "k", label="exact")
plt.axhline(1, color="0.6", linewidth=0.8)
plt.xlabel("step size κ")
plt.ylabel(r"$\mathrm{E}[s_+^2]/s^2$")
plt.legend()
plt.show()
print(
    f"q = {q:.3f}: best κ = {float(mean_square_rate.optimal_kappa(q)):.3f}, stable up to {float(mean_square_rate.threshold_kappa(q)):.3f}"
)

# %% [markdown]
# **Question 4.** Who must hold the samples? The theorem's condition asks *each client* for many. *Predict:* 200 samples,
# held by one client, or by 40 clients with 5 each in $d=50$: which federation converges faster?

# %%
splits = {(1, 200): None, (4, 50): None, (40, 5): None}
for clients, samples in splits:
    run = simulate(
        Problem(d=50, clients=clients, samples=samples), Algorithm2(kappa=0.7), simulator="chain",
        rounds=40, trials=300, start=0.7, seed=3,
    )  # fmt: skip
    splits[clients, samples] = np.median(run.angle, axis=0)
for ((clients, samples), middle), style in zip(splits.items(), ("-", "--", ":"), strict=True):
    plt.semilogy(middle, style, label=f"N = {clients}, m = {samples}")
plt.xlabel("round")
plt.ylabel("median sin θ (n = 300)")
plt.legend()
plt.show()

# %% [markdown]
# Nearly the same: what counts is the pool. Forty clients, each with ten times fewer samples than dimensions, do about as
# well together as one client with all of them. (The small difference is the variance $1/(N(m-2))$ of the averaged
# b-step.) Alone, one of the forty has $q\approx13$, and this step size would throw it off the solution.
#
# **Question 5.** Move the slider for the pool's size. *Predict* the smallest pool per dimension at which $\kappa=1$ still
# converges in mean square (the threshold is $\kappa<2/(1+q)$).


# %%
def over_pool(pool_per_d):
    clients, samples = 10, max(3, round(50 * pool_per_d / 10))
    run = simulate(
        Problem(d=50, clients=clients, samples=samples), Algorithm2(kappa=1.0), simulator="chain",
        rounds=40, trials=200, start=0.5, seed=4,
    )  # fmt: skip
    plt.semilogy(run.angle[:20].T, color="C0", linewidth=0.5, alpha=0.5)
    plt.semilogy(np.sqrt(np.mean(run.angle**2, axis=0)), "k--", label="root mean square")
    q = float(mean_square_rate.noise_ratio(50, clients, samples))
    plt.title(f"Nm/d = {clients * samples / 50:.1f}, κ = 1, exact threshold κ < {2 / (1 + q):.2f}")
    plt.xlabel("round")
    plt.ylabel("sin θ")
    plt.legend()


slide(over_pool, pool_per_d=[0.6, 0.8, 1.0, 1.5, 2.0, 4.0, 8.0, 20.0, 100.0])

# %% [markdown]
# The threshold is above 1 when $q<1$: a little more than one pooled sample per dimension. Below that a smaller step still
# converges, only slowly.
#
# **Exercise 1.** $d=768$, 50 clients. How many samples must each hold (at least, up to the small variance term) so that the
# best step makes the mean square ten times smaller per round? (The best rate² is $q/(1+q)$.)

# %%
my_samples = ...  # your answer

# %%
solution = 768 * 9 / 50  # q/(1+q) = 1/10 means q = 1/9, so Nm = 9d
compare(my_samples, solution, tolerance=0.02)
exact_q = float(mean_square_rate.noise_ratio(768, 50, 139))
assert abs(exact_q / (1 + exact_q) - 0.1) < 2e-3

# %% [markdown]
# **Exercise 2.** A federation with $q=1/3$ uses $\kappa=1.4$. By which factor does the mean square angle change per round?

# %%
my_factor = ...  # your answer

# %%
solution = 0.4**2 + 1.4**2 / 3
compare(my_factor, solution)
assert np.isclose(solution, float(mean_square_rate.rate_squared(1.4, 1 / 3)))

# %%
# What this notebook rests on. A failure here means that a sentence above is wrong.
assert test.pvalue > 1e-6
assert reached[:, -1].all() and np.median(needed) < 60 and np.median(asked) > 1e6
assert np.all(np.abs(measured / mean_square_rate.rate_squared(kappas, q) - 1) < 0.06)
ends = [middle[-1] for middle in splits.values()]
alone = float(mean_square_rate.noise_ratio(50, 1, 5))
assert 12 < alone < 14 and float(mean_square_rate.rate_squared(0.7, alone)) > 1
assert max(ends) < 1e-5 and np.ptp(np.log10(ends)) < 2
