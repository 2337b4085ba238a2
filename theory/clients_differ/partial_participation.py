"""Only n of N clients a round: the angle needs no more, b̄ keeps a floor (theory.md §10).

Problem: `Y_i = X_i a* b_i*ᵀ` with one a*; in each round a set S of n clients, drawn without replacement,
takes part in both half-steps; `b̄_S` is the mean of its b_i*, `e_i = b_i* − b̄*`, `V = mean ‖e_i‖²`.
Exact result, population limit: a round moves the angle by the map of theory.md §2 with `κ_S = 2η‖b̄_S‖²`, so
it goes to 0 without a floor: almost surely by `exp E log|1 − κ_S|` a round in the long run, in mean square by
E(1 − κ_S)², if these are below 1. What is left is the last b̄: an excess risk of `(N − n)/(n(N − 1)) V`, and
E κ_S is larger than κ by 2η times it. With m > 2 samples and small spread the floor of E s² is that of claim
heterogeneous-samples with n clients and the spread among those present, N(n − 1)/(n(N − 1)) of all.
"""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float

from theory.clients_differ import heterogeneity, heterogeneity_floor, heterogeneous_samples
from theory.samples import mean_square_rate as rate
from verification.finding import ProofStep
from verification.proof.identities import identity, rational_identity

MOST_SETS = 200_000
"""Sets of participants beyond which `log_rate` is not taken."""


def chances(clients: Any, taking_part: Any) -> tuple[Any, Any, Any, Any]:
    """That 1, 2, 3, 4 given clients all take part: `n(n − 1)…/(N(N − 1)…)`."""
    found: list[Any] = []
    value: Any = 1
    for k in range(4):
        more = taking_part - k
        value = 0 if value == 0 or more == 0 else value * more / (clients - k)
        found.append(value)
    return found[0], found[1], found[2], found[3]


def missing_share(clients: Any, taking_part: Any) -> Any:
    """`E‖b̄_S − b̄*‖²/V = (N − n)/(n(N − 1))`, for N ≥ 2: the excess risk that the last b̄ keeps, over V."""
    return (clients - taking_part) / (taking_part * (clients - 1))


def present_share(clients: Any, taking_part: Any) -> Any:
    """`N(n − 1)/(n(N − 1))`: mean spread among those that take part over that of all."""
    return clients * (taking_part - 1) / (taking_part * (clients - 1))


def mean_step(kappa: Any, spread: Any, mean_norm: Any, clients: Any, taking_part: Any) -> Any:
    """`E κ_S = κ(1 + (N − n)/(n(N − 1)) V/B²)`, V = `spread`, B = `mean_norm`."""
    return kappa * (1 + missing_share(clients, taking_part) * spread / mean_norm**2)


def fourth_weights(clients: Any, taking_part: Any) -> tuple[Any, Any, Any]:
    """(c₃, c₄, c₂₂): weights of Σ w_i K_ii, Σ K_ii² and (ΣK_ii)² + 2ΣK_ij² in sums over S; Σ e_i = 0."""
    one, two, three, four = chances(clients, taking_part)
    return one - 3 * two + 2 * three, one - 7 * two + 12 * three - 6 * four, two - 2 * three + four


def mean_square_step(targets: Float[np.ndarray, "N p"], taking_part: int, eta: float) -> float:
    """`E κ_S²` in closed form: O(N²) work for any n."""
    clients, n = len(targets), taking_part
    centre = targets.mean(axis=0)
    shifts = targets - centre
    gram, along = shifts @ shifts.T, shifts @ centre
    own = np.diagonal(gram)
    three, four, pairs = fourth_weights(clients, n)
    size, spread = float(centre @ centre), float(own.mean())
    missing = missing_share(clients, n) if clients > 1 else 0.0
    square = missing * float(np.square(along).mean())  # E (b̄*ᵀē)², ē the mean of e_i over S
    mixed = three * float(along @ own) / n**3
    fourth = four * float(np.square(own).sum())
    fourth += pairs * float(own.sum() ** 2 + 2.0 * np.square(gram).sum())
    of_norm = size**2 + 2.0 * size * missing * spread + 4.0 * square + 4.0 * mixed + fourth / n**4
    return float(4.0 * eta**2 * of_norm)


def mean_square_rate(targets: Float[np.ndarray, "N p"], taking_part: int, eta: float) -> float:
    """`E (1 − κ_S)²`, what a round leaves of a small squared angle."""
    centre = targets.mean(axis=0)
    spread = float(np.square(targets - centre).sum(axis=1).mean())
    length = float(np.linalg.norm(centre))
    kappa = heterogeneity.effective_kappa(eta, length)
    first = (
        mean_step(kappa, spread, length, len(targets), taking_part) if len(targets) > 1 else kappa
    )
    return float(1.0 - 2.0 * first + mean_square_step(targets, taking_part, eta))


def log_rate(targets: Float[np.ndarray, "N p"], taking_part: int, eta: float) -> float:
    """`E log|1 − κ_S|` over all sets of participants: log of the rate of almost every run.

    Raises:
        ValueError: if there are more than `MOST_SETS` sets.
    """
    clients = len(targets)
    if comb(clients, taking_part) > MOST_SETS:
        raise ValueError(
            f"taking_part must leave at most {MOST_SETS:,} sets of {clients} clients, got {taking_part}"
        )
    sets = np.array(list(combinations(range(clients), taking_part)))
    steps = heterogeneity.effective_kappa(eta, np.linalg.norm(targets[sets].mean(axis=1), axis=1))
    return float(np.mean(np.log(np.abs(1.0 - steps))))


def floor(kappa: Any, along: Any, d: Any, clients: Any, samples: Any, taking_part: Any) -> Any:
    """Stationary E s² with m samples and one left factor, at first order in τ_∥² = `along`.

    Refuses as `heterogeneity_floor.floor`. It is 0 for n = 1: one client alone is not pulled from its a*.
    """
    present = present_share(clients, taking_part) * along
    return heterogeneity_floor.floor(kappa, present, 0, d, taking_part, samples)


ARGUED = (
    ("almost surely tan θ_t falls by exp E log|1 − κ_S| a round",
        "near 0 the map is a product of independent factors |1 − κ_S| up to relative terms of order θ², "
        "which are summable once θ falls; the strong law, where no κ_S is 1"),
    ("to first order in the spread κ_S is κ, so floor and factor are those of n clients",
        "as κ_S − κ is of the order of the spread, and the floor already of its square"),
)  # fmt: skip
"""What the derivation takes from probability: statement and reason."""


def derive(stretch: Any = 1) -> tuple[ProofStep, ...]:
    """Sums over sets of participants for any N, n; the shares; E κ_S and E κ_S².

    Args:
        stretch: multiplies the stated missing share; 1 for the true statement.
    """
    return (*_derive_distinct(), *_derive_shares(stretch), *_derive_weights())


def _blocks(names: str) -> list[list[str]]:
    """All partitions of the letters into blocks."""
    if not names:
        return [[]]
    first, found = names[0], []
    for part in _blocks(names[1:]):
        found.append([first, *part])
        found += [[*part[:i], first + block, *part[i + 1 :]] for i, block in enumerate(part)]
    return found


def _distinct(names: str, sums: dict[str, Any]) -> Any:
    """Σ over distinct clients of the product of the letters, by power sums: Möbius over the partitions."""
    total: Any = 0
    for part in _blocks(names):
        weight = sp.Integer(1)
        for block in part:
            weight *= (-1) ** (len(block) - 1) * sp.factorial(len(block) - 1)
        total += weight * sp.Mul(*(sums["".join(sorted(block))] for block in part))
    return total


def _derive_distinct() -> list[ProofStep]:
    """By induction on the clients: one more client adds its product with the sums over distinct others."""
    steps = []
    for names in ("ab", "abc", "abcd"):
        subsets = ["".join(c) for k in range(1, len(names) + 1) for c in combinations(names, k)]
        sums = {subset: sp.Symbol(f"p_{subset}", real=True) for subset in subsets}
        new = {letter: sp.Symbol(letter, real=True) for letter in names}
        grown = {s: value + sp.Mul(*(new[c] for c in s)) for s, value in sums.items()}
        added = sum(new[c] * _distinct(names.replace(c, ""), sums) for c in names)
        words = f"Σ over {len(names)} distinct clients of a product, by power sums: a client more (induction)"
        steps.append(identity(words, _distinct(names, grown), _distinct(names, sums) + added))
    return steps


def _derive_shares(stretch: Any) -> list[ProofStep]:
    N, n, V, kappa, B, eta = sp.symbols("N n V kappa B eta", positive=True)
    tau, d, m = sp.symbols("tau d m", positive=True)
    q = rate.noise_ratio(d, n, m)
    one, two, *_ = chances(N, n)
    # Σ e_i = 0: Σ_{i≠j} e_iᵀe_j = −Σ‖e_i‖² = −NV.
    square = (one * N * V + two * (0 - N * V)) / n**2
    missing = stretch * missing_share(N, n)
    return [
        rational_identity("E‖b̄_S − b̄*‖² = (p₁ − p₂) NV/n² = (N − n)/(n(N − 1)) V, p_k the chance that k "
            "given ones take part", square, missing * V),
        rational_identity("spread among those that take part: V less that of their mean", V - square,
            (1 - missing) * V),
        rational_identity("which is N(n − 1)/(n(N − 1)) V", 1 - missing_share(N, n), present_share(N, n)),
        rational_identity("E κ_S = 2η(B² + E‖b̄_S − b̄*‖²)", 2 * eta * (B**2 + square),
            mean_step(kappa, V, B, N, n), where={kappa: heterogeneity.effective_kappa(eta, B)}),
        rational_identity("the floor is that of n clients with this spread, τ² = B⁴τ_∥²",
            floor(kappa, tau**2 / B**4, d, N, m, n) * kappa * (2 - kappa - kappa * q),
            heterogeneous_samples.round_spread(kappa, tau, B, d, n * m) * present_share(N, n)),
    ]  # fmt: skip


def _derive_weights() -> list[ProofStep]:
    """Sums over S of products: chances times sums over distinct clients; Σ e_i = 0 drops a lone e."""
    N, n = sp.symbols("N n", positive=True)
    chance = chances(N, n)
    three, four, pairs = fourth_weights(N, n)

    def over(names: str) -> Any:
        """E Σ over S of a product of as many letters, lone ones of mean zero, by partitions into distinct."""
        subsets = ["".join(c) for k in range(1, len(names) + 1) for c in combinations(names, k)]
        sums: dict[str, Any] = {
            s: sp.Integer(0) if len(s) == 1 else sp.Symbol(f"p_{s}", real=True) for s in subsets
        }
        total: Any = 0
        for part in _blocks(names):
            # Letters that fall on one client are one letter more of the distinct sum.
            labels = "".join(chr(ord("A") + i) for i in range(len(part)))
            merged = {
                "".join(c): sums["".join(sorted("".join(part[ord(x) - ord("A")] for x in c)))]
                for k in range(1, len(part) + 1)
                for c in combinations(labels, k)
            }
            total += chance[len(part) - 1] * _distinct(labels, merged)
        return total

    p = {
        s: sp.Symbol(f"p_{s}", real=True)
        for s in ("abc", "abcd", "ab", "cd", "ac", "bd", "ad", "bc")
    }
    of_pairs = p["ab"] * p["cd"] + p["ac"] * p["bd"] + p["ad"] * p["bc"]
    return [
        rational_identity("three letters, any N and n: E Σ over S = c₃ Σ abc", over("abc"),
            three * p["abc"]),
        rational_identity("four: c₄ Σ abcd + c₂₂ (Σab Σcd + Σac Σbd + Σad Σbc); of coordinates of "
            "e_i, summed: ΣK_ii² and (ΣK_ii)² + 2ΣK_ij²", over("abcd"),
            four * p["abcd"] + pairs * of_pairs),
    ]  # fmt: skip
