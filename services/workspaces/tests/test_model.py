# SPDX-License-Identifier: Apache-2.0
"""Which wish about a project comes to which standing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlops.workspaces.model import (
    Fact,
    Outcome,
    Standing,
    State,
    archive,
    is_newer,
    register,
    update,
)

OPEN = Standing(State.ACTIVE, 3, "a")
CLOSED = Standing(State.ARCHIVED, 3, "a")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "content", "expected"),
    [
        (None, "a", Outcome(Standing(State.ACTIVE, 1, "a"), Fact.REGISTERED)),
        (OPEN, "a", Outcome(OPEN, Fact.REGISTERED)),
        (OPEN, "b", Outcome(Standing(State.ACTIVE, 4, "b"), Fact.UPDATED)),
        (CLOSED, "a", Outcome(Standing(State.ACTIVE, 4, "a"), Fact.REGISTERED)),
        (CLOSED, "b", Outcome(Standing(State.ACTIVE, 4, "b"), Fact.REGISTERED)),
    ],
)
def test_registering(now: Standing | None, content: str, expected: Outcome) -> None:
    assert register(now, content) == expected


def test_the_same_settings_again_keep_the_revision() -> None:
    assert update(OPEN, "a").standing.revision == 3


def test_other_settings_take_the_next_revision() -> None:
    assert update(OPEN, "b").standing == Standing(State.ACTIVE, 4, "b")


def test_closing_keeps_what_the_project_says() -> None:
    assert archive(OPEN) == Outcome(CLOSED, Fact.ARCHIVED)


@pytest.mark.parametrize(
    ("told", "kept", "newer"),
    [
        ((1, NOON), None, True),
        ((2, NOON), (1, NOON + timedelta(hours=1)), True),
        ((1, NOON + timedelta(hours=1)), (2, NOON), False),
        ((1, NOON + timedelta(hours=1)), (1, NOON), True),
        ((1, NOON), (1, NOON), False),
    ],
)
def test_the_newer_report_stays(
    told: tuple[int, datetime], kept: tuple[int, datetime] | None, newer: object
) -> None:
    assert is_newer(told, kept) is newer
