# SPDX-License-Identifier: Apache-2.0
"""Which rung of the ladder a machine's own words mean."""

from __future__ import annotations

import pytest

from mlops.telemetry_agent.model.ladder import Sensor, darwin, linux, nvidia, sensor


@pytest.mark.parametrize(
    ("pressure", "level", "native"),
    [
        (0, 0, "Nominal"),
        (1, 1, "Moderate"),
        (2, 2, "Heavy"),
        (3, 3, "Trapping"),
        (4, 4, "Sleeping"),
    ],
)
def test_macos_pressure_is_the_ladder(pressure: int, level: int, native: str) -> None:
    rung = darwin(pressure)

    assert rung is not None
    assert (rung.level, rung.native) == (level, native)


@pytest.mark.parametrize("pressure", [-1, 5, 20])
def test_a_pressure_that_macos_does_not_know_is_no_rung(pressure: int) -> None:
    assert darwin(pressure) is None


@pytest.mark.parametrize(
    ("temp_c", "level"),
    [(60, 0), (76.9, 0), (77, 1), (90, 1), (95, 3), (104, 3), (105, 4)],
)
def test_trip_points_make_the_rung(temp_c: float, level: int) -> None:
    rung = sensor(Sensor("zone", temp_c, passive_c=85, hot_c=95, critical_c=105))

    assert rung is not None
    assert rung.level == level


@pytest.mark.parametrize(("temp_c", "level"), [(75, 0), (78, 1), (99, 1), (100, 2)])
def test_the_limit_of_a_processor_means_throttled(temp_c: float, level: int) -> None:
    rung = sensor(Sensor("Core 0", temp_c, passive_c=84, limit_c=100))

    assert rung is not None
    assert rung.level == level


def test_a_temperature_alone_tells_no_level() -> None:
    assert linux([Sensor("cpu", 90.0)], None) is None


def test_throttle_events_mean_throttled_however_cool_it_is() -> None:
    rung = linux([Sensor("cpu", 40.0, passive_c=90)], 3)

    assert rung is not None
    assert (rung.level, rung.native) == (2, "3 throttle events")


@pytest.mark.parametrize(
    ("reasons", "margin_c", "level"),
    [
        (0, None, 0),
        (0x4, 30, 0),
        (0x20, 30, 2),
        (0x60, 30, 3),
        (0x40, None, 3),
        (0, 5, 1),
        (0x8, 30, 0),
    ],
)
def test_nvidia_bits(reasons: int, margin_c: float | None, level: int) -> None:
    assert nvidia(reasons, margin_c).level == level
