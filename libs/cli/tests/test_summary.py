# SPDX-License-Identifier: Apache-2.0
"""One line tells whom a message is about and its telling fields."""

from __future__ import annotations

from mlops.cli.summary import summary


def test_the_subject_comes_first_and_is_not_repeated() -> None:
    envelope = {
        "subject": "rain",
        "data": {"name": "rain", "version": 2, "reason": "better  by\n0.05"},
    }

    assert summary(envelope) == "rain version=2 reason=better by 0.05"


def test_numbers_are_short_and_zero_is_told() -> None:
    assert (
        summary({"data": {"value": 0.70512345, "traffic_ratio": 0.0}})
        == "value=0.7051 traffic_ratio=0"
    )


def test_batches_are_counted() -> None:
    assert summary({"subject": "rain", "data": {"predictions": [1, 2, 3]}}) == "rain 3 predictions"


def test_a_long_line_is_cut() -> None:
    found = summary({"data": {"reason": "x" * 500}})

    assert (len(found), found[-1]) == (160, "…")


def test_strangers_do_not_break_it() -> None:
    assert summary({"data": "no object"}) == ""
