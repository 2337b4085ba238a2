"""Exact moments of the laws Gaussian data bring in, and the expectation of a polynomial in them.

Used by derivations: a loss is written as a (Laurent) polynomial in independent variables of known law,
then its expectation is taken monomial by monomial, exactly, with symbolic degrees of freedom.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import sympy as sp

from verification.finding import ProofStep
from verification.proof.identities import identity
from verification.proof.means import Average

Law = Callable[[int], Any]
"""The law of one variable, as far as `expectation` needs it: power ↦ E[x^power]."""


@dataclass(frozen=True, slots=True)
class Symmetric:
    """A law symmetric about 0 of which only the second moment is known."""

    second: Any

    def __call__(self, power: int) -> Any:
        """Its moment; ValueError for an even order above 2."""
        if power % 2 == 0 and power != 2:
            raise ValueError(f"only moments up to order 2 are known of this law, got order {power}")
        return 0 if power % 2 else self.second


def chi_squared_moment(degrees: Any, power: int) -> Any:
    """E[x^power] of x ~ χ² with `degrees` degrees of freedom, for an integer power of either sign.

    Works on numbers and SymPy expressions. Negative powers need degrees > −2·power, which the caller
    states as an assumption; a number that violates it is refused.

    Raises:
        ValueError: if `degrees` is a number for which the moment is infinite.
    """
    if getattr(degrees, "is_number", True) and degrees + 2 * power <= 0:
        raise ValueError(
            f"degrees must exceed {-2 * power} for the moment of order {power} to exist,"
            f" got {degrees}"
        )
    value: Any = 1
    for step in range(abs(power)):
        value = value * (degrees + 2 * step) if power > 0 else value / (degrees - 2 * (step + 1))
    return value


def normal_moment(power: int) -> int:
    """E[z^power] of z ~ N(0, 1): 0 for odd powers, else (power − 1)!!.

    Raises:
        ValueError: if `power` is negative.
    """
    if power < 0:
        raise ValueError(f"power must be non-negative, got {power}")
    return 0 if power % 2 else int(sp.factorial2(power - 1)) if power else 1


def student_variance(degrees: Any) -> Any:
    """Var of a Student t: E[z²]·E[degrees/χ²] = degrees/(degrees − 2), for degrees > 2."""
    return normal_moment(2) * degrees * chi_squared_moment(degrees, -1)


def sphere_second_moment(dimension: Any) -> Any:
    """E[w₁²] of a uniform unit vector in R^dimension: 1/dimension."""
    return 1 / dimension


def expectation(expression: Any, laws: Mapping[sp.Symbol, Law]) -> Any:
    """Exact expectation of a Laurent polynomial in independent variables.

    Args:
        expression: SymPy expression; expanded, it must be a sum of monomials in the variables.
        laws: variable ↦ its moments. Variables are independent. Laws of variables symmetric about 0
            come first: an odd moment makes the monomial vanish before the others are asked.

    Raises:
        ValueError: if a variable does not appear as a power.
    """
    variables = list(laws)
    total = sp.Integer(0)
    for term in sp.Add.make_args(sp.expand(expression)):
        coefficient, powers = term, []
        for variable in variables:
            rest, power = coefficient.as_independent(variable, as_Add=False)
            base, exponent = power.as_base_exp()
            if power != 1 and base != variable:
                raise ValueError(f"{variable} must appear as a power, got {power}")
            coefficient = rest
            powers.append((variable, 0 if power == 1 else exponent))
        for variable, exponent in powers:
            if exponent != 0 and coefficient != 0:
                coefficient = coefficient * laws[variable](int(exponent))
        total += coefficient
    return sp.together(total)


def expected(expression: Any, laws: Mapping[sp.Symbol, Law]) -> Average:
    """`expectation`, not yet taken, so that every engine takes it by itself."""

    def moment(powers: tuple[int, ...]) -> Any:
        product: Any = 1
        for law, power in zip(laws.values(), powers, strict=True):
            product = product * law(power) if power and product != 0 else product
        return product

    return Average(expression, laws, moment, partial(expectation, laws=laws))


@cache
def _integral(power: int, k: sp.Symbol) -> Any:
    """∫ x^power times the density of χ²_k over x > 0, but for the density's constant."""
    x = sp.Symbol("x", positive=True)
    density = x ** (k / 2 - 1) * sp.exp(-x / 2)
    return sp.integrate(sp.expand(x**power * density), (x, 0, sp.oo), conds="none")


def derive(powers: tuple[int, ...] = (-1, 1, 2)) -> tuple[ProofStep, ...]:
    """The moments used, from the densities, with symbolic degrees of freedom."""
    x, k, n = sp.symbols("x k n", positive=True)
    square = sp.Symbol("square", positive=True)

    def by_density(power: int) -> ProofStep:
        needs = f"E[x^{power}] of χ²_k, from its density (needs k > {max(0, -2 * power)})"
        by_integrals = _integral(power, k) / _integral(0, k)
        return identity(needs, by_integrals, chi_squared_moment(k, power))

    z = sp.Symbol("z", real=True)
    laws: dict[sp.Symbol, Law] = {z: normal_moment, x: partial(chi_squared_moment, k)}
    return (
        *map(by_density, powers),
        identity("E[z²/x] of independent z ~ N(0, 1), x ~ χ²_k is 1/(k − 2), for k > 2",
            expected(z**2 / x, laws), 1 / (k - 2)),
        identity("Var of Student t_k = E[z²]·E[k/χ²_k] = k/(k − 2), for k > 2",
            student_variance(k), expected(z**2 * k / x, laws)),
        identity("E[w₁²] of a unit vector: length² and direction of a Gaussian vector are independent, so"
            " E[w₁²]·E[χ²_n] = E[z²]", square * expected(x, {x: partial(chi_squared_moment, n)}),
            expected(z**2, {z: normal_moment}), where={square: sphere_second_moment(n)}),
    )  # fmt: skip
