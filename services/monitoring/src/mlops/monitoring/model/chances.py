# SPDX-License-Identifier: Apache-2.0
"""How likely it is by chance: normal and chi-square tails, and many tests at once.

SciPy has all of this, for 100 MB of imports; these few functions keep the service small and are compared with it
in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_TERMS = 10_000
_PRECISION = 1e-15
_TINY = 1e-300


def two_sided(z: float) -> float:
    """Return the chance of a standard normal value at least as far from zero as *z*."""
    return math.erfc(abs(z) / math.sqrt(2.0))


def chi2_tail(x: float, degrees: float) -> float:
    """Return the chance that a chi-square value with (real) *degrees* of freedom exceeds *x*."""
    shape, half = degrees / 2.0, x / 2.0
    if half <= 0:  # also of the smallest number there is, half of which is none
        return 1.0
    if not x < math.inf:
        return 0.0
    if half < shape + 1.0:
        return max(0.0, 1.0 - _gamma_series(shape, half))
    return _gamma_fraction(shape, half)


def chi2_quantile(chance: float, degrees: float) -> float:
    """Return the value that a chi-square variable stays below with *chance*."""
    low, high = 0.0, max(1.0, degrees)
    while 1.0 - chi2_tail(high, degrees) < chance:
        low, high = high, high * 2.0
    for _ in range(200):
        middle = (low + high) / 2.0
        if 1.0 - chi2_tail(middle, degrees) < chance:
            low = middle
        else:
            high = middle
        if high - low <= 1e-12 * high:
            break
    return (low + high) / 2.0


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number (Benjamini and Hochberg).

    A column whose adjusted value is at most q is a discovery at false-discovery rate q.
    """
    count = len(p_values)
    order = sorted(range(count), key=lambda i: p_values[i], reverse=True)
    found, smallest = [1.0] * count, 1.0
    for rank, i in zip(range(count, 0, -1), order, strict=True):
        smallest = min(smallest, p_values[i] * (count / rank))  # never below the value itself
        found[i] = smallest
    return found


def _gamma_series(shape: float, x: float) -> float:
    # Lower regularised incomplete gamma; converges fast for x < shape + 1.
    term = total = 1.0 / shape
    for n in range(1, _TERMS):
        term *= x / (shape + n)
        total += term
        if term < total * _PRECISION:
            break
    return total * math.exp(-x + shape * math.log(x) - math.lgamma(shape))


def _gamma_fraction(shape: float, x: float) -> float:
    # Upper regularised incomplete gamma by Lentz's continued fraction; for x >= shape + 1.
    b = x + 1.0 - shape
    c, d = 1.0 / _TINY, 1.0 / b
    value = d
    for n in range(1, _TERMS):
        a = -n * (n - shape)
        b += 2.0
        d = 1.0 / _away_from_zero(a * d + b)
        c = _away_from_zero(b + a / c)
        value *= c * d
        if abs(c * d - 1.0) < _PRECISION:
            break
    return value * math.exp(-x + shape * math.log(x) - math.lgamma(shape))


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
