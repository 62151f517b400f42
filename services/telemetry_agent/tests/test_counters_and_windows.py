# SPDX-License-Identifier: Apache-2.0
"""Watts from counters, one reading from many, and what is missing instead of zero."""

from __future__ import annotations

import math

import pytest

from mlops.telemetry_agent.model.counters import Energy, events, joules
from mlops.telemetry_agent.model.reading import GpuReading, Partial, Reading, Value, compose
from mlops.telemetry_agent.model.window import aggregate


@pytest.mark.parametrize(
    ("before", "now", "seconds", "expected"),
    [
        (Energy(1_000_000, 10_000_000), Energy(3_000_000, 10_000_000), 2.0, 2.0),
        (Energy(9_000_000, 10_000_000), Energy(1_000_000, 10_000_000), 2.0, 2.0),
        (Energy(5, 10_000_000), Energy(5, 10_000_000), 2.0, 0.0),
        (Energy(1_000_000, 10_000_000), Energy(3_000_000, 20_000_000), 2.0, None),
        (Energy(1_000_000, 10_000_000), Energy(3_000_000, 10_000_000), 0.0, None),
        # Back without a wrap: taken for one it would be 130 kW.
        (Energy(9_000_000, 262_143_328_850), Energy(1_000_000, 262_143_328_850), 2.0, None),
    ],
)
def test_energy_is_what_a_counter_grew_also_across_a_wrap(
    before: Energy, now: Energy, seconds: float, expected: float | None
) -> None:
    assert joules(before, now, seconds) == expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({0: 3}, {0: 5}, 2),
        ({0: 5}, {0: 5}, 0),
        ({0: 9}, {0: 2}, 2),
        ({0: 3, 1: 50}, {0: 4}, 1),
        ({0: 3}, {0: 4, 1: 50}, 1),
        ({}, {0: 5}, None),
        ({0: 5}, {}, None),
    ],
)
def test_events_since_the_time_before(
    before: dict[int, int], now: dict[int, int], expected: int | None
) -> None:
    assert events(before, now) == expected


def test_the_first_probe_wins_and_is_named() -> None:
    reading = compose(
        [
            Partial("exact", {"power.cpu_w": 5.0}),
            Partial("rough", {"power.cpu_w": 9.0, "power.gpu_w": 1.0}),
        ]
    )

    assert reading.values == {"power.cpu_w": 5.0, "power.gpu_w": 1.0}
    assert reading.provenance == {"power.cpu_w": "exact", "power.gpu_w": "rough"}


def test_the_hottest_level_wins_with_its_own_words() -> None:
    cool = Partial("linux_heat", {"thermal.level": 0, "thermal.native": "calm"})
    hot = Partial("nvml", {"thermal.level": 2, "thermal.native": "sw_thermal_slowdown"})

    reading = compose([cool, hot])

    assert reading.values["thermal.level"] == 2
    assert reading.values["thermal.native"] == "sw_thermal_slowdown"
    assert reading.values["thermal.level_source"] == "nvml"


def test_a_field_is_missing_only_when_no_probe_has_it() -> None:
    reading = compose(
        [
            Partial("a", missing={"power.cpu_w": "denied", "power.gpu_w": "unsupported"}),
            Partial("b", {"power.cpu_w": 3.0}),
        ]
    )

    assert reading.missing == {"power.gpu_w": "unsupported"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("power.cpu_w", math.nan),
        ("power.cpu_w", -1.0),
        ("power.cpu_w", 2001.0),
        ("cpu_busy_ratio", 1.03),
        ("thermal.cpu_temp_c", 151.0),
        ("thermal.cpu_temp_c", -21.0),
        ("thermal.level", 5),
    ],
)
def test_a_value_that_cannot_be_is_missing(name: str, value: Value) -> None:
    reading = compose([Partial("broken", {name: value})])

    assert name not in reading.values
    assert reading.missing == {name: "failed"}


def test_an_impossible_value_leaves_room_for_the_next_probe() -> None:
    reading = compose([Partial("a", {"power.cpu_w": math.nan}), Partial("b", {"power.cpu_w": 3.0})])

    assert reading.values == {"power.cpu_w": 3.0}
    assert reading.missing == {}


def test_a_window_has_means_peaks_sums_and_the_last_word() -> None:
    first: dict[str, Value] = {
        "power.cpu_w": 2.0,
        "thermal.cpu_temp_c": 90.0,
        "thermal.throttle_events_delta": 1,
        "memory.available_bytes": 10,
        "power.source": "ac",
    }
    second: dict[str, Value] = {
        "power.cpu_w": 4.0,
        "thermal.cpu_temp_c": 80.0,
        "thermal.throttle_events_delta": 2,
        "memory.available_bytes": 7,
        "power.source": "battery",
    }

    assert aggregate([Reading(first), Reading(second)]).values == {
        "power.cpu_w": 3.0,
        "thermal.cpu_temp_c": 90.0,
        "thermal.throttle_events_delta": 3,
        "memory.available_bytes": 7,
        "power.source": "battery",
    }


def test_a_window_without_a_value_keeps_the_reason() -> None:
    gone = Reading(missing={"power.cpu_w": "stale"})

    assert aggregate([gone, gone]).missing == {"power.cpu_w": "stale"}
    assert aggregate([gone, Reading({"power.cpu_w": 1.0})]).missing == {}


def test_gpus_are_aggregated_one_by_one_and_none_stays_none() -> None:
    readings = [
        Reading(gpus=(GpuReading("gpu0", busy_ratio=0.2, temp_c=50), GpuReading("gpu1"))),
        Reading(gpus=(GpuReading("gpu0", busy_ratio=0.4, temp_c=40), GpuReading("gpu1"))),
    ]

    first, second = aggregate(readings).gpus

    assert first.busy_ratio == pytest.approx(0.3)
    assert first.temp_c == 50
    assert (second.busy_ratio, second.power_w, second.temp_c) == (None, None, None)


@pytest.mark.parametrize(("temp_c", "kept"), [(-5.0, -5.0), (150.0, 150.0), (255.0, None)])
def test_an_impossible_temperature_of_a_gpu_is_none(temp_c: float, kept: float | None) -> None:
    reading = compose([Partial("nvml", gpus=(GpuReading("gpu0", temp_c=temp_c, power_w=-1.0),))])

    assert reading.gpus == (GpuReading("gpu0", temp_c=kept),)
