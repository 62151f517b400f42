# SPDX-License-Identifier: Apache-2.0
"""The demo judges itself: what counts as closed, as lost, as done twice, and when a day may pass quickly."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from mlops.cli.bus import log_to_stderr
from mlops.cli.demo import report
from mlops.cli.demo.audit import Audit
from mlops.cli.demo.door import Tally
from mlops.cli.demo.kill import Aim
from mlops.cli.demo.outcome import Outcome, accuracies, judge
from mlops.cli.demo.plan import Plan
from mlops.cli.demo.story import Story
from mlops.cli.errors import InputError
from mlops.contracts.report_paths import named_by

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = Plan("short", first_day=10, last_day=14, window=2)
SOUND = {"predictions_lost": 0, "labels_lost": 0, "repeated": []}
VERSION: dict[str, Any] = {"version": 2, "reason": "better"}


def said(type_: str, after_s: float, story: str = "s1", **data: Any) -> dict[str, Any]:
    return {
        "id": f"{type_}-{story}-{after_s}",
        "type": type_,
        "time": (BEGIN + timedelta(seconds=after_s)).isoformat(),
        "correlationid": story,
        "data": data,
    }


def told(*messages: dict[str, Any]) -> Story:
    story = Story()
    for message in messages:
        story.add(message, day=3)
    return story


def queued(key: str = "w1", story: str = "s1", after_s: float = 1) -> dict[str, Any]:
    return said(
        "workflow.queued", after_s, story, workflow_key=key, kind="retrain", why="w", trigger_id="t"
    )


CLOSED = (
    queued(),
    said("workflow.started", 2, workflow_key="w1"),
    said("model.promoted", 4, **VERSION),
    said("workflow.completed", 5, workflow_key="w1"),
    said("deployment.completed", 9, version=2),
    said("performance.recovered", 20, metric="accuracy", value=0.8),
)


def outcome(
    story: Story, tally: Tally | None = None, audit: dict[str, Any] | None = None
) -> Outcome:
    return judge(
        PLAN,
        story,
        tally or Tally(requests=4),
        {10: True, 11: True, 12: True},
        seconds={"replay": 1.04},
        baselines={},
        audit=audit or SOUND,
        killed=[],
    )


def test_a_loop_that_recovered_is_closed() -> None:
    found = outcome(told(*CLOSED))

    assert (found.closed, found.why_not) == (True, "")
    assert (found.retrainings, found.promotions, found.rollouts) == (1, 1, 1)
    assert found.episodes[0]["hops_s"] == {
        "workflow.queued": 0.0,
        "workflow.started": 1.0,
        "model.promoted": 2.0,
        "deployment.completed": 5.0,
        "performance.recovered": 11.0,
    }


@pytest.mark.parametrize(
    ("story", "tally", "audit", "why_not"),
    [
        ((), Tally(), SOUND, "no drift led to a retraining"),
        (CLOSED[:-1], Tally(), SOUND, "no retraining led through"),
        ((*CLOSED, queued("w2", "s2")), Tally(), SOUND, "workflow w2 ended as open"),
        (CLOSED, Tally(requests=9, failed=1), SOUND, "1 of 9 requests failed"),
        (CLOSED, Tally(), {**SOUND, "labels_lost": 3}, "0 predictions and 3 labels were lost"),
        (CLOSED, Tally(), {**SOUND, "repeated": ["model.promoted 2"]}, "done twice"),
    ],
)
def test_what_is_missing_is_named(
    story: tuple[dict[str, Any], ...], tally: Tally, audit: dict[str, Any], why_not: str
) -> None:
    found = outcome(told(*story), tally, audit)

    assert not found.closed
    assert found.why_not.startswith(why_not)


def test_a_day_without_an_answer_counts_as_wrong() -> None:
    assert accuracies(PLAN, {10: True, 11: True, 12: True}) == (0.75, 0.75, [1.0, 0.5])


@pytest.mark.parametrize(
    ("until", "under_way"),
    [(0, False), (1, True), (3, True), (4, True), (5, False)],
)
def test_days_pass_slowly_until_workflow_and_rollout_have_ended(
    until: int, *, under_way: bool
) -> None:
    assert told(*CLOSED[:until]).under_way is under_way


def test_a_champion_that_stays_is_an_end_once_its_workflow_is_over() -> None:
    rejected = (queued(), said("model.rejected", 4, version=2, reason="no gain"))

    assert told(*rejected).under_way
    assert not told(*rejected, said("workflow.completed", 5, workflow_key="w1")).under_way


def test_a_follow_up_in_the_same_story_is_an_episode_of_its_own() -> None:
    late = said("workflow.completed", 12, workflow_key="w1")

    assert told(*CLOSED[:3], *CLOSED[4:], queued("w2", after_s=11), late).under_way


def test_what_was_answered_and_is_not_on_the_bus_is_lost() -> None:
    audit = Audit(answered={"a", "b"}, told={"a", "b"})
    audit.add(said("prediction.logged", 0, predictions=[{"request_id": "a"}]))
    audit.add(said("label.recorded", 0, labels=[{"request_id": "b"}]))

    found = audit.figures()

    assert (found["predictions_lost"], found["labels_lost"]) == (1, 1)


def test_one_effect_in_two_messages_is_done_twice_and_one_message_read_twice_is_not() -> None:
    audit = Audit(answered=set(), told=set())
    for after_s in (1, 1, 2):
        audit.add(said("deployment.started", after_s, version=2))
    audit.add(said("deployment.started", 1, version=3))

    assert audit.figures()["repeated"] == ["deployment.started 2"]


def test_the_attempts_of_a_workflow_that_was_moved_are_no_repetition() -> None:
    audit = Audit(answered=set(), told=set())
    for after_s, attempt in enumerate((1, 2, 2)):
        audit.add(said("workflow.started", after_s, workflow_key="w1", attempt=attempt))

    assert audit.figures()["repeated"] == ["workflow.started w1.2"]


def test_a_bus_that_is_away_says_nothing_amid_the_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_to_stderr()

    structlog.get_logger("bus").warning("bus.error", error="refused")
    structlog.get_logger("bus").error("bus.lost")

    told = capsys.readouterr()
    assert told.out == ""
    assert "bus.error" not in told.err
    assert "bus.lost" in told.err


@pytest.mark.parametrize("text", ["tracking", "@run.started", "tracking@"])
def test_an_aim_names_component_and_event(text: str) -> None:
    with pytest.raises(InputError, match="component@event"):
        Aim.read(text)


def test_the_report_stands_among_those_of_its_project_over_its_time(tmp_path: Path) -> None:
    story = told(*CLOSED)

    page = report.write(tmp_path / "reports", "rainfall", BEGIN, PLAN, story, outcome(story))

    found = named_by(page.as_uri())
    assert found is not None
    assert (found.project, found.folder) == ("rainfall", "")
    assert found.name == "2025-12-31T235959--2026-01-01T000000-demo.html"
    assert "The loop closed by itself" in page.read_text()
    assert json.loads(page.with_suffix(".json").read_text())["closed"] is True
    assert (page.with_suffix("") / "loop.png").stat().st_size > 0
