# SPDX-License-Identifier: Apache-2.0
"""Joules of a machine, and who took them: by hand, and by the rule that nobody gets what was never taken."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.contracts.attribution import Tab, Taken, Use, charged, ended, since, split
from mlops.contracts.energy import EnergyUse
from mlops.contracts.metering import HOLD_S, Meter, Span, between, held, meter
from mlops.contracts.telemetry_agent import Chip, Energy, HardwareSample, Power

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON_S = NOON.timestamp()


def told(
    seq: int,
    at_s: float,
    energy: dict[str, Any] | None = None,
    vendor: str = "intel",
    boot: str = "b",
    **more: Any,
) -> Meter:
    sample = HardwareSample(
        seq=seq,
        boot_id=boot,
        observed_at=NOON + timedelta(seconds=at_s),
        window_s=more.pop("window_s", 10.0),
        chip=Chip(vendor=vendor, cores=8),
        energy=Energy(**(energy or {})),
        power=Power(**more.pop("power", {})),
        **more,
    )
    return meter(sample.model_dump(mode="json"))


def package(seq: int, at_s: float, joules: float, **more: Any) -> Meter:
    return told(seq, at_s, {"package_j": joules}, **more)


def took(before: Meter | None, now: Meter) -> Span:
    span = between(before, now)
    assert span is not None
    return span


@pytest.mark.parametrize(
    ("vendor", "energy", "whole", "accelerators", "counter"),
    [
        ("apple", {"package_j": 100, "cpu_j": 60, "gpu_j": 30, "ane_j": 2}, 100, 32, "package"),
        ("apple", {"cpu_j": 60, "gpu_j": 30, "dram_j": 5}, 95, 30, "cpu + gpu + dram"),
        ("intel", {"package_j": 100, "cpu_j": 60, "gpu_j": 30, "dram_j": 5}, 135, 30, "package + gpu + dram"),
        ("amd", {"cpu_j": 60, "system_j": 300}, 60, 0, "cpu"),
        ("amd", {"gpu_j": 50}, 50, 50, "gpu"),
        ("arm", {"system_j": 300}, 300, 0, "system"),
    ],
)  # fmt: skip
def test_the_counter_that_counts_is_of_everything_once(
    vendor: str, energy: dict[str, float], whole: float, accelerators: float, counter: str
) -> None:
    span = took(told(1, 0, dict.fromkeys(energy, 0.0), vendor), told(2, 10, energy, vendor))

    assert (span.joules, span.accelerator_j, span.counter) == (whole, accelerators, counter)
    assert (span.length_s, span.known_s, span.measured) == (10, 10, True)


def test_parts_that_are_counted_win_over_a_package_that_was_integrated() -> None:
    mixed = {"package_j": 90.0, "cpu_j": 60.0, "gpu_j": 30.0, "measured": False}
    by = {"energy.package_j": "integrated", "energy.cpu_j": "zeus", "energy.gpu_j": "zeus"}

    now = told(2, 10, mixed, "apple", provenance=by)

    assert (now.counter, now.measured) == ("cpu + gpu", True)
    assert told(2, 10, {"package_j": 1.0, "measured": False}).measured is False
    assert told(2, 10, {"package_j": 1.0}, source="simulated").measured is False


def test_a_lost_sample_loses_nothing_and_a_late_one_adds_nothing() -> None:
    first, late, newest = package(1, 10, 100), package(2, 20, 250), package(5, 50, 600)

    span = took(first, newest)

    assert (span.joules, span.length_s, span.known_s) == (500, 40, 40)
    assert between(newest, late) is None
    assert between(newest, newest) is None


def test_over_a_restart_only_the_new_window_is_known() -> None:
    before = package(90, 0, 9000)

    begun = took(before, package(1, 100, 40, boot="c"))
    later = took(before, package(7, 100, 300, boot="c", power={"package_w": 5}))

    assert (begun.joules, begun.known_s, begun.measured) == (40, 10, True)
    assert (later.joules, later.known_s, later.measured) == (50, 10, False)
    assert between(before, package(7, 100, 300, boot="c")) is None


@pytest.mark.parametrize("joules", [50.0, 1e9])
def test_a_counter_that_falls_or_leaps_is_not_believed(joules: float) -> None:
    before, now = package(1, 0, 100), package(3, 20, joules, power={"package_w": 4})

    span = took(before, now)

    assert (span.joules, span.known_s, span.length_s) == (40, 10, 20)
    assert not span.measured


def test_a_clock_that_was_set_changes_no_length() -> None:
    before = package(1, 0, 100)

    assert took(before, package(2, -3600, 150)).length_s == 10
    assert took(before, package(2, 3600, 150)).length_s == 10
    assert took(before, package(3, 3600, 150)).length_s == 3600


def test_watts_stand_in_where_nothing_is_counted() -> None:
    before, now = told(1, 0, power={"cpu_w": 3}), told(2, 10, power={"cpu_w": 3, "gpu_w": 2})

    span = took(before, now)

    assert (span.rest_j, span.accelerator_j, span.measured) == (30, 20, False)
    assert between(told(1, 0), told(2, 10)) is None


def test_nonsense_is_no_energy() -> None:
    odd = {
        "seq": "1",
        "energy": {"package_j": True, "cpu_j": float("nan"), "gpu_j": -4.0},
        "power": 3,
    }

    assert meter(odd) == Meter("", 0, 0.0, 0.0)
    assert meter({}) == Meter("", 0, 0.0, 0.0)


def test_a_machine_goes_on_as_it_did_but_not_for_ever() -> None:
    last = package(2, 10, 100, power={"package_w": 5})

    span = held(last, NOON_S + 14)

    assert span is not None
    assert (span.joules, span.known_s, span.since_s) == (20, 0, NOON_S + 10)
    for_ever = held(last, NOON_S + 9999)
    assert for_ever is not None
    assert for_ever.joules == 5 * HOLD_S
    assert held(last, NOON_S + 10) is None


SPAN = Span(0, 10, 10, rest_j=80, accelerator_j=40, busy_core_s=20, measured=True, counter="x")


def test_processor_time_shares_the_processor_and_users_the_accelerator() -> None:
    found = split(SPAN, (Use("a", 10, 5, 10), Use("b", 10, 10), Use("c", 5, 0, 10)))

    # 20 processor seconds were busy, 5 of them nobody's; two users of the accelerator.
    assert [found[name].joules for name in "abc"] == [80 * 5 / 20 + 20, 80 * 10 / 20, 20]
    assert found["c"].machine_j == 60


def test_an_idle_machine_is_nobodys_and_a_lone_user_pays_for_it() -> None:
    idle = replace(SPAN, busy_core_s=0.2)

    assert split(idle, (Use("sleeps", 10, 0.0),))["sleeps"].joules == 0
    assert split(idle, (Use("works", 10, 0.2),))["works"].joules == 80


def test_half_the_accelerators_time_is_half_of_its_energy() -> None:
    assert split(SPAN, (Use("a", 5, 0, 5),))["a"].joules == 20


def test_what_was_handed_out_ahead_is_taken_off_the_next_sample() -> None:
    tab = charged(Tab(), package(1, 10, 100, power={"package_w": 10}), [Use("a", 10, 1)])
    tab = ended(tab, "a", NOON_S + 15, [Use("a", 5, 1)])
    assert tab.taken["a"].joules == 150

    tab = charged(tab, package(2, 20, 180), [Use("b", 10, 1)])

    assert tab.taken["b"].joules == 30
    assert tab.ahead_j == 0


def test_a_tab_keeps_those_who_were_charged_last() -> None:
    tab = Tab()
    for seq in range(1, 30):
        tab = charged(tab, package(seq, 10 * seq, 10 * seq), [Use(f"u{seq}", 10, 1)], most=5)

    assert list(tab.taken) == ["u25", "u26", "u27", "u28", "u29"]


def test_energy_use_says_how_well_it_is_known() -> None:
    found = EnergyUse.of(Taken(30, 120, 60, 60, "package"), 100, "by processor time", node="n1")

    assert found is not None
    assert (found.joules, found.share_ratio, found.known_ratio, found.measured) == (
        30,
        0.25,
        0.6,
        True,
    )
    assert found.how == "package counter; share by processor time; known for 60 of 100 s"
    assert EnergyUse.of(Taken(), 100, "x") is None


STEPS = st.lists(
    st.tuples(
        st.floats(0, 5000),  # joules that the package took
        st.floats(0, 3000),  # and the GPU
        st.floats(0, 1),  # busy
        st.booleans(),  # the sample is lost
        st.booleans(),  # the agent starts again
        st.lists(st.tuples(st.floats(0, 10), st.floats(0, 80), st.floats(0, 10)), max_size=5),
        st.booleans(),  # the first user ends between samples
    ),
    max_size=25,
)


@given(STEPS)
def test_never_more_is_handed_out_than_the_machine_took(steps: list[Any]) -> None:
    tab, boot, seq = Tab(), 0, 0
    counted = {"package_j": 0.0, "gpu_j": 0.0}
    whole = 0.0
    paid: dict[str, float] = {}
    for at, (package_j, gpu_j, busy, lost, restarts, users, ends) in enumerate(steps):
        if restarts:
            boot, seq, counted = boot + 1, 0, {"package_j": 0.0, "gpu_j": 0.0}
        seq += 1
        counted = {"package_j": counted["package_j"] + package_j, "gpu_j": counted["gpu_j"] + gpu_j}
        whole += package_j + gpu_j
        now = told(
            seq,
            10.0 * at,
            counted,
            boot=str(boot),
            cpu_busy_ratio=busy,
            power={"package_w": min(2000, package_j / 10), "gpu_w": min(2000, gpu_j / 10)},
        )
        uses = [Use(f"u{n}", *one) for n, one in enumerate(users)]
        if lost:
            continue
        tab = charged(tab, now, uses)
        if ends and uses:
            tab = ended(tab, "u0", NOON_S + 10.0 * at + 5, uses)
        paid = {name: taken.joules for name, taken in tab.taken.items()}

    assert sum(paid.values()) <= whole + tab.ahead_j + 1e-6 * (1 + whole)
    assert all(joules >= 0 for joules in paid.values())


@given(
    rest_j=st.floats(0, 1e6),
    accelerator_j=st.floats(0, 1e6),
    busy=st.none() | st.floats(0, 1e4),
    uses=st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1e4), st.floats(0, 10)), max_size=8),
)
def test_a_span_is_shared_out_at_most_once(
    rest_j: float, accelerator_j: float, busy: float | None, uses: list[tuple[float, float, float]]
) -> None:
    span = Span(0, 10, 10, rest_j, accelerator_j, busy)

    found = split(span, [Use(str(n), *one) for n, one in enumerate(uses)])

    assert sum(taken.joules for taken in found.values()) <= span.joules * (1 + 1e-9) + 1e-9
    assert all(taken.joules <= span.joules * (1 + 1e-9) for taken in found.values())


def test_the_span_of_a_sample_is_told_before_it_is_charged() -> None:
    tab = charged(Tab(), package(1, 10, 100), [])

    span = since(tab, package(4, 40, 400))

    assert span is not None
    assert (span.since_s, span.until_s, span.joules) == (NOON_S + 10, NOON_S + 40, 300)
