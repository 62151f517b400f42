# SPDX-License-Identifier: Apache-2.0
"""Alerts at the door: asked, acknowledged, silenced; of one's own projects only, channels for the installation only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from services.gateway.tests.conftest import House, bearer

from mlops.chassis.errors import UnavailableError
from mlops.contracts.monitoring import (
    AcknowledgeAlert,
    AlertAcknowledged,
    AlertNotified,
    AlertRaised,
    AlertResolved,
    AlertSilenced,
    Severity,
    SilenceAlerts,
    UnsilenceAlerts,
)

ALERTS = [
    {"alert_id": "a-1", "project": "rainfall", "title": "worse", "open": True},
    {"alert_id": "a-2", "project": "sunshine", "title": "hidden", "open": True},
]
SILENCES = [
    {
        "silence_id": "s-1",
        "project": "rainfall",
        "model": "rain",
        "kind": None,
        "until": "2026-05-01T12:30:00Z",
        "why": "<b>sensor</b>",
        "by": "ada",
        "holds": True,
    },
    {"silence_id": "s-0", "project": "rainfall", "until": "2026-04-01T12:30:00Z", "holds": False},
]
RAISED: dict[str, Any] = {
    "project": "rainfall",
    "alert_id": "a-1",
    "severity": Severity.WARNING,
    "title": "worse",
    "dedup_key": "rainfall.rain.data",
}


@pytest.fixture
def watched(house: House) -> House:
    async def alerts(question: Mapping[str, Any]) -> dict[str, Any]:
        wanted = question.get("alert_id")
        return {"alerts": [one for one in ALERTS if wanted in (None, one["alert_id"])]}

    async def silences(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"silences": SILENCES}

    async def try_channel(question: Mapping[str, Any]) -> dict[str, Any]:
        if question["name"] == "gone":
            raise UnavailableError("gone is away")
        return {"name": question["name"]}

    async def channels(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"channels": [{"name": "chat"}], "problem": None, "missing": {}}

    house.bus.answer("monitoring", "alerts", alerts)
    house.bus.answer("monitoring", "silences", silences)
    house.bus.answer("monitoring", "channels", channels)
    house.bus.answer("monitoring", "try_channel", try_channel)
    return house


async def test_a_token_of_a_project_sees_its_own_alerts(watched: House) -> None:
    everybody = await watched.client.get("/api/v1/alerts?open=true")
    ann = await watched.client.get("/api/v1/alerts", headers=bearer("read"))
    other = await watched.client.get("/api/v1/alerts/a-2", headers=bearer("read"))

    assert [one["alert_id"] for one in everybody.json()["alerts"]] == ["a-1", "a-2"]
    assert [one["alert_id"] for one in ann.json()["alerts"]] == ["a-1"]
    assert other.status_code == 404


async def test_monitoring_is_asked_for_the_alerts_of_these_projects_only(house: House) -> None:
    asked: list[Mapping[str, Any]] = []

    async def alerts(question: Mapping[str, Any]) -> dict[str, Any]:
        asked.append(question)
        return {"alerts": ALERTS, "left_out": 3}

    house.bus.answer("monitoring", "alerts", alerts)
    shown = await house.client.get("/api/v1/alerts?begins=a-", headers=bearer("read"))

    assert [one["alert_id"] for one in shown.json()["alerts"]] == ["a-1"]
    assert shown.json()["left_out"] == 3
    assert (asked[0]["projects"], asked[0]["begins"]) == (["rainfall"], "a-")


async def test_who_acknowledges_is_named(watched: House) -> None:
    path = "/api/v1/alerts/a-1/acknowledge"
    named = await watched.client.post(path, json={"by": "ada"})
    unnamed = await watched.client.post(path, json={}, headers=bearer("read", "write"))

    told = [one for one in watched.bus.published if isinstance(one, AcknowledgeAlert)]
    assert (named.status_code, unnamed.status_code) == (202, 202)
    assert [(one.project, one.alert_id, one.by) for one in told] == [
        ("rainfall", "a-1", "ada"),
        ("rainfall", "a-1", "ann"),
    ]
    assert named.json()["id"] == told[0].id


async def test_who_may_only_read_acknowledges_nothing(watched: House) -> None:
    answers = [
        await watched.client.post(
            "/api/v1/alerts/a-1/acknowledge", json={}, headers=bearer("read")
        ),
        await watched.client.delete("/api/v1/alerts/silences/s-1", headers=bearer("read")),
        await watched.client.post(
            "/api/v1/alerts/silences",
            json={"project": "rainfall", "for_s": 60},
            headers=bearer("read"),
        ),
    ]

    assert [one.status_code for one in answers] == [403, 403, 403]
    assert watched.bus.published == []


async def test_a_silence_begins_and_ends(watched: House) -> None:
    before = datetime.now(UTC)
    given = {"project": "rainfall", "model": "rain", "for_s": 3600, "why": "sensor"}
    begun = await watched.client.post("/api/v1/alerts/silences", json=given)
    ended = await watched.client.delete("/api/v1/alerts/silences/s-1")

    silence, unsilence = watched.bus.published
    assert (begun.status_code, ended.status_code) == (202, 202)
    assert isinstance(silence, SilenceAlerts)
    assert timedelta(0) <= silence.until - before - timedelta(hours=1) < timedelta(minutes=1)
    assert (silence.model, silence.kind, silence.why) == ("rain", None, "sensor")
    assert isinstance(unsilence, UnsilenceAlerts)
    assert unsilence.silence_id == "s-1"


@pytest.mark.parametrize(
    "given",
    [
        {"project": "rainfall"},
        {"project": "rainfall", "for_s": 60, "until": "2099-01-01T00:00:00Z"},
        {"project": "rainfall", "for_s": -1},
        {"project": "rainfall", "for_s": 60, "colour": "red"},
    ],
)
async def test_a_silence_that_makes_no_sense_is_refused(
    watched: House, given: dict[str, Any]
) -> None:
    answer = await watched.client.post("/api/v1/alerts/silences", json=given)

    assert answer.status_code == 422
    assert watched.bus.published == []


async def test_what_is_not_there_is_not_found(watched: House) -> None:
    unseen = await watched.client.post("/api/v1/alerts/nope/acknowledge", json={})
    unheard = await watched.client.delete("/api/v1/alerts/silences/nope")

    assert (unseen.status_code, unheard.status_code) == (404, 404)


async def test_channels_are_for_the_installation_only(watched: House) -> None:
    shown = await watched.client.get("/api/v1/alerts/channels")
    tried = await watched.client.post("/api/v1/alerts/channels/chat/test")
    gone = await watched.client.post("/api/v1/alerts/channels/gone/test")
    ann = [
        await watched.client.get("/api/v1/alerts/channels", headers=bearer("read")),
        await watched.client.post("/api/v1/alerts/channels/chat/test", headers=bearer("write")),
    ]

    assert [one["name"] for one in shown.json()["channels"]] == ["chat"]
    assert (tried.status_code, gone.status_code) == (200, 503)
    assert "gone is away" in gone.text
    assert [one.status_code for one in ann] == [403, 403]


async def test_an_alert_is_shown_with_who_has_seen_it_and_who_was_told(house: House) -> None:
    notified = {"project": "rainfall", "alert_id": "a-1", "why": "raised"}
    await house.say(
        AlertRaised(**RAISED, suggestion="Wait for labels."),
        AlertNotified(**notified, channel="chat", notice_id="n-1"),
        AlertNotified(**notified, channel="chat", notice_id="n-2"),
        AlertAcknowledged(project="rainfall", alert_id="a-1", by="ada"),
        AlertRaised(**{**RAISED, "severity": Severity.CRITICAL}, count=2),
        AlertSilenced(project="rainfall", silence_id="s-1", until=datetime.now(UTC)),
        AlertNotified(**{**notified, "alert_id": "forgotten"}, channel="chat", notice_id="n-3"),
    )

    (shown,) = (await house.client.get("/api/v1/overview")).json()["alerts"]

    assert (shown["state"], shown["by"], shown["count"]) == ("acknowledged", "ada", 2)
    assert (shown["severity"], shown["told"]) == ("critical", ["chat"])


async def test_an_alert_that_is_over_is_not_open(house: House) -> None:
    await house.say(
        AlertRaised(**RAISED),
        AlertResolved(project="rainfall", alert_id="a-1", reason="over"),
        AlertNotified(
            project="rainfall", alert_id="a-1", channel="chat", why="resolved", notice_id="n"
        ),
    )

    (shown,) = (await house.client.get("/api/v1/overview")).json()["alerts"]
    page = (await house.client.get("/")).text

    assert shown["state"] == "resolved"
    assert "no alert is open" in page
    assert "over: 1" in page
    assert "<small>over</small>" in page  # why


async def test_the_page_says_of_an_open_alert_that_it_is_silenced(watched: House) -> None:
    unlike = {"alert_id": "a-2", "dedup_key": "rainfall.snow.data", "title": "loud"}
    await watched.say(
        AlertRaised(**RAISED, about_model="rain", kind="data"),
        AlertRaised(**{**RAISED, **unlike}, about_model="snow"),
    )

    page = (await watched.client.get("/")).text

    assert page.count("silenced until 2026-05-01 12:30 UTC") == 1
    assert page.index(">Silences<") < page.index("Silence alerts for a while") < page.index(">Workflows<")  # fmt: skip


async def test_the_page_shows_what_is_silenced_and_can_end_it(watched: House) -> None:
    page = (await watched.client.get("/")).text

    assert 'data-method="DELETE" data-path="/api/v1/alerts/silences/s-1"' in page
    assert "&lt;b&gt;sensor&lt;/b&gt;" in page
    assert "2026-05-01 12:30 UTC" in page
    assert "s-0" not in page


async def test_the_page_says_when_nobody_knows_what_is_silenced(house: House) -> None:
    page = (await house.client.get("/")).text

    assert "what is silenced cannot be told" in page


async def test_an_alert_that_was_seen_as_it_ended_is_over(watched: House) -> None:
    about = {"project": "rainfall", "alert_id": "a-1"}
    await watched.say(AlertRaised(**RAISED), AlertResolved(**about, reason="it works again"))
    await watched.say(AlertAcknowledged(**about, by="ada"))

    alert = watched.gateway.memory.world.alerts["a-1"]

    assert (alert.state, alert.over, alert.by) == ("resolved", "it works again", "ada")
