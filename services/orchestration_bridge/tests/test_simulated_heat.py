# SPDX-License-Identifier: Apache-2.0
"""The simulated machine keeps the laws: its temperatures solve their equations, and neither energy nor work is lost."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.orchestration_bridge.simulation import fleets, physics
from mlops.orchestration_bridge.simulation.fleets import KINDS, Make
from mlops.orchestration_bridge.simulation.machine import Machine, Task
from mlops.orchestration_bridge.simulation.physics import Body, Heat

AIR = Body()


def make(kind: str = "air", ambient_c: float = 25.0) -> Make:
    return Make(f"{kind}-1", KINDS[kind], ambient_c, thermometer=True)


def busy(kind: str, work: float, *, intensity: float = 1.0, heat: Heat | None = None) -> Machine:
    machine = Machine(make(kind), heat)
    pace = machine.make.pace("any")
    machine.tasks["j"] = Task("j", work, pace, intensity, 0)
    return machine


def slope(body: Body, heat: Heat, power_w: float, ambient_c: float) -> tuple[float, float]:
    flow = (heat.die_c - heat.chassis_c) / body.die_to_chassis_k_per_w
    out = (heat.chassis_c - ambient_c) / body.chassis_to_air_k_per_w
    return (power_w - flow) / body.die_j_per_k, (flow - out) / body.chassis_j_per_k


_HEATS = st.tuples(st.floats(20, 105), st.floats(15, 70)).map(lambda two: Heat(*two))
_POWERS = st.floats(0, 80)


@settings(max_examples=60, deadline=None)
@given(heat=_HEATS, power_w=_POWERS, kind=st.sampled_from(sorted(KINDS)))
def test_the_closed_form_solves_the_equations(heat: Heat, power_w: float, kind: str) -> None:
    """Against many small steps of the midpoint rule, which knows the equations only."""
    body, step_s, now = KINDS[kind].body, 0.1, heat
    for _ in range(300):
        d, c = slope(body, now, power_w, 25.0)
        middle = Heat(now.die_c + d * step_s / 2, now.chassis_c + c * step_s / 2)
        d, c = slope(body, middle, power_w, 25.0)
        now = Heat(now.die_c + d * step_s, now.chassis_c + c * step_s)

    found = physics.after(body, heat, power_w, 25.0, 30.0)

    assert found.die_c == pytest.approx(now.die_c, abs=1e-3)
    assert found.chassis_c == pytest.approx(now.chassis_c, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(heat=_HEATS, power_w=_POWERS, parts=st.lists(st.floats(0.1, 400), min_size=2, max_size=5))
def test_a_long_step_is_its_short_ones(heat: Heat, power_w: float, parts: list[float]) -> None:
    now = heat
    for part in parts:
        now = physics.after(AIR, now, power_w, 25.0, part)

    whole = physics.after(AIR, heat, power_w, 25.0, sum(parts))

    assert whole == pytest.approx(now, abs=1e-6)


def test_a_machine_whose_chassis_is_air_heats_by_one_exponential() -> None:
    body = replace(AIR, chassis_j_per_k=1e12, chassis_to_air_k_per_w=1e-9)

    found = physics.after(body, Heat(25.0, 25.0), 10.0, 25.0, 60.0)

    tau_s = AIR.die_j_per_k * AIR.die_to_chassis_k_per_w
    expected = 25.0 + 10.0 * AIR.die_to_chassis_k_per_w * (1 - math.exp(-60.0 / tau_s))
    assert found.die_c == pytest.approx(expected, abs=1e-3)


def test_it_settles_where_what_comes_in_goes_out() -> None:
    found = physics.after(AIR, Heat(45.0, 35.0), 5.0, 20.0, 1e5)

    assert found.chassis_c == pytest.approx(20.0 + 5.0 * AIR.chassis_to_air_k_per_w)
    assert found.die_c == pytest.approx(physics.settles(AIR, 5.0, 20.0))


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), intensity=st.floats(0.1, 1), seconds=st.floats(10, 900))
def test_energy_is_stored_or_given_to_the_air(kind: str, intensity: float, seconds: float) -> None:
    machine = busy(kind, 1e9, intensity=intensity)
    body, before = machine.make.kind.body, machine.heat
    given_j = 0.0
    while machine.at_s < seconds:
        was_c = machine.heat.chassis_c
        at_s = machine.at_s
        machine.step(seconds, 0.5)
        mean_c = (was_c + machine.heat.chassis_c) / 2 - machine.make.ambient_c
        given_j += mean_c / body.chassis_to_air_k_per_w * (machine.at_s - at_s)

    stored_j = body.die_j_per_k * (machine.heat.die_c - before.die_c)
    stored_j += body.chassis_j_per_k * (machine.heat.chassis_c - before.chassis_c)

    assert machine.account.energy_j == pytest.approx(stored_j + given_j, rel=1e-3)


def test_a_fanless_laptop_does_what_was_measured_on_one() -> None:
    """Moderate after about 27 s of full load, throttled after about 38 s, 53 to 55 % of its speed after half an hour."""
    machine = busy("air", 1e9, heat=Heat(45.0, 35.0))
    reached: dict[int, float] = {}
    while machine.at_s < 1800:
        machine.step(1800, 1.0)
        reached.setdefault(machine.heat.level, machine.at_s)

    assert reached[1] == pytest.approx(27, abs=4)
    assert reached[2] == pytest.approx(38, abs=4)
    at_work = physics.speed(physics.clock(machine.make.kind.body, machine.heat))
    assert 0.50 <= at_work <= 0.57


def test_it_is_nominal_about_47_s_after_its_load_ended() -> None:
    machine = busy("air", 1e9, heat=Heat(45.0, 35.0))
    list(machine.advance(400.0))
    machine.tasks.clear()

    while machine.heat.level > 0:
        machine.step(1e9, 1.0)

    assert machine.at_s - 400.0 == pytest.approx(47, abs=8)


def test_speed_falls_less_than_the_clock() -> None:
    shares = [0.3, 0.5, 0.7, 0.9, 1.0]

    speeds = [physics.speed(share) for share in shares]

    assert speeds[-1] == pytest.approx(1.0)
    assert all(slow < fast for slow, fast in pairwise(speeds))
    assert all(speed >= share for share, speed in zip(shares, speeds, strict=True))


@pytest.mark.parametrize("kind", ["studio", "linux", "nvidia"])
def test_a_desktop_never_slows(kind: str) -> None:
    assert physics.never_slows(KINDS[kind].body, 25.0)


@settings(max_examples=40, deadline=None)
@given(
    works=st.lists(st.floats(1, 600), min_size=1, max_size=4),
    intensity=st.floats(0.3, 1),
    kind=st.sampled_from(sorted(KINDS)),
)
def test_work_is_neither_lost_nor_made(works: list[float], intensity: float, kind: str) -> None:
    machine = Machine(make(kind))
    for number, work in enumerate(works):
        machine.tasks[f"j{number}"] = Task(f"j{number}", work, 1.0, intensity, 0)

    ended: dict[str, float] = {}
    while machine.tasks:
        ended |= machine.step(1e9, physics.LOOK_S)

    assert sorted(ended) == sorted(f"j{number}" for number in range(len(works)))
    assert machine.account.work == pytest.approx(sum(works))
    # No job is faster than its own pace, and all together are no faster than the machine.
    assert max(ended.values()) >= max([*works, sum(works) * intensity]) * (1 - 1e-9)


def test_two_jobs_share_what_one_would_have() -> None:
    machine = Machine(make("studio"))
    for key in "ab":
        machine.tasks[key] = Task(key, 100.0, 1.0, 1.0, 0)

    assert dict(machine.advance(1000.0)) == pytest.approx({"a": 200.0, "b": 200.0})


def test_when_one_ends_the_other_goes_on_alone() -> None:
    machine = Machine(make("studio"))
    machine.tasks["short"] = Task("short", 50.0, 1.0, 1.0, 0)
    machine.tasks["long"] = Task("long", 100.0, 1.0, 1.0, 0)

    assert dict(machine.advance(1000.0)) == pytest.approx({"short": 100.0, "long": 150.0})


def test_a_copy_goes_on_by_itself() -> None:
    machine = busy("air", 100.0)
    list(machine.advance(30.0))
    left = machine.tasks["j"].left

    other = machine.copy()
    list(other.advance(60.0))

    assert (machine.at_s, machine.tasks["j"].left) == (30.0, left)
    assert other.tasks["j"].left < left


def test_no_two_machines_of_a_fleet_are_alike_and_a_seed_gives_the_same_ones() -> None:
    one, again, other = (fleets.fleet("mixed", seed) for seed in (1, 1, 2))

    assert one == again
    assert one != other
    assert one[0].kind.body != one[1].kind.body
    assert len({machine.name for machine in one}) == len(one)
