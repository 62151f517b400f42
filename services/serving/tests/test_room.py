# SPDX-License-Identifier: Apache-2.0
"""What fits into the memory of serving, and who makes room for whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.serving.model.backends import ONNX
from mlops.serving.model.room import (
    FIRST,
    GIB,
    INTERPRETER,
    MIB,
    House,
    Tenant,
    capacity_of,
    need,
    pack,
    used,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def tenant(name: str, mib: int = 100, **changes: Any) -> Tenant:
    return Tenant(name, **{"project": name, "each": mib * MIB, **changes})


def idle(name: str, minutes: int, **changes: Any) -> Tenant:
    return tenant(name, idle_since=NOON - timedelta(minutes=minutes), **changes)


def newcomer(name: str = "new", mib: int = 100, **changes: Any) -> Tenant:
    return tenant(name, mib, stays=False, **changes)


def house(mib: int, **changes: Any) -> House:
    return House(mib * MIB, **changes)


def test_measured_bytes_count_with_a_fifth_more() -> None:
    assert need(200 * MIB, 10**9, "pyfunc", 4.0) == 240 * MIB


@pytest.mark.parametrize(
    ("backend", "mib"), [("sklearn", 280), (ONNX, 230), ("torch-cpu", 500), ("unheard-of", 500)]
)
def test_before_it_was_measured_files_and_libraries_count(backend: str, mib: int) -> None:
    assert need(None, 10 * MIB, backend, 4.0) == mib * MIB


@pytest.mark.parametrize("measured", [None, 900 * MIB])
def test_nothing_needs_more_than_it_may_take(measured: int | None) -> None:
    assert need(measured, 10**9, "torch", 0.5) == GIB // 2 + INTERPRETER


def test_a_part_of_the_machine_is_for_replicas_and_never_none() -> None:
    assert capacity_of(16 * GIB) == int(16 * GIB * 0.6) - 700 * MIB
    assert capacity_of(GIB) == FIRST


def test_what_fits_is_let_in() -> None:
    packed = pack(house(300), [tenant("a"), newcomer()])

    assert packed.replicas == {"a": 1, "new": 1}
    assert packed.refused == {}


def test_what_does_not_fit_is_refused_with_the_numbers_and_the_fix() -> None:
    packed = pack(
        house(250), [tenant("new.v1", 120, project="new"), tenant("b", 90), newcomer(mib=100)]
    )

    refusal = packed.refused["new"]
    assert not refusal.waits
    assert refusal.reason == (
        "needs 0.10 GiB for 1 replica(s), free 0.04 of 0.24 GiB; held: new.v1 0.12, other projects 0.09; "
        "undeploy a model, let idle ones sleep ([serve] min_replicas = 0), or raise SERVING_MEMORY_GB"
    )
    assert packed.replicas == {"new.v1": 1, "b": 1}


def test_the_version_used_longest_ago_sleeps_first_and_no_more_than_needed() -> None:
    packed = pack(house(300), [idle("a", 5), idle("b", 60), idle("c", 30), newcomer()])

    assert packed.to_sleep == ("b",)
    assert packed.refused["new"].waits
    assert packed.refused["new"].reason.startswith("waits for versions of other projects to sleep")


def test_nobody_sleeps_for_what_would_not_fit_even_then() -> None:
    packed = pack(house(300), [idle("a", 5), tenant("b", 200), newcomer(mib=200)])

    assert packed.to_sleep == ()
    assert not packed.refused["new"].waits


def test_two_newcomers_do_not_count_the_same_sleeper_twice() -> None:
    packed = pack(house(200), [idle("a", 5), tenant("b"), newcomer("x"), newcomer("y")])

    assert packed.to_sleep == ("a",)
    assert packed.refused["x"].waits
    assert not packed.refused["y"].waits


def test_extra_replicas_make_room_and_the_newcomer_waits_until_they_have_stopped() -> None:
    many = tenant("a", most=4, wanted=4, running=3)

    packed = pack(house(300), [many, newcomer()])

    assert packed.replicas == {"a": 2}
    assert "extra replicas" in packed.refused["new"].reason
    assert pack(house(300), [tenant("a", most=4, wanted=4, running=2), newcomer()]).replicas == {
        "a": 2,
        "new": 1,
    }


def test_a_newcomer_waits_for_what_leaves() -> None:
    packed = pack(house(200), [tenant("a"), tenant("b", leaves=True), newcomer()])

    assert packed.refused["new"].waits
    assert "waits for versions that leave" in packed.refused["new"].reason


def test_nobody_sleeps_for_room_that_is_about_to_be_free() -> None:
    goes = pack(house(200), [idle("a", 5), tenant("b", leaves=True), newcomer()])
    went = pack(house(200, leaving=100 * MIB), [idle("a", 5), newcomer()])

    for packed in (goes, went):
        assert packed.to_sleep == ()
        assert "waits for versions that leave" in packed.refused["new"].reason


def test_more_sleep_where_what_leaves_is_not_enough() -> None:
    mine = idle("a", 5, project="new")

    packed = pack(house(300), [mine, idle("b", 60, leaves=True), newcomer(mib=250)])

    assert packed.to_sleep == ("a",)
    assert packed.refused["new"].reason.startswith("waits for a to sleep")


def test_what_has_been_stopped_counts_until_it_is_gone() -> None:
    assert pack(house(200, leaving=150 * MIB), [newcomer()]).refused["new"].waits
    assert pack(house(200), [newcomer()]).refused == {}


def test_what_answers_stays_even_where_it_turned_out_too_big() -> None:
    packed = pack(house(150), [tenant("a", 100), tenant("b", 100)])

    assert packed.replicas == {"a": 1, "b": 1}


def test_demand_is_paid_before_spare_replicas() -> None:
    packed = pack(house(500), [tenant("a", most=4), tenant("b", most=4, wanted=3)])

    assert packed.replicas == {"a": 2, "b": 3}


def test_spare_room_goes_to_the_project_that_holds_least_by_its_weight() -> None:
    weights = {"a": 1.0, "b": 3.0}

    packed = pack(house(800, weights=weights), [tenant("a", most=8), tenant("b", most=8)])

    assert packed.replicas == {"a": 2, "b": 6}


def test_a_project_above_its_share_puts_nobody_to_sleep_who_is_within_his() -> None:
    weights = {"big": 1.0, "small": 1.0}
    full = [
        tenant("big.1", 200, project="big"),
        tenant("big.2", 60, project="big"),
        idle("s", 9, project="small"),
    ]

    packed = pack(house(400, weights=weights), [*full, newcomer(project="big")])

    assert packed.to_sleep == ()
    assert not packed.refused["new"].waits
    within = pack(house(400, weights=weights), [*full, newcomer(project="small")])
    assert within.to_sleep == ("s",)


def test_a_project_above_its_share_leaves_a_first_replica_to_those_that_serve_nothing_yet() -> None:
    weights = {"big": 1.0, "waiting": 1.0}
    held = [tenant("big.1", 500, project="big")]

    packed = pack(house(1000, weights=weights), [*held, newcomer(mib=300, project="big")])

    assert "0.29 of it kept for projects that serve nothing yet" in packed.refused["new"].reason
    assert pack(house(1000), [*held, newcomer(mib=300, project="big")]).refused == {}
    takes_over = newcomer(mib=300, project="big", replaces=True)
    assert pack(house(1000, weights=weights), [*held, takes_over]).refused == {}
    first = newcomer(mib=800, project="other")
    assert pack(house(1000, weights=weights), [first]).refused == {}


TENANTS = st.lists(
    st.builds(
        Tenant,
        name=st.uuids().map(str),
        project=st.sampled_from("pqr"),
        each=st.integers(1, 400 * MIB),
        fewest=st.integers(1, 3),
        most=st.integers(3, 6),
        wanted=st.integers(1, 6),
        running=st.integers(0, 6),
        stays=st.just(False),
        idle_since=st.none() | st.datetimes(timezones=st.just(UTC)),
        leaves=st.booleans(),
    ),
    max_size=12,
)


@given(TENANTS, st.integers(0, 2000), st.integers(0, 500))
def test_newcomers_alone_never_fill_more_than_there_is(
    tenants: list[Tenant], mib: int, leaving: int
) -> None:
    packed = pack(house(mib, leaving=leaving * MIB), tenants)

    each = {one.name: one.each for one in tenants}
    held = sum(each[name] * count for name, count in packed.replicas.items())
    assert held + leaving * MIB <= mib * MIB or not packed.replicas
    assert packed.replicas.keys() | packed.refused.keys() == {one.name for one in tenants}
    assert used(tenants) >= 0
