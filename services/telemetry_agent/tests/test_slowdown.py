# SPDX-License-Identifier: Apache-2.0
"""The second detector: a fall of clocks or power under full load is told, and only heat counts as heat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.telemetry_agent.adapters.simulated import SimulatedProbe
from mlops.telemetry_agent.model.reading import (
    LEVEL,
    ClusterReading,
    GpuReading,
    Reading,
    Value,
    compose,
)
from mlops.telemetry_agent.model.scenario import parse
from mlops.telemetry_agent.model.slowdown import Runs, Slow, marked, percentile, watch

EVERY_S = 2.0


def gpu(
    busy: float = 1.0, watts: float | None = 50.0, mhz: float | None = 1600.0, *reasons: str
) -> Reading:
    hertz = None if mhz is None else mhz * 1e6
    unit = GpuReading("gpu0", busy_ratio=busy, power_w=watts, freq_hz=hertz, event_reasons=reasons)
    return Reading({LEVEL: 0, "thermal.level_source": "darwin_notify"}, gpus=(unit,))


def cpu(watts: float, mhz: float, **more: Value) -> Reading:
    values = {name.replace("__", "."): value for name, value in more.items()}
    clusters = (ClusterReading("P-Cluster", freq_hz=mhz * 1e6),)
    return Reading(
        {LEVEL: 0, "cpu_busy_ratio": 1.0, "power.cpu_w": watts, **values}, clusters=clusters
    )


def play(readings: Iterable[Reading]) -> list[Sequence[Slow]]:
    runs, found = Runs(), list[Sequence[Slow]]()
    for place, reading in enumerate(readings):
        runs, slow = watch(runs, reading, place * EVERY_S)
        found.append(slow)
    return found


def reasons(found: Sequence[Sequence[Slow]]) -> set[str]:
    return {slow.reason for one in found for slow in one}


def test_a_fall_of_the_clock_is_told_after_ten_seconds() -> None:
    found = play([*[gpu()] * 20, *[gpu(mhz=1200)] * 10])

    assert [bool(one) for one in found[20:]] == [False] * 5 + [True] * 5
    assert found[-1][0] == Slow("thermal", "gpu0 busy, clock at 75% of its best")


def test_a_fall_of_power_at_an_unchanged_clock_is_told() -> None:
    found = play([*[gpu()] * 20, *[gpu(watts=18.0)] * 10])

    assert found[-1][0] == Slow("thermal", "gpu0 busy, power at 36% of its usual")


@pytest.mark.parametrize(
    "low", [gpu(watts=31.0), gpu(mhz=1290.0), gpu(busy=0.85, watts=5.0, mhz=400.0)]
)
def test_what_is_not_low_enough_or_not_busy_is_no_slow_down(low: Reading) -> None:
    assert reasons(play([*[gpu()] * 20, *[low] * 30])) == set()


def test_a_dip_shorter_than_ten_seconds_is_none() -> None:
    dips = [one for _ in range(10) for one in (*[gpu()] * 5, *[gpu(mhz=600)] * 5)]

    assert reasons(play([*[gpu()] * 20, *dips])) == set()


def test_another_job_after_a_pause_is_measured_against_itself() -> None:
    pause = [gpu(busy=0.0, watts=1.0)] * 40

    assert reasons(play([*[gpu()] * 30, *pause, *[gpu(watts=20.0)] * 30])) == set()


def test_low_power_mode_is_no_heat() -> None:
    low = Reading({**gpu().values, "power.mode": "low"}, gpus=gpu(mhz=700, watts=10.0).gpus)

    assert reasons(play([*[gpu()] * 20, *[low] * 20])) == {"low_power_mode"}


def test_a_power_cap_that_the_driver_names_is_no_heat() -> None:
    found = play([*[gpu()] * 20, *[gpu(1.0, 50.0, 1000.0, "sw_power_cap")] * 20])

    assert reasons(found) == {"power_cap"}


def test_a_power_cap_beside_a_thermal_event_is_heat() -> None:
    capped = gpu(1.0, 50.0, 1000.0, "sw_power_cap", "sw_thermal_slowdown")

    assert reasons(play([*[gpu()] * 20, *[capped] * 20])) == {"thermal"}


def test_waiting_for_memory_explains_less_power_but_no_lower_clock() -> None:
    def starved(watts: float, mhz: float) -> list[Reading]:
        return [cpu(watts, mhz, memory__pressure="critical")] * 20

    assert reasons(play([*[cpu(30.0, 4000)] * 20, *starved(10.0, 4000)])) == {"memory_pressure"}
    assert reasons(play([*[cpu(30.0, 4000)] * 20, *starved(10.0, 2000)])) == {"thermal"}


def test_turbo_that_ends_on_a_cool_processor_is_its_power_budget() -> None:
    cool = [cpu(20.0, 2600, thermal__margin_c=30.0)] * 20

    assert reasons(play([*[cpu(45.0, 4200)] * 10, *cool])) == {"power_cap"}


def test_turbo_that_ends_at_the_limit_is_heat() -> None:
    hot = [cpu(20.0, 2600, thermal__margin_c=2.0)] * 20

    assert reasons(play([*[cpu(45.0, 4200)] * 10, *hot])) == {"thermal"}


def test_going_to_battery_begins_a_new_comparison() -> None:
    mains = [cpu(40.0, 4000, power__source="ac")] * 20
    battery = [cpu(15.0, 2500, power__source="battery")] * 20

    assert reasons(play([*mains, *battery])) == set()


def test_heat_raises_the_level_and_says_what_the_machine_itself_claims() -> None:
    reading = marked(gpu(), [Slow("thermal", "gpu0 busy, clock at 46% of its best")])

    assert reading.values[LEVEL] == 2
    assert reading.values["thermal.derived_throttle"] is True
    assert reading.values["thermal.reasons"] == "thermal"
    assert reading.values["thermal.native"] == (
        "nominal by darwin_notify; gpu0 busy, clock at 46% of its best"
    )
    assert reading.values["thermal.level_source"] == reading.provenance[LEVEL] == "derived"


def test_another_reason_does_not_raise_the_level() -> None:
    reading = marked(gpu(), [Slow("low_power_mode", "…")])

    assert reading.values[LEVEL] == 0
    assert reading.values["thermal.derived_throttle"] is False
    assert reading.values["thermal.reasons"] == "low_power_mode"


def test_a_hotter_level_of_the_machine_itself_stays() -> None:
    trapping = Reading({LEVEL: 3, "thermal.native": "Trapping"}, gpus=gpu().gpus)

    reading = marked(trapping, [Slow("thermal", "…")])

    assert (reading.values[LEVEL], reading.values["thermal.native"]) == (3, "Trapping")


def simulated(scenario: str, seconds: int) -> list[Reading]:
    probe, runs, found = SimulatedProbe(parse(scenario)), Runs(), []
    for at in range(0, seconds, 2):
        reading = compose([probe.read(float(at))])
        runs, slow = watch(runs, reading, float(at))
        found.append(marked(reading, slow))
    return found


def test_a_machine_that_lies_nominal_is_caught() -> None:
    readings = simulated("fanless_air:load=1.0,on=400,faults=lie_nominal", 400)

    raised = [place * 2 for place, one in enumerate(readings) if one.values[LEVEL] == 2]
    assert raised
    # It is really throttled from about 36 s on; the detector may take its time, but not longer than the heat lasts.
    assert 36 <= raised[0] <= 200
    assert all(one.values["thermal.derived_throttle"] for one in readings[raised[0] // 2 : 195])


def test_an_honest_machine_that_stays_cool_is_never_accused() -> None:
    readings = simulated("desktop:load=1.0,on=3600", 3600)

    assert not any(one.values["thermal.derived_throttle"] for one in readings)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 100), st.floats(0, 5000)), max_size=60))
def test_any_history_gives_known_reasons_and_bounded_memory(
    history: list[tuple[float, float, float]],
) -> None:
    runs = Runs()
    for place, (busy, watts, mhz) in enumerate(history):
        runs, slow = watch(runs, gpu(busy, watts, mhz), place * EVERY_S)
        assert {one.reason for one in slow} <= {"thermal", "power_cap"}

    assert all(len(run.powers) <= 512 for run in runs.units.values())


def test_a_long_run_is_thinned_evenly() -> None:
    runs = Runs()
    for place in range(5000):
        runs, _ = watch(runs, gpu(watts=50.0 + place % 10), place * EVERY_S)

    kept = runs.units["gpu0"].powers
    assert 200 <= len(kept) <= 512
    assert 58 <= percentile(kept, 0.95) <= 59
