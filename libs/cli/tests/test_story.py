# SPDX-License-Identifier: Apache-2.0
"""The story around one thing: causes above, effects below, other stories left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.cli.story import Branch, Said, explain, missing_causes, said_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def said(
    id_: str,
    cause: str = "",
    story: str = "s",
    after_s: float = 0.0,
    scope: str = "rainfall",
    **data: Any,
) -> Said:
    envelope = {
        "id": id_,
        "type": "model.promoted",
        "project": scope,
        "time": (BEGIN + timedelta(seconds=after_s)).isoformat(),
        "causationid": cause,
        "correlationid": story,
        "data": data,
    }
    found = said_of(envelope)
    assert found is not None
    return found


def shape(branches: list[Branch] | tuple[Branch, ...]) -> list[Any]:
    return [(branch.said.id, shape(branch.effects)) for branch in branches]


CHAIN = [
    said("drift", after_s=0),
    said("queued", "drift", after_s=1, workflow_key="w1"),
    said("run", "queued", after_s=5, run_id="r1"),
    said("registered", "run", after_s=6, name="rain", version=2, run_id="r1"),
    said("measured", "drift", after_s=2),
    said("elsewhere", story="other", name="rain", version=1),
]


@pytest.mark.parametrize("asked", ["run", "w1", "r1", "rain:2", "drift", "s"])
def test_any_of_its_names_tells_the_whole_story(asked: str) -> None:
    assert shape(explain(CHAIN, asked)) == [
        ("drift", [("queued", [("run", [("registered", [])])]), ("measured", [])])
    ]


def test_what_was_asked_about_is_marked_and_offsets_count_from_the_start() -> None:
    root = explain(CHAIN, "queued")[0]
    queued = root.effects[0]

    assert (root.asked, queued.asked) == (False, True)
    assert queued.after_s == 1.0


def test_a_cause_in_another_story_is_shown() -> None:
    told = [said("push", story="first"), said("drift", "push", story="second", after_s=3)]

    assert shape(explain(told, "drift")) == [("push", [("drift", [])])]


def test_a_name_used_twice_means_its_newest_story() -> None:
    told = [
        said("old", story="a", name="rain", version=1),
        said("new", story="b", name="rain", version=1, after_s=9),
    ]

    assert shape(explain(told, "rain:1")) == [("new", [])]


def test_a_name_that_two_projects_use_is_told_of_the_one_that_is_meant() -> None:
    told = [
        said("ours", story="a", name="rain", version=1),
        said("theirs", story="b", scope="snow", name="rain", version=1, after_s=9),
    ]

    assert shape(explain(told, "rain:1", "rainfall")) == [("ours", [])]
    assert shape(explain(told, "rain:1", "snow")) == [("theirs", [])]
    assert explain(told, "rain:1", "hail") == []


def test_messages_that_name_each_other_as_cause_end() -> None:
    assert shape(explain([said("a", "b"), said("b", "a")], "a")) == [("a", []), ("b", [])]


def test_something_unknown_has_no_story() -> None:
    assert explain(CHAIN, "nothing") == []


def test_causes_that_were_not_read_are_named() -> None:
    assert missing_causes([said("drift", "prediction"), said("queued", "drift")]) == {"prediction"}


@pytest.mark.parametrize("envelope", [{}, {"id": "x", "type": "y", "time": "yesterday"}])
def test_what_is_no_message_is_passed_over(envelope: dict[str, Any]) -> None:
    assert said_of(envelope) is None
