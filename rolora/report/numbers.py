"""Numbers as a reader sees them."""

import math
from typing import SupportsFloat


def number(value: SupportsFloat, digits: int = 4) -> str:
    """A few significant digits: 0.6667, 1.2e-09, 32, 1,100,000.

    Integers below 10⁹ are written out; a proper minus sign is used.
    """
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0.0:
        return "0"
    if value.is_integer() and abs(value) < 1e9:
        return f"{int(value):,}".replace("-", "−")
    size = abs(value)
    if 1e-4 <= size < 1e6:
        text = f"{value:.{digits}g}"
        if "e" in text:
            text = f"{value:.0f}"
    else:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    return text.replace("-", "−")


def seconds(value: float) -> str:
    """A duration: 0.3 s, 42 s, 12 min 5 s."""
    if value < 0.1:
        return "under 0.1 s"
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"
