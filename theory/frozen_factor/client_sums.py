"""What sums over independent clients add up to in the mean, for any number of them.

Client i brings r_i of mean 0, g_i and c_i, independent of what the others bring.
"""

from typing import Any

import sympy as sp

from verification.finding import ProofStep
from verification.proof.identities import identity, induction


def pair_sum(clients: Any, same: Any, other: Any) -> Any:
    """E (Σ r)ᵀ(Σ g)(Σ r): `same` is E r_iᵀg_i r_i, `other` E r_iᵀg_j r_i for j ≠ i."""
    return clients * same + clients * (clients - 1) * other


def own_sum(clients: Any, own: Any) -> Any:
    """E (Σ r)ᵀ(Σ c): `own` is E r_iᵀc_i."""
    return clients * own


def derive() -> tuple[ProofStep, ...]:
    """By induction: what one more client adds to the sums, then the sums."""
    names = "R' R r' r G g C c"  # sums over the N clients so far, and the next one's; ' for the transpose
    Rt, R, rt, r, G, g, C, c = sp.symbols(names, commutative=False)
    N = sp.Symbol("N", integer=True, nonnegative=True)
    same, other, own = sp.symbols("same other own", real=True)
    zero = Rt * G * r + rt * G * R + Rt * g * r + rt * g * R
    return (
        identity("one more client adds to (Σr)ᵀ(Σg)(Σr): its own term, its g on N earlier r, its r on N "
            "earlier g, and terms with a factor r or Σr of mean 0 that is independent of the rest",
            (Rt + rt) * (G + g) * (R + r) - Rt * G * R, rt * g * r + Rt * g * R + rt * G * r + zero),
        induction("so E (Σr)ᵀ(Σg)(Σr) grows by same + 2N other", pair_sum(N, same, other), N,
            same + 2 * N * other),
        identity("and to (Σr)ᵀ(Σc): its own term, and terms with such a factor",
            (Rt + rt) * (C + c) - Rt * C, rt * c + Rt * c + rt * C),
        induction("so E (Σr)ᵀ(Σc) grows by own", own_sum(N, own), N, own),
    )  # fmt: skip
