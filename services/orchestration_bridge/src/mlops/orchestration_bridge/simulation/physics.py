# SPDX-License-Identifier: Apache-2.0
"""A machine's heat: two thermal masses, exact between two looks of the governor that slows the machine down.

Die `Cd dTd/dt = P - (Td - Tc)/Rdc`, chassis `Cc dTc/dt = (Td - Tc)/Rdc - (Tc - Ta)/Rca`, power
`P = Pidle + load Pdyn (f/fmax)^1.8`. An integral governor holds the die at its target; speed is that of a
memory-bound language model at the clock it leaves, `ms/token = 0.5575 + 4226/MHz`, measured on one fanless laptop.
Between two looks the power is constant, so the linear system is solved in closed form, however long the step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

F_MAX_MHZ, F_MIN_MHZ = 1400.0, 400.0
ALPHA = 1.8
LOOK_S = 2.0
NOMINAL, ELEVATED, THROTTLED = 0, 1, 2
_FLOOR = F_MIN_MHZ / F_MAX_MHZ
_INTEGRAL, _PROPORTIONAL, _MOST_BACK = 0.0006, 0.02, 0.75
_FIXED_MS, _PER_MHZ_MS = 0.5575, 4226.0

Matrix = tuple[float, float, float, float]


@dataclass(frozen=True)
class Body:
    """The thermal constants of a machine, in J/K, K/W, W and °C; `heavy_c` is where it says it is throttled."""

    die_j_per_k: float = 10.4
    die_to_chassis_k_per_w: float = 7.08
    chassis_j_per_k: float = 100.0
    chassis_to_air_k_per_w: float = 3.97
    dynamic_w: float = 16.4
    idle_w: float = 2.0
    target_c: float = 95.0
    moderate_c: float = 82.7
    heavy_c: float = 91.8
    nominal_c: float = 79.0


class Heat(NamedTuple):
    """The state of a machine: two temperatures, how far the governor holds it back (0 to -0.75), and its ladder level."""

    die_c: float
    chassis_c: float
    held_back: float = 0.0
    level: int = 0


def clock(body: Body, heat: Heat) -> float:
    """Return the part of its full clock that the governor grants under load."""
    error = body.target_c - heat.die_c
    return min(1.0, max(_FLOOR, 1.0 + heat.held_back + min(0.0, _PROPORTIONAL * error)))


def speed(share: float) -> float:
    """Return the part of full speed at a part of the full clock: memory-bound work loses less than its clock."""
    full = _FIXED_MS + _PER_MHZ_MS / F_MAX_MHZ
    return full / (_FIXED_MS + _PER_MHZ_MS / (F_MAX_MHZ * share))


def power(body: Body, load: float, share: float) -> float:
    """Return what it draws, in watts."""
    return float(body.idle_w + load * body.dynamic_w * share**ALPHA)


def after(body: Body, heat: Heat, power_w: float, ambient_c: float, seconds: float) -> Heat:
    """Return both temperatures *seconds* later at a constant power; governor and level stay as they are."""
    m11, m12, m21, m22 = propagator(body, seconds)
    chassis_end_c = ambient_c + power_w * body.chassis_to_air_k_per_w
    die_end_c = chassis_end_c + power_w * body.die_to_chassis_k_per_w
    die, chassis = heat.die_c - die_end_c, heat.chassis_c - chassis_end_c
    die_c = die_end_c + m11 * die + m12 * chassis
    chassis_c = chassis_end_c + m21 * die + m22 * chassis
    return Heat(die_c, chassis_c, heat.held_back, heat.level)


def governed(body: Body, heat: Heat, load: float, seconds: float) -> Heat:
    """Return the state after the governor and the thermometer have looked at the last *seconds*."""
    held_back = 0.0
    if load > 0:
        error = body.target_c - heat.die_c
        held_back = min(0.0, max(-_MOST_BACK, heat.held_back + _INTEGRAL * error * seconds))
    return Heat(heat.die_c, heat.chassis_c, held_back, level(body, heat))


def level(body: Body, heat: Heat) -> int:
    """Return the level of the ladder that the machine itself would say; between two marks it stays what it was."""
    if heat.die_c >= body.heavy_c:
        return THROTTLED
    if heat.die_c >= body.moderate_c:
        return max(ELEVATED, heat.level)
    return NOMINAL if heat.die_c < body.nominal_c else heat.level


def settles(body: Body, power_w: float, ambient_c: float) -> float:
    """Return the die's temperature after a long time at a power."""
    return ambient_c + power_w * (body.die_to_chassis_k_per_w + body.chassis_to_air_k_per_w)


def never_slows(body: Body, ambient_c: float) -> bool:
    """Return whether even full load for ever leaves its clock alone."""
    return settles(body, power(body, 1.0, 1.0), ambient_c) < body.target_c


@lru_cache(maxsize=4096)
def propagator(body: Body, seconds: float) -> Matrix:
    """Return e^(A t) of the two temperatures, by the eigenvalues of A (both real and negative)."""
    inner, outer = 1 / body.die_to_chassis_k_per_w, 1 / body.chassis_to_air_k_per_w
    a11, a12 = -inner / body.die_j_per_k, inner / body.die_j_per_k
    a21, a22 = inner / body.chassis_j_per_k, -(inner + outer) / body.chassis_j_per_k
    mean, spread = (a11 + a22) / 2, math.sqrt((a11 - a22) ** 2 / 4 + a12 * a21)
    fast, slow = mean - spread, mean + spread
    e_fast, e_slow = math.exp(fast * seconds), math.exp(slow * seconds)
    own, shared = (e_slow - e_fast) / (slow - fast), (slow * e_fast - fast * e_slow) / (slow - fast)
    return own * a11 + shared, own * a12, own * a21, own * a22 + shared
