# SPDX-License-Identifier: Apache-2.0
"""Recursive least squares with forgetting and three unknowns: each observation corrects the estimate a little.

Ljung, "System identification", chapter 11. Steps are clipped and the doubt is bounded, so that neither one odd
observation nor a long time without news can turn the estimate over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Row = tuple[float, float, float]

_FORGETS = 0.995
_MOST_DOUBT = 1e4
_FIRST_DOUBT = 100.0


@dataclass(frozen=True)
class Estimate:
    """The three unknowns, how sure they are (a covariance), and how many observations they come from."""

    theta: Row = (0.0, 0.0, 0.0)
    doubt: tuple[Row, Row, Row] = (
        (_FIRST_DOUBT, 0.0, 0.0),
        (0.0, _FIRST_DOUBT, 0.0),
        (0.0, 0.0, _FIRST_DOUBT),
    )
    count: int = 0

    def corrected(self, row: Row, value: float, most: float) -> Estimate:
        """Return the estimate after row·theta was seen to be *value*; it is taken to be off by *most* at most.

        What is not finite changes nothing.
        """
        if not all(math.isfinite(number) for number in (*row, value)):
            return self
        spread = tuple(_dot(line, row) for line in self.doubt)
        weight = _FORGETS + sum(a * b for a, b in zip(row, spread, strict=True))
        miss = max(-most, min(most, value - _dot(self.theta, row)))
        gain = [part / weight for part in spread]
        # Without news the doubt would grow for ever.
        bounded = sum(self.doubt[i][i] for i in range(3)) >= _MOST_DOUBT
        fade = 1.0 if bounded else 1 / _FORGETS
        theta = [old + step * miss for old, step in zip(self.theta, gain, strict=True)]
        doubt = [
            [(self.doubt[i][j] - gain[i] * spread[j]) * fade for j in range(3)] for i in range(3)
        ]
        if not all(math.isfinite(number) for line in (theta, *doubt) for number in line):
            return self
        return Estimate(
            (theta[0], theta[1], theta[2]),
            (_three(doubt[0]), _three(doubt[1]), _three(doubt[2])),
            self.count + 1,
        )


def _three(line: list[float]) -> Row:
    return line[0], line[1], line[2]


def _dot(one: Row, other: Row) -> float:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]
