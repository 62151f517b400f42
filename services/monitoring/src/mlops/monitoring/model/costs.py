# SPDX-License-Identifier: Apache-2.0
"""Costs: what another retraining will probably take, by what the last ones took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

_MOST = 20
_MINUTE_S, _HOUR_S, _WH_J = 60.0, 3600.0, 3600.0
_LONG = 2  # up to so many units the smaller unit says more


@dataclass(frozen=True)
class Spent:
    """What one retraining took; None where nobody can tell its energy."""

    duration_s: float
    joules: float | None = None


def with_one_more(spent: Sequence[Spent], one: Spent) -> tuple[Spent, ...]:
    """Return the newest ones."""
    return (*spent, one)[-_MOST:]


def forecast(spent: Sequence[Spent]) -> str:
    """Return what a retraining will cost, in one sentence; empty when there was none yet."""
    if not spent:
        return ""
    told = [_time(median(one.duration_s for one in spent))]
    joules = [one.joules for one in spent if one.joules is not None]
    if joules:
        told.append(f"{_energy(median(joules))}")
    of = "as the last one did" if len(spent) == 1 else f"the median of the last {len(spent)}"
    return f"A retraining takes about {' and '.join(told)} ({of})."


def _time(seconds: float) -> str:
    if seconds < _LONG * _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < _LONG * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h"


def _energy(joules: float) -> str:
    return f"{joules:.0f} J" if joules < _WH_J else f"{joules / _WH_J:.1f} Wh"
