# SPDX-License-Identifier: Apache-2.0
"""Alarms: told once when they begin, again when they grow, and once when they are over."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mlops.monitoring.model.alarm import Alarm, Edge, Kind, Sign, signs, step
from mlops.monitoring.model.drift import ColumnVerdict, WindowVerdict

QUIET = Sign(seen=False)
WIND = Sign(seen=True, columns=("wind",))
BIG = Sign(seen=True, at_once=True, columns=("wind",))


def edges(found: Sequence[Sign], kind: Kind = Kind.DATA, persist: int = 2) -> list[Edge | None]:
    alarm, told = Alarm(), []
    for sign in found:
        alarm, edge = step(alarm, kind, sign, persist)
        told.append(edge)
    return told


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([WIND], [None]),
        ([WIND, WIND], [None, Edge.BEGAN]),
        ([WIND, QUIET, WIND], [None, None, Edge.BEGAN]),
        ([WIND, QUIET, QUIET, WIND], [None, None, None, None]),
        ([BIG], [Edge.BEGAN]),
        ([BIG, WIND, WIND], [Edge.BEGAN, None, None]),
        ([BIG, QUIET, WIND, QUIET, QUIET], [Edge.BEGAN, None, None, None, Edge.CLEARED]),
        ([BIG, QUIET, QUIET, QUIET, BIG], [Edge.BEGAN, None, Edge.CLEARED, None, Edge.BEGAN]),
    ],
)
def test_two_of_three_windows_or_one_big_one(found: list[Sign], told: list[Edge | None]) -> None:
    assert edges(found) == told


def test_a_patient_project_waits_longer() -> None:
    assert edges([WIND, WIND, WIND], persist=3) == [None, None, Edge.BEGAN]


def test_an_impatient_project_waits_for_nothing() -> None:
    assert edges([WIND], persist=1) == [Edge.BEGAN]


def test_a_new_column_is_told_once() -> None:
    both = Sign(seen=True, columns=("wind", "rain"))

    assert edges([WIND, WIND, both, WIND, both]) == [None, Edge.BEGAN, Edge.GREW, None, None]


def test_prediction_drift_becomes_critical_when_it_lasts() -> None:
    alarm, began = step(Alarm(), Kind.PREDICTION, BIG, 2)
    lasting, grew = step(alarm, Kind.PREDICTION, BIG, 2)

    assert (began, alarm.critical) == (Edge.BEGAN, False)
    assert (grew, lasting.critical) == (Edge.GREW, True)


def test_data_drift_never_becomes_critical() -> None:
    alarm = Alarm()
    for _ in range(10):
        alarm, _edge = step(alarm, Kind.DATA, BIG, 2)

    assert alarm.on
    assert not alarm.critical


def column(name: str, **found: bool | float) -> ColumnVerdict:
    plain = {"p": 0.5, "missing_ratio": 0.0, "moved": False, "missing_moved": False, "big": False}
    return ColumnVerdict(name=name, test="w1", score=0.1, threshold=0.08, **{**plain, **found})  # type: ignore[arg-type] # a table of cases


def test_more_than_a_fifth_missing_is_critical() -> None:
    some = WindowVerdict(columns=(column("wind", missing_moved=True, missing_ratio=0.1),))
    much = WindowVerdict(columns=(column("wind", missing_moved=True, missing_ratio=0.21),))

    assert not signs(some, 0.5)[Kind.MISSING].critical
    assert signs(much, 0.5)[Kind.MISSING].critical
    assert not signs(much, 0.5)[Kind.DATA].seen


def test_many_columns_at_once_need_no_second_window() -> None:
    four = tuple(column(name, moved=name != "d") for name in "abcd")
    two = tuple(column(name, moved=True) for name in "ab")

    assert signs(WindowVerdict(columns=four), 0.5)[Kind.DATA].at_once
    assert not signs(WindowVerdict(columns=two), 0.5)[Kind.DATA].at_once


def test_columns_that_only_moved_together_are_a_sign_without_names() -> None:
    sign = signs(WindowVerdict(columns=(column("a"),), together=True), 0.5)[Kind.DATA]

    assert sign == Sign(seen=True)
