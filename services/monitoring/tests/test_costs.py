# SPDX-License-Identifier: Apache-2.0
"""What another retraining will take, said in one sentence."""

from __future__ import annotations

import pytest

from mlops.monitoring.model.costs import Spent, forecast, with_one_more


@pytest.mark.parametrize(
    ("spent", "told"),
    [
        ((), ""),
        (
            (Spent(42.4, 310.0),),
            "A retraining takes about 42 s and 310 J (as the last one did).",
        ),
        (
            (Spent(600.0, 7200.0), Spent(1200.0), Spent(1800.0, 36000.0)),
            "A retraining takes about 20 min and 6.0 Wh (the median of the last 3).",
        ),
        (
            (Spent(10800.0), Spent(10800.0)),
            "A retraining takes about 3.0 h (the median of the last 2).",
        ),
    ],
)
def test_the_median_of_the_last_retrainings_is_told(spent: tuple[Spent, ...], told: str) -> None:
    assert forecast(spent) == told


def test_only_the_newest_retrainings_count() -> None:
    spent: tuple[Spent, ...] = ()

    for number in range(30):
        spent = with_one_more(spent, Spent(float(number)))

    assert [one.duration_s for one in spent] == [float(number) for number in range(10, 30)]
