# SPDX-License-Identifier: Apache-2.0
"""The simulated machine does what the real one was seen to do, and the same every time."""

from __future__ import annotations

import pytest

from mlops.telemetry_agent.adapters.simulated import SimulatedProbe
from mlops.telemetry_agent.model.reading import LEVEL
from mlops.telemetry_agent.model.scenario import load_at, parse
from mlops.telemetry_agent.model.thermal import MACHINES, Heat, advance, speed


def times_of(text: str, seconds: int) -> dict[int, int]:
    """Return when each level was first reached."""
    probe = SimulatedProbe(parse(text))
    first: dict[int, int] = {}
    for second in range(seconds):
        first.setdefault(int(float(probe.read(second).values[LEVEL])), second)
    return first


def test_a_fanless_laptop_throttles_when_it_was_seen_to() -> None:
    reached = times_of("fanless_air:load=1.0", 120)

    assert reached[1] == pytest.approx(27, abs=4)
    assert reached[2] == pytest.approx(38, abs=5)


def test_it_recovers_when_it_was_seen_to() -> None:
    machine = MACHINES["fanless_air"]
    heat = advance(machine, Heat(), 1.0, 25.0, 400)
    waited = 0
    while heat.level > 0:
        heat = advance(machine, heat, 0.0, 25.0, 1)
        waited += 1

    assert waited == pytest.approx(47, abs=6)


def test_in_the_long_run_it_works_at_about_half_its_speed() -> None:
    heat = advance(MACHINES["fanless_air"], Heat(), 1.0, 25.0, 1800)

    assert speed(heat.clock_mhz) == pytest.approx(0.53, abs=0.05)
    assert 600 < heat.clock_mhz < 760


def test_a_desktop_never_throttles() -> None:
    assert times_of("desktop:load=1.0", 1200) == {0: 0}


def test_the_same_seed_gives_the_same_machine_and_another_seed_another() -> None:
    first = times_of("fanless_air:load=1.0,seed=7", 60)

    assert times_of("fanless_air:load=1.0,seed=7", 60) == first
    assert (
        SimulatedProbe(parse("fanless_air:seed=7"))._machine
        != SimulatedProbe(parse("fanless_air:seed=8"))._machine
    )


def test_load_comes_and_goes() -> None:
    scenario = parse("fanless_air:load=0.8,on=10,off=5")

    assert [load_at(scenario, second) for second in (0, 9.9, 10, 14.9, 15)] == [0.8, 0.8, 0, 0, 0.8]


def test_time_can_run_faster() -> None:
    assert times_of("fanless_air:load=1.0,speed=10", 10)[2] in (3, 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("toaster", "no simulated machine 'toaster'; there are fanless_air"),
        ("fanless_air:heat=1", "no setting 'heat'"),
        ("fanless_air:load=much", "load .* must be a number, not 'much'"),
        ("fanless_air:load=2", "load .* between 0 and 1"),
        ("fanless_air:on=0", "must be above 0"),
        ("fanless_air:on=nan", "on in scenario .* must be a finite number"),
        ("fanless_air:speed=inf", "speed in scenario .* must be a finite number"),
        ("fanless_air:speed=1e9", "speed .* at most 1000"),
        ("fanless_air:ambient=nan", "ambient in scenario .* must be a finite number"),
    ],
)
def test_a_scenario_that_cannot_be_played_is_explained(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)
