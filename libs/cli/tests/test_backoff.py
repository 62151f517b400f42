# SPDX-License-Identifier: Apache-2.0
"""Pauses grow with each failure in a row; a long good time wipes earlier failures out."""

from __future__ import annotations

import pytest

from mlops.cli.supervisor import backoff


@pytest.mark.parametrize(
    ("failures", "pause_s"),
    [(1, 0.5), (2, 1.0), (3, 2.0), (4, 5.0), (5, 10.0), (6, 30.0), (99, 30.0)],
)
def test_pauses_grow_up_to_half_a_minute(failures: int, pause_s: float) -> None:
    assert backoff.delay_s(failures) == pause_s


@pytest.mark.parametrize(
    ("before", "ready_for_s", "after"),
    [(0, None, 1), (3, None, 4), (3, 5.0, 4), (3, 60.0, 1), (9, 3600.0, 1)],
)
def test_a_long_good_time_is_forgiven(before: int, ready_for_s: float | None, after: int) -> None:
    assert backoff.failures_after(before, ready_for_s) == after
