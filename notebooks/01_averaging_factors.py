# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1 · Why averaging LoRA factors is wrong
#
# A client of a federation trains a low-rank update $\Delta W_i = A_i B_i$ and sends the two factors. The server wants
# the average update $\frac1N\sum_i A_iB_i$, but what it can average cheaply are the factors.
#
# **After this notebook you can**
# - compute the *interference* that averaging the factors causes, and say when it is zero;
# - explain why FFA-LoRA and RoLoRA average exactly and FedAvg-LoRA does not;
# - predict how the error grows with the clients' differences.

# %%
import matplotlib.pyplot as plt
import numpy as np
from teaching import compare, plot_style, slide

from federated_lora import Adapter, ClientFactors, FedAvgLoRA, FFALoRA, RoLoRA, aggregate

plot_style()

# %% [markdown]
# **Question 1.** Two clients, every factor a single number: $A_1B_1 = 1\cdot 2$ and $A_2B_2 = 3\cdot 6$. What is the
# mean of the products, and what the product of the means?
#
# *Predict first:* will the product of the means be too small, too large, or right?

# %%
A, B = np.array([1.0, 3.0]), np.array([2.0, 6.0])
mean_of_products, product_of_means = np.mean(A * B), np.mean(A) * np.mean(B)
print(f"mean of products {mean_of_products}, product of means {product_of_means}")
print(f"the gap is the covariance of A and B: {np.mean((A - A.mean()) * (B - B.mean()))}")

# %% [markdown]
# **Question 2.** Does the same hold for matrices? The claim `interference-identity` says
# $\frac1N\sum A_iB_i - \bar A\bar B = \frac1N\sum(A_i-\bar A)(B_i-\bar B)$: the interference is a covariance.
#
# *Predict:* how large is the gap between the two sides for ten random clients?


# %%
def clients_around(spread, clients=10, d_in=30, rank=4, d_out=20, seed=0):
    """Clients' factors: a common pair plus `spread` times standard normal deviations."""
    rng = np.random.default_rng(seed)
    A0, B0 = rng.standard_normal((d_in, rank)), rng.standard_normal((rank, d_out))
    A = A0 + spread * rng.standard_normal((clients, d_in, rank))
    B = B0 + spread * rng.standard_normal((clients, rank, d_out))
    return Adapter(A0, B0), A, B


server, A, B = clients_around(spread=0.3)
A_bar, B_bar = A.mean(axis=0), B.mean(axis=0)
left = np.mean(A @ B, axis=0) - A_bar @ B_bar
right = np.mean((A - A_bar) @ (B - B_bar), axis=0)
identity_gap = np.linalg.norm(left - right)
print(f"interference {np.linalg.norm(left):.3f}, the two sides differ by {identity_gap:.1e}")

# %% [markdown]
# **Question 3.** What do the three methods make of it? FedAvg-LoRA averages both factors; FFA-LoRA keeps $A$ frozen on
# all clients and averages $B$; RoLoRA trains $B$ in odd rounds and $A$ in even ones. Each reports its *aggregation
# error* $\|AB - \frac1N\sum A_iB_i\|_F$.
#
# *Predict:* which of the four numbers below are zero?

# %%
errors = {
    "FedAvg-LoRA": aggregate(FedAvgLoRA(), server, ClientFactors(A=A, B=B), None, 1),
    "FFA-LoRA": aggregate(FFALoRA(), server, ClientFactors(B=B), None, 1),
    "RoLoRA, round 1 (B)": aggregate(RoLoRA(), server, ClientFactors(B=B), None, 1),
    "RoLoRA, round 2 (A)": aggregate(RoLoRA(), server, ClientFactors(A=A), None, 2),
}
errors = {name: float(result.aggregation_error) for name, result in errors.items()}
for name, error in errors.items():
    print(f"{name:20} {error:.3g}")

# %% [markdown]
# One factor is the same on all clients, so it comes out of the sum: $\frac1N\sum A\,B_i = A\,\bar B$. That is the whole
# trick of FFA-LoRA and RoLoRA. FFA-LoRA pays for it by never training $A$; RoLoRA trains both, one at a time.
#
# **Question 4.** How does FedAvg-LoRA's error grow as the clients drift apart?
#
# *Predict:* doubling the clients' deviations multiplies the error by 2, by 4, or by 8?

# %%
spreads = np.geomspace(0.01, 3.0, 12)


def fedavg_error(spread, **options):
    server, A, B = clients_around(spread, **options)
    result = aggregate(FedAvgLoRA(), server, ClientFactors(A=A, B=B), None, 1)
    return float(result.aggregation_error)


sizes = np.array([fedavg_error(s) for s in spreads])
slope = np.polyfit(np.log(spreads), np.log(sizes), 1)[0]
plt.loglog(spreads, sizes, "o-", label=f"fitted exponent {slope:.3f}")
plt.xlabel("deviation of the clients")
plt.ylabel("aggregation error")
plt.legend()
plt.show()

# %% [markdown]
# By 4: the interference is made of products of a deviation of $A$ with one of $B$.
#
# **Question 5.** Do more clients average the interference away? *Predict* before you move the slider: as the number of
# clients grows, does the error go to zero?


# %%
def linked_error(spread, clients, seed):
    """A client's pull on A and its pull on B have one cause, its own data: both grow by the same factor."""
    t = spread * np.random.default_rng(seed).standard_normal((clients, 1, 1))
    server, *_ = clients_around(0.0)
    sent = ClientFactors(A=server.A * (1 + t), B=server.B * (1 + t))
    return float(aggregate(FedAvgLoRA(), server, sent, None, 1).aggregation_error)


def error_over_clients(spread):
    counts = np.array([2, 3, 5, 10, 30, 100, 300])
    draws = range(20)
    same = [np.mean([fedavg_error(spread, clients=int(n), seed=k) for k in draws]) for n in counts]
    linked = [np.mean([linked_error(spread, int(n), seed=k) for k in draws]) for n in counts]
    plt.loglog(counts, same, "o-", label="independent deviations of A and B")
    plt.loglog(counts, linked, "s--", label="deviations with one cause")
    plt.xlabel("clients N")
    plt.ylabel("aggregation error")
    plt.title(f"deviation {spread}, mean of n = 20 draws")
    plt.legend()


slide(error_over_clients, spread=[0.1, 0.2, 0.3, 0.5, 1.0])

# %% [markdown]
# Independent deviations average out like $1/\sqrt N$. But a client's $A_i$ and $B_i$ were trained on the *same* data, so
# their deviations have one cause, the covariance tends to a constant, and more clients do not help.
#
# **Exercise 1.** Clients of unequal size: weights $p = (0.7, 0.2, 0.1)$, numbers $A_i = (1, 2, 4)$, $B_i = (3, 1, 2)$.
# What is the interference $\sum p_iA_iB_i - \bar A\bar B$ with the weighted means?

# %%
my_interference = ...  # your answer

# %%
p, a, b = np.array([0.7, 0.2, 0.1]), np.array([1.0, 2.0, 4.0]), np.array([3.0, 1.0, 2.0])
solution = p @ (a * b) - (p @ a) * (p @ b)
compare(my_interference, solution)
assert np.isclose(solution, p @ ((a - p @ a) * (b - p @ b)))  # the identity holds for any weights

# %% [markdown]
# **Exercise 2.** Find two clients of rank 2 with $A_1\neq A_2$ **and** $B_1\neq B_2$ whose interference is exactly zero.
# (Hint: with two clients it is $\frac14(A_1-A_2)(B_1-B_2)$. Which columns of $A$ meet which rows of $B$?)

# %%
my_A, my_B = ..., ...  # two stacks of shapes (2, 3, 2) and (2, 2, 3)

# %%
sol_A, sol_B = np.ones((2, 3, 2)), np.ones((2, 2, 3))
sol_A[1, :, 0] = 5.0  # only the first column of A differs ...
sol_B[1, 1, :] = 7.0  # ... and only the second row of B: they never meet
A2, B2 = (sol_A, sol_B) if my_A is ... else (np.asarray(my_A), np.asarray(my_B))
gap = np.linalg.norm(np.mean(A2 @ B2, axis=0) - A2.mean(axis=0) @ B2.mean(axis=0))
assert np.any(A2[0] != A2[1]) and np.any(B2[0] != B2[1])
print(
    f"interference {gap:.1e}: {'yours' if my_A is not ... else 'the solution'} works"
    if gap < 1e-12
    else gap
)

# %%
# What this notebook rests on. A failure here means that a sentence above is wrong.
assert identity_gap < 1e-12
assert errors["FFA-LoRA"] < 1e-12 and max(errors[k] for k in errors if "RoLoRA" in k) < 1e-12
assert errors["FedAvg-LoRA"] > 1.0
more = {n: np.mean([linked_error(0.3, n, seed=k) for k in range(20)]) for n in (30, 300)}
assert 0.7 < more[300] / more[30] < 1.5  # thousands of clients would not help
assert fedavg_error(0.3, clients=300) < 0.5 * fedavg_error(0.3, clients=30)
assert abs(slope - 2.0) < 0.05  # doubling the deviations multiplies the error by four
assert gap < 1e-12
