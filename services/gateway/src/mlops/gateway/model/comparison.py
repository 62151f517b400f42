# SPDX-License-Identifier: Apache-2.0
"""Comparison of two answers to one request: whether they agree, and how far apart their numbers are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_RELATIVE = 1e-4  # what two builds of one model differ by in 32 bits
_ABSOLUTE = 1e-6


@dataclass(frozen=True)
class Tensor:
    """One output: its shape, and its values in row order."""

    shape: tuple[int, ...]
    values: Sequence[object]


@dataclass(frozen=True)
class Compared:
    """Whether all outputs agree; `difference` is the mean of the absolute differences, None without numbers."""

    agrees: bool
    difference: float | None = None


def compare(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> Compared:
    """Compare the outputs of two versions by name."""
    shapes = {name: tensor.shape for name, tensor in ours.items()}
    if not ours or shapes != {name: tensor.shape for name, tensor in theirs.items()}:
        return Compared(agrees=False)
    agrees, total, count = True, 0.0, 0
    for name, tensor in ours.items():
        others = theirs[name].values
        if len(others) != len(tensor.values):
            return Compared(agrees=False)
        for one, other in zip(tensor.values, others, strict=True):
            mine, yours = _number(one), _number(other)
            if mine is None or yours is None:
                agrees = agrees and one == other
                continue
            close, apart = _apart(mine, yours)
            agrees, total, count = agrees and close, total + apart, count + 1
    return Compared(agrees, total / count if count else None)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _apart(one: float, other: float) -> tuple[bool, float]:
    if one == other or (math.isnan(one) and math.isnan(other)):
        return True, 0.0
    if not (math.isfinite(one) and math.isfinite(other)):
        return False, 0.0
    return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE), abs(one - other)
