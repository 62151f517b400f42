# SPDX-License-Identifier: Apache-2.0
"""Joules only grow and are counted once; what cannot be true together is missing; merging says who gave what."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.telemetry_agent.model.doubt import doubted
from mlops.telemetry_agent.model.energy import Meter, count, fields
from mlops.telemetry_agent.model.reading import (
    ClusterReading,
    FanReading,
    GpuReading,
    Partial,
    Reading,
    Value,
    compose,
)
from mlops.telemetry_agent.model.window import aggregate


def read(**values: Value) -> Reading:
    return compose([Partial("probe", {name.replace("__", "."): v for name, v in values.items()})])


def test_counted_joules_add_up_and_are_measured() -> None:
    meter = count(
        count(Meter(), read(energy__cpu_j=3.0, power__cpu_w=9.0), 2.0), read(energy__cpu_j=1.5), 2.0
    )

    assert fields(meter) == (
        {"energy.cpu_j": 4.5, "energy.measured": True},
        {"energy.cpu_j": "probe"},
    )


def test_watts_are_integrated_where_nothing_counts_and_that_is_said() -> None:
    meter = count(count(Meter(), read(power__gpu_w=10.0), 0.0), read(power__gpu_w=20.0), 2.0)

    assert fields(meter) == (
        {"energy.gpu_j": 40.0, "energy.measured": False},
        {"energy.gpu_j": "integrated"},
    )


def test_a_counter_that_pauses_is_not_replaced_by_a_guess() -> None:
    meter = count(Meter(), read(energy__cpu_j=3.0), 2.0)
    meter = count(meter, read(power__cpu_w=100.0), 2.0)

    assert meter.joules == {"cpu": 3.0}
    assert meter.measured


def test_what_was_drawn_while_nobody_looked_is_not_guessed_for_hours() -> None:
    assert count(Meter(), read(power__system_w=10.0), 86_400.0).joules == {"system": 600.0}


@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(0, 2000), st.none() | st.floats(0, 1e6), st.floats(-5, 1e4)
        ),
        max_size=30,
    )
)
def test_counters_only_grow(history: list[tuple[float | None, float | None, float]]) -> None:
    meter = Meter()
    for watts, joules, seconds in history:
        values = {"power__cpu_w": watts, "energy__cpu_j": joules}
        after = count(meter, read(**{n: v for n, v in values.items() if v is not None}), seconds)
        assert after.joules.get("cpu", 0.0) >= meter.joules.get("cpu", 0.0)
        meter = after


@pytest.mark.parametrize(
    ("busy", "watts", "kept"), [(0.9, 0.0, False), (0.4, 0.0, True), (0.9, 0.1, True)]
)
def test_a_processor_at_work_that_draws_nothing_is_not_believed(
    busy: float, watts: float, *, kept: bool
) -> None:
    reading = doubted(read(cpu_busy_ratio=busy, power__cpu_w=watts, energy__cpu_j=0.0))

    assert ("power.cpu_w" in reading.values) is kept
    assert ("energy.cpu_j" in reading.values) is kept
    assert (reading.missing.get("power.cpu_w") == "failed") is not kept
    assert reading.dropped == (0 if kept else 2)


def test_a_counter_that_was_not_read_again_is_no_reason_to_doubt() -> None:
    assert doubted(read(cpu_busy_ratio=1.0, power__cpu_w=5.0, energy__cpu_j=0.0)).dropped == 0


def test_a_gpu_at_work_that_draws_nothing_is_not_believed() -> None:
    reading = doubted(
        compose(
            [
                Partial(
                    "p",
                    {"power.gpu_w": 0.0},
                    gpus=(GpuReading("gpu0", busy_ratio=1.0, power_w=0.0),),
                )
            ]
        )
    )

    assert "power.gpu_w" not in reading.values
    assert reading.gpus[0].power_w is None


def test_what_cannot_be_is_thrown_away_and_counted() -> None:
    reading = compose(
        [
            Partial(
                "p",
                {
                    "thermal.cpu_temp_c": math.nan,
                    "power.cpu_w": -1.0,
                    "cpu_busy_ratio": 1.5,
                    "power.gpu_w": 2500.0,
                },
                gpus=(GpuReading("gpu0", temp_c=400.0),),
                clusters=(ClusterReading("P", busy_ratio=math.inf),),
                fans=(FanReading("left", -3.0),),
            )
        ]
    )

    assert reading.values == {}
    assert set(reading.missing.values()) == {"failed"}
    assert reading.gpus[0].temp_c is None
    assert reading.clusters[0].busy_ratio is None
    assert reading.fans == ()
    assert reading.dropped == 7


def test_gpus_are_merged_by_id_and_the_first_probe_wins_each_field() -> None:
    first = Partial("energy", gpus=(GpuReading("gpu0", power_w=4.0),))
    second = Partial(
        "ioreg", gpus=(GpuReading("gpu0", busy_ratio=0.5, power_w=9.0), GpuReading("gpu1"))
    )

    reading = compose([first, second])

    assert reading.gpus == (GpuReading("gpu0", busy_ratio=0.5, power_w=4.0), GpuReading("gpu1"))
    assert reading.provenance["gpus"] == "energy"


def test_clusters_and_fans_are_those_of_one_probe() -> None:
    macmon = Partial(
        "macmon", clusters=(ClusterReading("P-Cluster"),), fans=(FanReading("left", 0.0),)
    )
    other = Partial("helper", clusters=(ClusterReading("P0-Cluster"), ClusterReading("P1-Cluster")))

    reading = compose([other, macmon])

    assert [one.name for one in reading.clusters] == ["P0-Cluster", "P1-Cluster"]
    assert reading.fans == (FanReading("left", 0.0),)
    assert (reading.provenance["clusters"], reading.provenance["fans"]) == ("helper", "macmon")


def test_the_smallest_margin_of_all_probes_counts() -> None:
    reading = compose(
        [Partial("cpu", {"thermal.margin_c": 40.0}), Partial("gpu", {"thermal.margin_c": 3.0})]
    )

    assert reading.values["thermal.margin_c"] == 3.0
    assert reading.provenance["thermal.margin_c"] == "gpu"


def test_a_window_takes_means_peaks_sums_and_all_reasons() -> None:
    readings = [
        Reading(
            {
                "thermal.margin_c": margin,
                "thermal.reasons": reasons,
                "thermal.derived_throttle": derived,
                "thermal.throttled_s_delta": 0.5,
                "thermal.throttle_events_delta": 1,
            },
            clusters=(ClusterReading("P", busy_ratio=busy, freq_hz=busy * 1e9),),
            fans=(FanReading("left", busy * 1000),),
            dropped=1,
        )
        for margin, reasons, derived, busy in (
            (9.0, "thermal", True, 0.2),
            (4.0, "power_cap,thermal", False, 0.6),
        )
    ]

    window = aggregate(readings)

    assert window.values == {
        "thermal.margin_c": 4.0,
        "thermal.reasons": "thermal,power_cap",
        "thermal.derived_throttle": True,
        "thermal.throttled_s_delta": 1.0,
        "thermal.throttle_events_delta": 2,
    }
    assert window.clusters[0].busy_ratio == pytest.approx(0.4)
    assert window.clusters[0].freq_hz == pytest.approx(0.4e9)
    assert window.fans == (FanReading("left", 600.0),)
    assert window.dropped == 2
