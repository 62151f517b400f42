# SPDX-License-Identifier: Apache-2.0
"""Which components are chosen, and in which order they stop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops.cli.supervisor.component import (
    Component,
    Gate,
    UnknownComponentError,
    selected,
    stop_order,
)


def component(name: str, *needs: str) -> Component:
    return Component(name, ("true",), Gate(), needs=needs)


PLATFORM = [
    component("nats"),
    component("airflow-migrate"),
    component("airflow-api", "airflow-migrate"),
    component("bridge", "nats", "airflow-api"),
]


def names(components: list[Component]) -> list[str]:
    return [one.name for one in components]


def test_everything_is_chosen_by_default() -> None:
    assert selected(PLATFORM, [], []) == PLATFORM


def test_a_group_name_stands_for_its_components() -> None:
    assert names(selected(PLATFORM, ["airflow"], [])) == ["airflow-migrate", "airflow-api"]
    assert names(selected(PLATFORM, [], ["airflow-api"])) == ["nats", "airflow-migrate"]


def test_what_cannot_work_without_what_is_left_out_is_left_out_too() -> None:
    assert names(selected(PLATFORM, [], ["airflow"])) == ["nats"]
    ui = replace(component("ui", "nats", "airflow-api", "bridge"), optional=True)
    assert names(selected([*PLATFORM, ui], [], ["airflow"])) == ["nats", "ui"]


def test_needs_that_are_left_out_are_not_waited_for() -> None:
    found = selected(PLATFORM, ["nats", "bridge"], [])

    assert found[1].needs == ("nats",)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        UnknownComponentError, match=r"no component 'natz'; there are nats, airflow-migrate"
    ):
        selected(PLATFORM, ["natz"], [])


def test_nothing_stops_before_what_needs_it() -> None:
    assert [names(group) for group in stop_order(PLATFORM)] == [
        ["bridge"],
        ["nats", "airflow-api"],
        ["airflow-migrate"],
    ]


def test_needs_in_a_circle_are_refused() -> None:
    with pytest.raises(ValueError, match=r"circle: \['a', 'b'\]"):
        stop_order([component("a", "b"), component("b", "a")])
