# SPDX-License-Identifier: Apache-2.0
"""What a simulated node is told to do: `fanless_air:load=1.0,on=300,off=120,ambient=25,speed=1,seed=7,faults=spike`."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, fields, replace
from typing import Any

from mlops.telemetry_agent.model.thermal import MACHINES, Machine

_SPREAD = 0.2
_FASTEST = 1000
# What can be wrong with a simulated machine; several are joined by `+`.
DROP, STICK, SPIKE, LIE_NOMINAL, SILENCE = "drop", "stick", "spike", "lie_nominal", "silence"
FAULTS = (DROP, STICK, SPIKE, LIE_NOMINAL, SILENCE)


@dataclass(frozen=True)
class Scenario:
    """A machine and its load: *load* for *on* seconds, nothing for *off* seconds, and again; `off=0` never rests.

    *speed* makes simulated time run faster than the clock. A *seed* other than 0 varies the machine by up to 20 %.
    *faults*: one look in five fails (`drop`), values never change after a minute (`stick`), one look in ten shows what
    cannot be (`spike`), the level is nominal whatever happens (`lie_nominal`), nothing is said after a minute
    (`silence`).
    """

    machine: str = "fanless_air"
    load: float = 1.0
    on: float = 300.0
    off: float = 0.0
    ambient: float = 25.0
    speed: float = 1.0
    seed: int = 0
    faults: frozenset[str] = frozenset()


def parse(text: str) -> Scenario:
    """Read a scenario; raises ValueError that says what, which and the fix."""
    machine, _, rest = text.partition(":")
    if machine not in MACHINES:
        raise ValueError(f"no simulated machine {machine!r}; there are {', '.join(MACHINES)}")
    said = Scenario(machine=machine)
    known = {field.name for field in fields(Scenario)} - {"machine"}
    for part in filter(None, rest.split(",")):
        name, _, value = part.partition("=")
        if name not in known:
            raise ValueError(
                f"no setting {name!r} in scenario {text!r}; there are {', '.join(sorted(known))}"
            )
        said = replace(said, **{name: _value(name, value, text)})
    _check(said, text)
    return said


def load_at(scenario: Scenario, seconds: float) -> float:
    """Return the load after so many simulated seconds."""
    if scenario.off <= 0:
        return scenario.load
    return scenario.load if seconds % (scenario.on + scenario.off) < scenario.on else 0.0


def machine_of(scenario: Scenario) -> Machine:
    """Return the machine, varied by the seed: no two laptops are alike."""
    machine = MACHINES[scenario.machine]
    if scenario.seed == 0:
        return machine
    dice = random.Random(scenario.seed)  # noqa: S311 - variety, not secrecy
    varied = (
        "die_j_per_k",
        "die_to_chassis_k_per_w",
        "chassis_j_per_k",
        "chassis_to_air_k_per_w",
        "dynamic_w",
    )
    return replace(
        machine,
        **{
            name: getattr(machine, name) * dice.uniform(1 - _SPREAD, 1 + _SPREAD) for name in varied
        },
    )


def _value(name: str, value: str, text: str) -> Any:
    if name == "faults":
        faults = frozenset(filter(None, value.split("+")))
        if unknown := sorted(faults - set(FAULTS)):
            raise ValueError(
                f"no fault {unknown[0]!r} in scenario {text!r}; there are {', '.join(FAULTS)}"
            )
        return faults
    try:
        return int(value) if name == "seed" else float(value)
    except ValueError:
        raise ValueError(f"{name} in scenario {text!r} must be a number, not {value!r}") from None


def _check(scenario: Scenario, text: str) -> None:
    for field in fields(Scenario):
        value = getattr(scenario, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{field.name} in scenario {text!r} must be a finite number")
    if not 0 <= scenario.load <= 1:
        raise ValueError(f"load in scenario {text!r} must lie between 0 and 1")
    if scenario.on <= 0 or scenario.off < 0 or scenario.speed <= 0:
        raise ValueError(f"on and speed in scenario {text!r} must be above 0, off not below")
    if scenario.speed > _FASTEST:
        raise ValueError(f"speed in scenario {text!r} must be at most {_FASTEST}")
