# SPDX-License-Identifier: Apache-2.0
"""A server that takes short texts only is told in a few of them, each as long as it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from apprise.manager_plugins import NotificationManager
from apprise.plugins.base import NotifyBase

from mlops.monitoring.adapters.apprise_worker import by_apprise

TAKEN: list[str] = []
LINES = [f"[warning] rainfall: model-{number:02} is slow" for number in range(20)]


class Tiny(NotifyBase):  # type: ignore[misc]  # apprise says no types
    """A phone: no titles, 160 characters."""

    app_id = "tiny"
    title_maxlen = 0
    body_maxlen = 160
    request_rate_per_sec = 0

    def send(self, body: str, title: str = "", **_: Any) -> bool:
        """Note a text."""
        TAKEN.append(f"{title}{body}")
        return True


@pytest.fixture
def taken() -> Iterator[list[str]]:
    """Return what phones at `tiny://` are told."""
    TAKEN.clear()
    known = NotificationManager()
    known["tiny"] = Tiny
    yield TAKEN
    known.remove("tiny")


pytestmark = pytest.mark.filterwarnings(
    "ignore:'imghdr' is deprecated"
)  # one of apprise's services reads pictures


def test_what_fits_is_told_as_it_is(taken: list[str]) -> None:
    by_apprise("tiny://phone", "a title", "all of it", ["briefly"], "warning")

    assert taken == ["a title\r\nall of it"]


def test_a_storm_is_a_few_texts_with_the_first_lines_and_how_many_more(taken: list[str]) -> None:
    by_apprise("tiny://phone", "20 alerts", "x" * 5000, LINES, "warning")

    told = "\n".join(taken)
    assert max(len(text) for text in taken) <= 160
    assert len(taken) == 3
    assert [line for line in LINES if line in told] == LINES[:8]
    assert told.endswith("and 12 more: mlops alerts")


@pytest.mark.parametrize(("way", "lengths"), [("upstream", [509]), ("truncate", [160])])
def test_an_address_that_says_what_to_do_with_long_texts_is_obeyed(
    taken: list[str], way: str, lengths: list[int]
) -> None:
    by_apprise(f"tiny://phone?overflow={way}", "a title", "x" * 500, LINES, "warning")

    assert [len(text) for text in taken] == lengths
