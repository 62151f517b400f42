# SPDX-License-Identifier: Apache-2.0
"""A replay decides as the service did, and with other settings as the service would have."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from services.orchestration_bridge.tests.recorded_stories import NOON, Story, iso

from mlops.contracts.monitoring import Severity
from mlops.contracts.orchestration_bridge import ApproveWorkflow, CancelWorkflow
from mlops.contracts.settings import Consent, RetrainSettings, Trigger
from mlops.orchestration_bridge.replay.changes import change_of
from mlops.orchestration_bridge.replay.played import Played, Terms
from mlops.orchestration_bridge.replay.reading import History
from mlops.orchestration_bridge.replay.recorded import recorded_in

LASTS = timedelta(minutes=5)
STEPS: tuple[str, ...] = (
    "bad",
    "good",
    "bad other",
    "critical",
    "warning",
    "by hand",
    "ends",
    "fails",
    "approve",
    "cancel",
)
STEPS += ("archive", "update", "wait", "wait long")
rules = st.builds(
    RetrainSettings,
    on=st.sampled_from(
        [
            (),
            (Trigger.PERFORMANCE_DEGRADED,),
            (Trigger.DRIFT_DETECTED, Trigger.PERFORMANCE_DEGRADED),
        ]
    ),
    mode=st.sampled_from([Consent.AUTO, Consent.AUTO, Consent.APPROVE, Consent.SUGGEST]),
    cooldown=st.sampled_from([0, 3, 11]).map(lambda minutes: timedelta(minutes=minutes)),
    max_per_day=st.integers(0, 4),
    max_causation_depth=st.integers(1, 3),
    follow_up_windows=st.integers(0, 2),
)
automatic = st.builds(
    RetrainSettings,
    on=st.just((Trigger.DRIFT_DETECTED, Trigger.PERFORMANCE_DEGRADED)),
    cooldown=st.sampled_from([0, 4, 11, 30]).map(lambda minutes: timedelta(minutes=minutes)),
    max_per_day=st.integers(0, 6),
    follow_up_windows=st.integers(0, 3),
)


def replayed(story: Story, tried: dict[str, object] | None = None) -> Played:
    with tempfile.TemporaryDirectory() as folder:
        history = History(story.written(Path(folder)), "rain")
        recorded = recorded_in(history.messages())
        terms = Terms(NOON, LASTS)
        played = Played(recorded, terms, change_of(tried or {}), "rain")
        for message in history.messages():
            played.hear(message)
    played.pass_to(story.now)
    return played


def made(played: Played) -> list[tuple[str, bool, str | None]]:
    return [
        (
            one.trigger.id,
            one.refused is None,
            iso(one.refused.retry_at) if one.refused else None,
        )
        for one in played.made
    ]


async def does(story: Story, step: str, other: RetrainSettings) -> None:
    async def ends(*, well: bool) -> None:
        for run_id in story.running()[:1]:
            story.end(run_id, well=well)
        await story.settle()

    acts: dict[str, Callable[[], Awaitable[None]]] = {
        "bad": lambda: story.measured(bad=True),
        "bad other": lambda: story.measured(bad=True, model="snow"),
        "good": lambda: story.measured(bad=False),
        "critical": story.drifted,
        "warning": lambda: story.drifted(Severity.WARNING),
        "by hand": story.started_by_hand,
        "ends": lambda: ends(well=True),
        "fails": lambda: ends(well=False),
        "approve": lambda: story.wished(ApproveWorkflow),
        "cancel": lambda: story.wished(CancelWorkflow),
        "archive": story.archived,
        "update": lambda: story.registered(other),
        "wait": lambda: story.passes(1),
        "wait long": lambda: story.passes(6),
    }
    await acts[step]()


@settings(max_examples=150, deadline=None)
@given(rules, rules, st.lists(st.sampled_from(STEPS), max_size=40))
def test_a_replay_of_any_history_makes_the_decisions_of_the_service(
    first: RetrainSettings, other: RetrainSettings, steps: list[str]
) -> None:
    async def live() -> Story:
        story = Story(first, lasts=None)
        await story.registered()
        for step in steps:
            story.now += timedelta(seconds=1)
            await does(story, step, other)
        return story

    story = asyncio.run(live())

    played = replayed(story)

    assert made(played) == story.decisions()


def tried_instead(rule: RetrainSettings) -> dict[str, object]:
    said = rule.model_dump(mode="json")
    names = ("cooldown", "max_per_day", "follow_up_windows")
    return {f"retrain.{name}": said[name] for name in names}


@settings(max_examples=80, deadline=None)
@given(
    automatic,
    automatic,
    st.lists(st.sampled_from(["bad", "good", "critical", "wait", "wait long"]), max_size=40),
)
def test_other_settings_decide_as_a_service_that_had_them_from_the_start(
    recorded: RetrainSettings, wanted: RetrainSettings, steps: list[str]
) -> None:
    async def live(rule: RetrainSettings) -> Story:
        story = Story(rule, lasts=LASTS)
        await story.registered()
        for step in steps:
            await story.passes(1)
            await does(story, step, rule)
        return story

    first, second = asyncio.run(live(recorded)), asyncio.run(live(wanted))

    played = replayed(first, tried_instead(wanted))

    assert made(played) == second.decisions()


async def test_a_shorter_cooldown_lets_a_declined_retraining_through() -> None:
    story = Story(RetrainSettings(cooldown=timedelta(hours=1)))
    await story.registered()
    await story.measured(bad=True)
    await story.passes(20)
    await story.measured(bad=True)

    played = replayed(story, {"retrain.cooldown": "10m"})

    assert [accepted for _, accepted, _ in story.decisions()] == [True, False]
    assert [one.refused for one in played.made] == [None, None]
    first, second = played.made
    assert first.ends_at is None  # it goes on as it did
    assert second.ends_at == NOON + timedelta(minutes=20) + LASTS


async def test_a_decline_names_the_rule() -> None:
    story = Story(RetrainSettings(cooldown=timedelta(hours=1)))
    await story.registered()
    await story.measured(bad=True)
    await story.passes(20)
    await story.measured(bad=True)

    refused: list[Any] = [one.refused for one in replayed(story).made]

    assert refused[0] is None
    assert refused[1].rule == "cooldown"
    assert "cooling down" in refused[1].reason


async def test_settings_count_from_the_beginning_of_the_period_only() -> None:
    story = Story(RetrainSettings(max_per_day=8, cooldown=timedelta(0)))
    await story.registered()
    await story.measured(bad=True)
    await story.passes(30)
    await story.measured(bad=True)
    history = story.written(Path(tempfile.mkdtemp()))
    recorded = recorded_in(History(history, "rain").messages())
    since = NOON + timedelta(minutes=10)
    played = Played(recorded, Terms(since, LASTS), change_of({"retrain.max_per_day": 1}), "rain")

    for message in History(history, "rain").messages():
        played.hear(message)

    assert [one.refused.rule for one in played.made if one.refused] == ["max_per_day"]
