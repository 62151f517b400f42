# SPDX-License-Identifier: Apache-2.0
"""Which machines there are: a few kinds, three fleets of them, and for each seed a little variety.

Only the fanless laptop is fitted to measurements (times and ratios; its degrees and watts are illustrative). The others
are plausible constants: a laptop with fans that is slowed down a little after minutes, and desktops that never are.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mlops.orchestration_bridge.model.placement import GIB
from mlops.orchestration_bridge.simulation.physics import Body

COOLEST_C, WARMEST_C = 18.0, 32.0
_SPREAD, _POWER_SPREAD = 0.2, 0.1
_APPLE = ("mlx", "mps")


@dataclass(frozen=True)
class Kind:
    """A kind of machine. Speeds are work per second, unslowed: on its accelerator, and on its processor alone."""

    body: Body
    memory_gib: int
    cores: int
    accelerators: tuple[str, ...]
    fast: float
    plain: float


@dataclass(frozen=True)
class Make:
    """One machine of a fleet: its kind as it came out, the air around it, whether it has a thermometer that can be read."""

    name: str
    kind: Kind
    ambient_c: float
    thermometer: bool

    @property
    def memory_bytes(self) -> int:
        """Return the memory it has."""
        return self.kind.memory_gib * GIB

    def pace(self, accelerator: str) -> float:
        """Return work per second, unslowed, for work that wants an accelerator; 0 where it cannot run."""
        if accelerator == "none":
            return self.kind.plain
        if accelerator == "any":
            return self.kind.fast if self.kind.accelerators else self.kind.plain / 2
        return self.kind.fast if accelerator in self.kind.accelerators else 0.0


KINDS: Mapping[str, Kind] = {
    "air": Kind(Body(), 16, 8, _APPLE, 1.0, 1.0),
    "pro": Kind(
        Body(die_to_chassis_k_per_w=3.5, chassis_j_per_k=300.0, chassis_to_air_k_per_w=0.9),
        36,
        12,
        _APPLE,
        1.4,
        1.2,
    ),
    "studio": Kind(
        Body(60.0, 0.5, 2000.0, 0.2, dynamic_w=60.0, idle_w=8.0), 96, 16, _APPLE, 2.2, 1.4
    ),
    "linux": Kind(Body(60.0, 0.45, 2000.0, 0.2, dynamic_w=65.0, idle_w=15.0), 64, 16, (), 1.0, 1.2),
    "nvidia": Kind(
        Body(120.0, 0.1, 4000.0, 0.06, dynamic_w=250.0, idle_w=30.0), 64, 16, ("cuda",), 3.0, 1.2
    ),
}

FLEETS: Mapping[str, tuple[str, ...]] = {
    "mixed": ("air", "air", "pro", "pro", "studio", "linux", "nvidia"),
    "fanless": ("air",) * 4,
    "fans": ("studio",) * 4,
}


def fleet(name: str, seed: int) -> tuple[Make, ...]:
    """Return the machines of a fleet; no two of a kind are alike, and half of the laptops have no thermometer."""
    dice = random.Random(f"fleet {name} {seed}")  # noqa: S311 - variety, not secrecy
    ambient_c = dice.uniform(COOLEST_C, WARMEST_C)
    return tuple(_made(f"{kind}-{place}", kind, ambient_c, dice) for place, kind in _numbered(name))


def _numbered(name: str) -> list[tuple[int, str]]:
    counts: dict[str, int] = {}
    found = []
    for kind in FLEETS[name]:
        counts[kind] = counts.get(kind, 0) + 1
        found.append((counts[kind], kind))
    return found


def _made(name: str, kind: str, ambient_c: float, dice: random.Random) -> Make:
    usual = KINDS[kind]
    body, laptop = usual.body, kind in ("air", "pro")

    def varied(value: float, spread: float) -> float:
        return value * dice.uniform(1 - spread, 1 + spread)

    made = replace(
        body,
        die_j_per_k=varied(body.die_j_per_k, _SPREAD),
        die_to_chassis_k_per_w=varied(body.die_to_chassis_k_per_w, _SPREAD),
        chassis_j_per_k=varied(body.chassis_j_per_k, _SPREAD),
        chassis_to_air_k_per_w=varied(body.chassis_to_air_k_per_w, _SPREAD),
        dynamic_w=varied(body.dynamic_w, _POWER_SPREAD),
    )
    return Make(name, replace(usual, body=made), ambient_c, not laptop or dice.random() < 1 / 2)
