# SPDX-License-Identifier: Apache-2.0
"""A machine of two heat capacities (die and chassis) with a governor, for simulated nodes.

Die: `Cd dTd/dt = P - (Td - Tc)/Rdc`; chassis: `Cc dTc/dt = (Td - Tc)/Rdc - (Tc - Ta)/Rca`; power
`Pidle + Pdyn (f/fmax)^1.8`. `fanless_air` is fitted to published times of one fanless laptop (throttled after
about 36 s of full load, nominal about 47 s after it); its times and ratios mean something, its degrees and watts are
illustrative. The other two machines are not fitted to anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from mlops.telemetry_agent.model.ladder import ELEVATED, NOMINAL, THROTTLED

_ALPHA = 1.8
_F_MAX_MHZ, _F_MIN_MHZ = 1400.0, 400.0
_STEP_S = 0.5


@dataclass(frozen=True)
class Machine:
    """The constants of a machine, in J/K, K/W, W and °C."""

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


@dataclass(frozen=True)
class Heat:
    """The state of a machine at one moment."""

    die_c: float = 45.0
    chassis_c: float = 35.0
    held_back: float = 0.0
    clock_mhz: float = 0.0
    power_w: float = 2.0
    level: int = NOMINAL


MACHINES = {
    "fanless_air": Machine(),
    "fan_laptop": Machine(
        chassis_j_per_k=300.0, chassis_to_air_k_per_w=0.9, die_to_chassis_k_per_w=3.5
    ),
    "desktop": Machine(
        chassis_j_per_k=2000.0,
        chassis_to_air_k_per_w=0.3,
        die_to_chassis_k_per_w=1.0,
        dynamic_w=40.0,
    ),
}


def advance(machine: Machine, heat: Heat, load: float, ambient_c: float, seconds: float) -> Heat:
    """Return the state *seconds* later under a constant *load* in [0, 1]."""
    steps = max(1, math.ceil(seconds / _STEP_S))
    for _ in range(steps):
        heat = _step(machine, heat, load, ambient_c, seconds / steps)
    return heat


def speed(clock_mhz: float) -> float:
    """Return the share of full speed at a clock: memory-bound work loses less than its clock."""
    if clock_mhz <= 0:
        return 0.0
    return (0.5575 + 4226.0 / _F_MAX_MHZ) / (0.5575 + 4226.0 / clock_mhz)


def _step(machine: Machine, heat: Heat, load: float, ambient_c: float, seconds: float) -> Heat:
    error = machine.target_c - heat.die_c
    held_back = min(0.0, max(-0.75, heat.held_back + 0.0006 * error * seconds))
    share = min(1.0, max(_F_MIN_MHZ / _F_MAX_MHZ, 1 + held_back + min(0.0, 0.02 * error)))
    power = machine.idle_w + load * machine.dynamic_w * share**_ALPHA
    flow = (heat.die_c - heat.chassis_c) / machine.die_to_chassis_k_per_w
    out = (heat.chassis_c - ambient_c) / machine.chassis_to_air_k_per_w
    cooled = replace(
        heat,
        die_c=heat.die_c + seconds * (power - flow) / machine.die_j_per_k,
        chassis_c=heat.chassis_c + seconds * (flow - out) / machine.chassis_j_per_k,
        held_back=held_back if load > 0 else 0.0,
        clock_mhz=share * _F_MAX_MHZ if load > 0 else 0.0,
        power_w=power,
    )
    return replace(cooled, level=_level(machine, cooled))


def _level(machine: Machine, heat: Heat) -> int:
    if heat.die_c >= machine.heavy_c:
        return THROTTLED
    if heat.die_c >= machine.moderate_c:
        return max(ELEVATED, heat.level)
    if heat.die_c < machine.nominal_c:
        return NOMINAL
    return heat.level
