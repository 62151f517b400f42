# SPDX-License-Identifier: Apache-2.0
"""What monitoring answers about alerts: which there are, whom they were told to, what is silenced, which channels work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from mlops.chassis.bus import Documents, Question
from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import follow_up_id
from mlops.contracts.monitoring import Severity
from mlops.monitoring.handlers.silences import hushes
from mlops.monitoring.model.notices import Hush
from mlops.monitoring.ports import Alert, Channels, Letter, Silence, WatchedProject

_HIDDEN = {"claim", "rank"}
_MOST_BYTES = 800_000  # a message of NATS holds a little more than a million


class AlertQueries:
    """Views of alerts; one of them tries a channel, which changes nothing here."""

    def __init__(
        self,
        alerts: Documents[Alert],
        silences: Documents[Silence],
        projects: Documents[WatchedProject],
        channels: Channels,
        clock: Clock,
    ) -> None:
        self._alerts = alerts
        self._silences = silences
        self._projects = projects
        self._channels = channels
        self._clock = clock

    async def alerts(self, question: Question) -> Mapping[str, Any]:
        """Answer `query.monitoring.alerts {project?, projects?, open?, alert_id?, begins?}`: the newest first.

        Each with what was told of it. One answer holds what fits into a message, open ones before others; `left_out`
        counts the rest. `begins` is the beginning of an id.
        """
        now = self._clock()
        quiet = hushes(await self._silences.all(), now)
        wanted = [
            (key, alert)
            for key, alert in (await self._alerts.all()).items()
            if alert.was_raised and _is_asked_for(alert, question)
        ]
        ranked = sorted(wanted, key=lambda one: (one[1].open, one[1].raised_at), reverse=True)
        shown = list(_fitting(_view(key, alert, quiet, now) for key, alert in ranked))
        return {
            "alerts": sorted(shown, key=lambda alert: str(alert["raised_at"]), reverse=True),
            "left_out": len(wanted) - len(shown),
        }

    async def silences(self, question: Question) -> Mapping[str, Any]:
        """Answer `query.monitoring.silences {project?}`: those that hold first, then the ones that are over."""
        project, now = question.get("project"), self._clock()
        found = [
            {"silence_id": key, "holds": now < one.until, **one.model_dump(mode="json")}
            for key, one in (await self._silences.all()).items()
            if project in (None, one.project)
        ]
        return {
            "silences": sorted(found, key=lambda one: (one["holds"], one["until"]), reverse=True)
        }

    async def channels(self, _: Question) -> Mapping[str, Any]:
        """Answer `query.monitoring.channels`: names, rules, and which projects name one that is not there."""
        known, usual = await self._channels.known(), await self._channels.usual()
        ranks = {0: "any", 1: Severity.INFO, 2: Severity.WARNING, 3: Severity.CRITICAL}
        shown = [
            {
                "name": name,
                "least": str(ranks[rules.least]),
                "quiet_now": rules.quiet is not None and rules.quiet.covers(self._clock()),
                "default": name in usual,
            }
            for name, rules in known.items()
        ]
        missing = {
            project: sorted({*wanted.alerts.notify, *wanted.alerts.escalate} - known.keys())
            for project, wanted in (await self._projects.all()).items()
            if not wanted.archived
        }
        return {
            "channels": shown,
            "problem": await self._channels.problem(),
            "missing": {project: names for project, names in missing.items() if names},
        }

    async def try_channel(self, question: Question) -> Mapping[str, Any]:
        """Answer `query.monitoring.try_channel {name}`: tell one channel that this is a test.

        Refused when no channel has the name, UnavailableError with the reason when it was not taken.
        """
        name = str(question.get("name", ""))
        if name not in await self._channels.known() and await self._channels.problem() is None:
            known = ", ".join(sorted(await self._channels.known()))
            raise RejectedError(f"alerts.toml has no channel {name!r}; there are {known}")
        now = self._clock()
        letter = _trial(now)
        await self._channels.tell(name, [letter])
        return {"name": name, "told_at": now.isoformat(), "notice_id": letter.notice_id}


def _is_asked_for(alert: Alert, question: Question) -> bool:
    projects = question.get("projects")
    return (
        question.get("project") in (None, alert.project)
        and (projects is None or alert.project in projects)
        and question.get("alert_id") in (None, alert.alert_id)
        and alert.alert_id.startswith(str(question.get("begins") or ""))
        and (alert.open or not question.get("open"))
    )


def _fitting(views: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    left = _MOST_BYTES
    for view in views:
        left -= len(to_json(view))
        if left < 0:
            return
        yield view


def _view(key: str, alert: Alert, quiet: list[Hush], now: datetime) -> dict[str, Any]:
    about = (alert.project, alert.model, alert.kind)
    shown = alert.model_dump(mode="json")
    shown["notices"] = [
        {name: value for name, value in one.items() if name not in _HIDDEN}
        for one in shown["notices"]
    ]
    silenced = any(hush.covers(*about, now) for hush in quiet)
    return {"dedup_key": key, "open": alert.open, "silenced": silenced, **shown}


def _trial(now: datetime) -> Letter:
    alert = Alert(
        alert_id="test",
        project="test",
        model="",
        kind="test",
        severity=Severity.INFO,
        title="a test of this channel",
        suggestion="Nothing is wrong. Somebody tried whether alerts arrive here.",
        raised_by="test",
        raised_at=now,
        heard_at=now,
    )
    return Letter(follow_up_id("test", now.isoformat(), 0), "test", "test", alert)
