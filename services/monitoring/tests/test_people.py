# SPDX-License-Identifier: Apache-2.0
"""People hear of trouble: each thing once, also after a kill; silences, escalation, failures."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic_core import to_json
from services.monitoring.tests.conftest import told_by

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.commands import CommandRefused
from mlops.contracts.message import Message
from mlops.contracts.monitoring import (
    AcknowledgeAlert,
    AlertNotified,
    AlertRaised,
    AlertResolved,
    AlertSilenced,
    AlertUnsilenced,
    Severity,
    SilenceAlerts,
    UnsilenceAlerts,
)
from mlops.contracts.workspaces import ProjectArchived
from mlops.monitoring.ports import Alert, Silence

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


async def test_an_alert_lives_from_its_beginning_to_its_end(office: Any) -> None:
    await office.register(repeat_every="0s")
    await office.drift()

    told = [await office.look(), await office.look(29 * MINUTE), await office.look(MINUTE)]
    await office.calm()
    told += [await office.look(9 * MINUTE), await office.look(MINUTE), await office.look(MINUTE)]

    assert told == [
        ["chat: raised"],
        [],
        ["call: escalated"],
        [],
        ["chat: resolved", "call: resolved"],
        [],
    ]
    notified = office.heard(AlertNotified)
    (raised,) = office.heard(AlertRaised)
    assert [(one.channel, one.why) for one in notified][:2] == [
        ("chat", "raised"),
        ("call", "escalated"),
    ]
    assert {one.correlation_id for one in notified} == {raised.correlation_id}
    assert len({one.notice_id for one in notified}) == len(notified)


async def test_an_acknowledged_alert_does_not_escalate(office: Any) -> None:
    await office.register()
    await office.drift()
    await office.look()

    await office.hear(AcknowledgeAlert, alert_id=(await office.alert()).alert_id, by="ada")

    assert await office.look(timedelta(days=1)) == []


async def test_trouble_that_comes_and_goes_is_told_once(office: Any) -> None:
    await office.register(escalate=[])
    told = []

    for _ in range(10):
        await office.drift()
        told += await office.look(2 * MINUTE)
        await office.calm()
        told += await office.look(2 * MINUTE)

    assert told == ["chat: raised"]
    assert (await office.alert()).count == 10
    assert await office.look(10 * MINUTE) == ["chat: resolved"]


async def test_trouble_after_a_quiet_time_is_a_new_alert(office: Any) -> None:
    await office.register()
    await office.drift()
    await office.calm()
    office.now += 10 * MINUTE

    await office.drift()

    first, second = office.heard(AlertRaised)
    assert first.alert_id != second.alert_id
    assert (first.count, second.count) == (1, 1)


async def test_what_was_over_before_its_beginning_is_heard_does_not_begin(office: Any) -> None:
    await office.register()
    office.now += MINUTE
    await office.calm()
    office.now -= MINUTE
    await office.drift()
    late = await office.look()
    office.now += 2 * MINUTE

    await office.drift()

    assert late == []
    assert [one.count for one in office.heard(AlertRaised)] == [1]
    assert office.heard(AlertResolved) == []
    assert len((await office.bus.ask("monitoring", "alerts", {}))["alerts"]) == 1


async def test_who_heard_of_a_warning_hears_that_it_is_critical(office: Any) -> None:
    await office.register(notify=["chat", "pager"])
    await office.drift()
    first = await office.look()

    await office.drift(Severity.CRITICAL)

    assert first == ["chat: raised"]
    assert sorted(await office.look()) == ["chat: worse", "pager: raised"]
    assert [one.severity for one in office.heard(AlertRaised)] == ["warning", "critical"]


async def test_a_notice_that_failed_is_tried_again_and_its_failure_shows(office: Any) -> None:
    await office.register()
    office.channels.broken.add("chat")
    await office.drift()

    failed = await office.look()
    (shown,) = (await office.bus.ask("monitoring", "alerts", {"open": True}))["alerts"]
    office.channels.broken.clear()

    assert failed == []
    assert [(one["channel"], one["error"], one["tries"]) for one in shown["notices"]] == [
        ("chat", "chat is away", 1)
    ]
    assert await office.look(59 * MINUTE / 60) == []
    assert await office.look(MINUTE / 60) == ["chat: raised"]
    assert [one.tries for one in office.heard(AlertNotified)] == [2]
    assert (await office.alert()).notices[0].error == ""


async def test_who_dies_before_the_note_tells_once_more_under_the_same_id(office: Any) -> None:
    await office.register(escalate=[])
    await office.drift()

    async with aclosing(told_by(office.notifier)) as dying:
        await anext(dying)

    assert await office.look(59 * MINUTE / 60) == []
    assert await office.look(MINUTE / 60) == ["chat: raised"]
    assert await office.look(5 * MINUTE) == []
    assert len({letter.notice_id for _, letter in office.channels.told}) == 1


async def test_of_two_replicas_one_tells(office: Any) -> None:
    await office.register(escalate=[])
    await office.drift()
    other = office.replica("two")

    async with aclosing(told_by(office.notifier)) as first:
        await anext(first)
        second = [message async for message in told_by(other)]

    assert second == []
    assert len(office.channels.told) == 1


async def test_a_silence_holds_back_until_it_ends_by_itself(office: Any) -> None:
    await office.register(escalate=[])
    await office.hear(SilenceAlerts, model="rain", until=NOON + 60 * MINUTE, why="sensor", by="ada")
    await office.drift()

    (silenced,) = office.heard(AlertSilenced)
    (shown,) = (await office.bus.ask("monitoring", "alerts", {}))["alerts"]
    assert (silenced.model, silenced.why, silenced.by) == ("rain", "sensor", "ada")
    assert shown["silenced"] is True
    assert await office.look(59 * MINUTE) == []
    assert await office.look(MINUTE) == ["chat: raised"]


async def test_a_silence_can_be_ended_before_its_time(office: Any) -> None:
    await office.register(escalate=[])
    await office.hear(SilenceAlerts, until=NOON + timedelta(days=1))
    await office.drift()
    silence = office.heard(AlertSilenced)[0].silence_id

    await office.hear(UnsilenceAlerts, silence_id=silence, by="bob")

    assert [(one.silence_id, one.by) for one in office.heard(AlertUnsilenced)] == [(silence, "bob")]
    assert await office.look() == ["chat: raised"]
    (shown,) = (await office.bus.ask("monitoring", "silences", {"project": "rainfall"}))["silences"]
    assert (shown["holds"], shown["ended_by"]) == (False, "bob")


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        (SilenceAlerts, {"until": NOON}, "before it begins"),
        (UnsilenceAlerts, {"silence_id": "nope"}, "no silence 'nope'"),
    ],
)
async def test_a_silence_that_makes_no_sense_is_refused(
    office: Any, kind: type[Message], fields: dict[str, Any], reason: str
) -> None:
    await office.hear(kind, **fields)

    (refused,) = office.heard(CommandRefused)
    assert reason in refused.reason


async def test_silences_of_long_ago_are_forgotten(office: Any) -> None:
    await office.hear(SilenceAlerts, until=NOON + MINUTE)
    office.now += timedelta(days=31)

    await office.hear(SilenceAlerts, until=office.now + MINUTE)

    kept = await office.bus.documents("monitoring_silences", Silence).all()
    assert [one.until for one in kept.values()] == [office.now + MINUTE]


async def test_a_project_that_names_no_channel_has_the_usual_ones(office: Any) -> None:
    office.channels.defaults = ("chat",)
    await office.register(notify=[], escalate=[])

    await office.drift()

    assert await office.look() == ["chat: raised"]


async def test_nobody_hears_of_an_archived_project(office: Any) -> None:
    await office.register()
    await office.drift()

    await office.hear(ProjectArchived)

    assert await office.look() == []


async def test_a_channel_that_nobody_knows_shows(office: Any) -> None:
    await office.register(notify=["chatt"])
    await office.drift()
    await office.look()

    found = await office.bus.ask("monitoring", "channels", {})

    assert found["missing"] == {"rainfall": ["chatt"]}
    assert (await office.alert()).notices[0].error == "there is no channel 'chatt'"


async def test_a_channel_can_be_tried(office: Any) -> None:
    await office.bus.ask("monitoring", "try_channel", {"name": "chat"})
    office.channels.broken.add("chat")

    with pytest.raises(UnavailableError, match="chat is away"):
        await office.bus.ask("monitoring", "try_channel", {"name": "chat"})
    with pytest.raises(RejectedError, match="there are call, chat, log, pager"):
        await office.bus.ask("monitoring", "try_channel", {"name": "cat"})
    assert [(name, letter.why) for name, letter in office.channels.told] == [("chat", "test")]
    assert await office.bus.documents("monitoring_alerts", Alert).all() == {}


async def test_whoever_tells_people_is_woken_by_news(office: Any) -> None:
    await office.drift()
    raised = office.rung
    await office.hear(AcknowledgeAlert, alert_id=(await office.alert()).alert_id)

    assert (raised, office.rung) == (1, 2)


@pytest.mark.parametrize("kind", ["data", "silent-mac-2", "service-serving", "declined"])
async def test_every_kind_of_alert_can_be_silenced(office: Any, kind: str) -> None:
    await office.hear(SilenceAlerts, kind=kind, until=NOON + MINUTE)

    assert len(office.heard(AlertSilenced)) == 1


async def test_a_kind_that_no_alert_is_of_silences_nothing_and_says_so(office: Any) -> None:
    await office.hear(SilenceAlerts, kind="drift", until=NOON + MINUTE)

    (refused,) = office.heard(CommandRefused)
    assert office.heard(AlertSilenced) == []
    assert "data, " in refused.reason
    assert "silent-NAME" in refused.reason


async def test_a_slip_of_the_pen_floods_nobody(office: Any) -> None:
    await office.register(escalate=["call"], repeat_every="1ms", escalate_after="1ms")
    await office.drift()

    told = [one for _ in range(8) for one in await office.look(MINUTE / 4)]

    assert told == ["chat: raised", "call: escalated", "chat: repeated"]


async def test_more_alerts_than_fit_into_one_answer_are_cut_and_counted(office: Any) -> None:
    documents = office.bus.documents("monitoring_alerts", Alert)
    await office.drift()
    one = await office.alert()
    for number in range(600):
        update = {"alert_id": f"a-{number}", "suggestion": "x" * 1000, "links": ("y" * 1000,)}
        over = {} if number == 0 else {"resolved_by": "e"}
        copy = one.model_copy(update=update | over)
        await documents.change(f"rainfall.m{number}.data", lambda _, copy=copy: copy, applied="x")

    told = await office.bus.ask("monitoring", "alerts", {})
    (exact,) = (await office.bus.ask("monitoring", "alerts", {"begins": "a-599"}))["alerts"]
    elsewhere = await office.bus.ask("monitoring", "alerts", {"projects": ["sunshine"]})

    assert len(to_json(told)) < 1_000_000
    assert told["left_out"] == 601 - len(told["alerts"]) > 0
    assert sum(alert["open"] for alert in told["alerts"]) == 2
    assert exact["alert_id"] == "a-599"
    assert elsewhere == {"alerts": [], "left_out": 0}
