# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 · Step sizes: contraction, plateau, a bifurcation picture
#
# With infinitely many samples a round of RoLoRA is the map $\tan\theta^+=\tan\theta\,|1-\kappa\cos^2\theta|/(1+\kappa\sin^2\theta)$,
# $\kappa=2\eta\|b^*\|^2$. One line, and everything about the step size is in it.
#
# **After this notebook you can**
# - name the step sizes that contract at every angle, and the best one near the solution;
# - say what happens above: not divergence but a plateau, and why;
# - find the exact range in which the paper's contraction lemma is true.

# %%
import matplotlib.pyplot as plt
import numpy as np
from teaching import compare, plot_style, slide

from linear_model import Algorithm2, Problem, simulate
from theory.population import plateau, population_map
from theory.recovery import recovery_theorem

plot_style()


def sines(kappa, rounds, start=0.9):
    """sin θ over rounds in the population limit."""
    run = simulate(
        Problem(d=10), Algorithm2(kappa=kappa), simulator="population", rounds=rounds, start=start
    )
    return run.angle[0]


# %% [markdown]
# **Question 1.** Which $\kappa$ converges fastest: 0.5, 1, or 1.5? *Predict* the order of the three curves, and their
# slopes near the solution.

# %%
curves = {kappa: sines(kappa, 14) for kappa in (0.5, 1.0, 1.5)}
for (kappa, curve), style in zip(curves.items(), ("-", "--", ":"), strict=True):
    plt.semilogy(np.maximum(curve, 1e-16), style, label=f"κ = {kappa}")
plt.xlabel("round")
plt.ylabel("sin θ")
plt.legend()
plt.show()

# %% [markdown]
# Near $\theta=0$ the factor per round is $|1-\kappa|$: the same for 0.5 and 1.5, and zero for 1, where the next term
# decides and every round triples the number of correct digits.
#
# **Question 2.** For which $\kappa$ does the angle shrink from *every* start? *Predict* a threshold from $|1-\kappa|<1$.

# %%
kappas = np.linspace(0.05, 3.95, 79)
tangents = np.geomspace(1e-6, 1e6, 4001)
worst = np.array([np.max(population_map.next_tangent(tangents, k) / tangents) for k in kappas])
plt.plot(kappas, worst)
plt.axhline(1, color="k", linewidth=0.8)
plt.xlabel("step size κ")
plt.ylabel("largest factor on tan θ, over all angles")
plt.show()
print(f"shrinks at every angle up to κ = {kappas[worst < 1].max():.2f}")

# %% [markdown]
# **Question 3.** And above 2? *Predict:* does the iteration blow up, cycle, or settle?

# %%
steps = np.linspace(0.02, 6, 500)
tangent = np.random.default_rng(0).uniform(0.2, 2.0, steps.size)
for _ in range(4000):
    tangent = population_map.next_tangent(tangent, steps)
for _ in range(8):
    tangent = population_map.next_tangent(tangent, steps)
    plt.plot(steps, tangent / np.hypot(1, tangent), ",", color="C0")
above = np.linspace(2, 6, 200)
squared = np.array([float(plateau.plateau_tangent_squared(k)) for k in above])
plt.plot(above, np.sqrt(squared / (1 + squared)), "k--", label="tan²θ = (κ − 2)/(κ + 2)")
plt.xlabel("step size κ")
plt.ylabel("limiting sin θ")
plt.legend()
plt.show()

# %% [markdown]
# It settles on a plateau. A picture of this kind is called a bifurcation diagram: at $\kappa=2$ the fixed point $\theta=0$
# hands its stability to the plateau. There are no cycles and no chaos, and because $a$ is normalised in every round there
# is no divergence: a step too large shows itself as a loss that stops falling.
#
# **Question 4.** The contraction lemma promises $\sin\theta^+\le\sin\theta\sqrt{1-\tfrac\kappa2\cos^2\theta_0}$. For which $\kappa$
# is it true at all angles? *Predict* from $\theta\to0$: when is $|1-\kappa|\le\sqrt{1-\kappa/2}$?


# %%
def excess_over_lemma(kappa):
    """The largest amount by which the true squared sine exceeds what the lemma promises."""
    theta = np.linspace(1e-6, np.pi / 2 - 1e-6, 20_001)
    t = population_map.next_tangent(np.tan(theta), kappa)
    true = t**2 / (1 + t**2)
    promised = np.sin(theta) ** 2 * recovery_theorem.promised_contraction(np.sin(theta), kappa)
    return np.max((true - promised) / np.sin(theta) ** 2)


low, high = 1.0, 2.0
for _ in range(40):  # bisection
    middle = (low + high) / 2
    low, high = (middle, high) if excess_over_lemma(middle) <= 1e-9 else (low, middle)
print(f"the lemma is true up to κ = {low:.6f}, that is η = {low / 2:.6f} / ‖b*‖²")

# %% [markdown]
# The claim `contraction-lemma` proves it: exactly $\kappa=3/2$, that is $\eta=3/(4\|b^*\|^2)$. Between 3/2 and 2 RoLoRA
# still converges, only not as fast as the lemma says.
#
# **Question 5.** Move the slider through all regimes. *Predict* each curve's end before you let go.


# %%
def cobweb(kappa):
    """Iterate the map as a staircase between the curve and the diagonal."""
    s = np.linspace(0.0, 0.999, 400)
    t = population_map.next_tangent(s / np.sqrt(1 - s**2), kappa)
    plt.plot(s, t / np.hypot(1, t), label="one round")
    plt.plot(s, s, "k", linewidth=0.8)
    path = sines(kappa, 25)
    plt.step(path[:-1], path[1:], where="post", color="C1", linewidth=0.8)
    plt.plot(path[:-1], path[1:], ".", color="C1", label="25 rounds from sin θ = 0.9")
    plt.xlabel("sin θ before")
    plt.ylabel("sin θ after")
    plt.title(f"κ = {kappa}")
    plt.legend()


slide(cobweb, kappa=[0.25, 0.5, 1.0, 1.5, 1.9, 2.5, 2.83, 4.0, 6.0])

# %% [markdown]
# Up to $\kappa=2$ the staircase ends at 0, above at the point where curve and diagonal meet. At $\kappa=1$ the curve starts
# flat, at $\kappa=2\sqrt2\approx2.83$ it is flat at the plateau: there the last steps are fastest.
#
# **Exercise 1.** Where is the plateau for $\kappa=3$? Give $\sin\theta$.

# %%
my_sine = ...  # your answer

# %%
solution = np.sqrt((3 - 2) / (2 * 3))  # tan² = 1/5, so sin² = (1/5)/(6/5) = (κ − 2)/(2κ)
compare(my_sine, solution)
assert np.isclose(solution, sines(3.0, 400)[-1])

# %% [markdown]
# **Exercise 2.** $\|b^*\|=5$ and you want the fastest local convergence. Which $\eta$?

# %%
my_eta = ...  # your answer

# %%
solution = 1 / (2 * 25)  # κ = 2η‖b*‖² = 1
compare(my_eta, solution)
b_star = np.array([3.0, 4.0])
fastest = simulate(
    Problem(d=6, B_star=b_star),
    Algorithm2(eta=solution),
    simulator="population",
    rounds=5,
    start=0.5,
)
assert fastest.angle[0, -1] < 1e-12

# %%
# What this notebook rests on. A failure here means that a sentence above is wrong.
ratios = {k: curves[k][9] / curves[k][8] for k in (0.5, 1.5)}
assert np.isclose(ratios[0.5], 0.5, atol=1e-3) and np.isclose(ratios[1.5], 0.5, atol=1e-2)
assert np.all(worst[kappas < 1.99] < 1) and np.all(worst[kappas > 2.01] > 1)
assert abs(low - 1.5) < 1e-4
settled = steps > 2.2
exact = (steps[settled] - 2) / (2 * steps[settled])
assert np.allclose((tangent**2 / (1 + tangent**2))[settled], exact, atol=1e-6)
