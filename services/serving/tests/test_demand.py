# SPDX-License-Identifier: Apache-2.0
"""How many replicas the requests under way pay for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlops.serving.model.demand import CALMS_AFTER, Demand, demanded, steadied

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ongoing", "replicas"), [(None, 1), (0.0, 1), (4.0, 1), (4.1, 2), (15.0, 4), (90.0, 4)]
)
def test_four_requests_under_way_pay_for_one_replica(ongoing: float | None, replicas: int) -> None:
    assert demanded(ongoing, 1, 4) == replicas


def test_more_is_wanted_at_once() -> None:
    assert steadied(Demand(1), 3, NOON) == Demand(3)


def test_fewer_are_wanted_after_a_quiet_minute_only() -> None:
    low = steadied(Demand(3), 1, NOON)
    still = steadied(low, 1, NOON + CALMS_AFTER - timedelta(seconds=1))
    after = steadied(still, 1, NOON + CALMS_AFTER)

    assert (low.replicas, still.replicas, after) == (3, 3, Demand(1))


def test_a_peak_in_between_begins_the_minute_anew() -> None:
    low = steadied(Demand(3), 1, NOON)
    peak = steadied(low, 3, NOON + timedelta(seconds=30))

    assert steadied(peak, 1, NOON + CALMS_AFTER).replicas == 3
