# SPDX-License-Identifier: Apache-2.0
"""Found: the result of a simulation as its process printed it, by policy, load and figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OURS = "ours"


@dataclass(frozen=True)
class Interval:
    """A number and the middle 95 % of what it could have been. `relative` differences are parts, others have the unit."""

    mean: float
    low: float
    high: float
    relative: bool = True

    @property
    def certain(self) -> bool:
        """Return whether nought is outside."""
        return not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Found:
    """The result; of every figure less is better."""

    loads: Sequence[float]
    policies: Sequence[str]
    titles: Mapping[str, str]
    units: Mapping[str, str]
    means: Mapping[tuple[str, float, str], Interval]
    differences: Mapping[tuple[str, float, str], Interval]
    study: Mapping[str, Any]

    @property
    def others(self) -> list[str]:
        """Return the policies that ours was compared with."""
        return [name for name in self.policies if name != OURS and OURS in self.policies]


def found_of(result: Mapping[str, Any]) -> Found:
    """Read what the process printed."""
    study = result["study"]
    return Found(
        loads=study["loads"],
        policies=study["schedulers"],
        titles={one["key"]: one["title"] for one in result["figures"]},
        units={one["key"]: one["unit"] for one in result["figures"]},
        means={
            (one["scheduler"], one["load"], one["figure"]): Interval(
                one["mean"], one["low"], one["high"]
            )
            for one in result["means"]
        },
        differences={
            (one["from"], one["load"], one["figure"]): Interval(
                one["mean"], one["low"], one["high"], one["relative"]
            )
            for one in result["differences"]
        },
        study=study,
    )
