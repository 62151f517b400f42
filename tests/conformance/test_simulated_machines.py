# SPDX-License-Identifier: Apache-2.0
"""Two services simulate machines and neither may import the other: their heat and their patience are the same."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from mlops.orchestration_bridge.simulation.belief import Belief
from mlops.orchestration_bridge.simulation.fleets import KINDS, Make
from mlops.orchestration_bridge.simulation.machine import Machine, Task
from mlops.orchestration_bridge.simulation.physics import Heat
from mlops.telemetry_agent.model import episodes, thermal
from mlops.telemetry_agent.model.episodes import Rule, Watch, Where

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PAIRS = [("air", "fanless_air"), ("pro", "fan_laptop")]
LOOK_S = 2.0


@pytest.mark.parametrize(("ours", "the_agents"), PAIRS)
@pytest.mark.parametrize("load", [0.4, 1.0])
def test_both_machines_heat_alike(ours: str, the_agents: str, load: float) -> None:
    machine = Machine(Make("m", KINDS[ours], 25.0, thermometer=True), Heat(45.0, 35.0))
    machine.tasks["j"] = Task("j", 1e9, 1.0, load, 0)
    other = thermal.Heat()

    for second in range(10, 1200, 10):
        list(machine.advance(float(second)))
        other = thermal.advance(thermal.MACHINES[the_agents], other, load, 25.0, 10.0)

        assert machine.heat.die_c == pytest.approx(other.die_c, abs=2.5)
        assert machine.heat.chassis_c == pytest.approx(other.chassis_c, abs=1.0)


@pytest.mark.parametrize("seed", range(20))
def test_both_believe_the_same_of_the_same_looks(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - looks, not secrets
    belief, watch, level, temp_c = Belief(), Watch(), 0, 60.0
    where = Where("n", "boot")

    for look in range(1500):
        if dice.random() < 0.04:
            level = dice.choice([0, 0, 1, 2])
            temp_c = dice.uniform(60.0, 95.0)
        now_s = look * LOOK_S
        read_c = temp_c if seed % 2 else None
        belief.look(level, read_c, now_s)
        at = EPOCH + timedelta(seconds=now_s)
        watch, _ = episodes.step(watch, level, "", at, where, Rule(), read_c)

        assert belief.level == watch.level, f"at look {look}"
    assert belief.episodes == watch.episodes
