# SPDX-License-Identifier: Apache-2.0
"""Notifier: tells channels what is due, each thing once; what was told stands in the alert's own document.

A try is claimed in the document before it is made. Whoever dies in the middle leaves a claim that ends by itself: the
channel is then told once more, under the same id. Several replicas never tell the same thing at the same time.

Channels are told side by side: a slow one holds back no other. What came together goes out in one message, where
people read it. A channel that cannot be told rests for a while.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from structlog.typing import FilteringBoundLogger

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import ChassisError
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.monitoring import AlertNotified
from mlops.monitoring.handlers.alerts import RANK
from mlops.monitoring.handlers.silences import hushes
from mlops.monitoring.model.notices import Case, Channel, Hush, Notice, Plan, due, kept
from mlops.monitoring.ports import Alert, Channels, Letter, Silence, WatchedProject

_LONGEST_ERROR = 300
_REST = timedelta(minutes=1)
_SHORTEST = timedelta(minutes=1)  # a slip of the pen in [alerts] must not flood people
_MOST_TOGETHER = 20
_TRIES_TOGETHER = 2  # after these each goes alone: it may be one of them that cannot be sent

_Wanted = tuple[str, Notice]


@dataclass(frozen=True)
class _Round:
    """What holds for one look at all alerts."""

    now: datetime
    channels: Mapping[str, Channel]
    usual: tuple[str, ...]
    hushes: list[Hush]
    projects: Mapping[str, WatchedProject]

    def due(self, alert: Alert) -> list[Notice]:
        """Return what is to be told of an alert."""
        project = self.projects.get(alert.project, WatchedProject())
        if project.archived:
            return []
        return due(self.case(alert), plan_of(project, self.usual), self.channels, self.now)

    def case(self, alert: Alert) -> Case:
        """Return what matters of an alert."""
        about = (alert.project, alert.model, alert.kind)
        return Case(
            rank=RANK[alert.severity],
            ended_at=None if alert.open else alert.ended_at or alert.heard_at,
            acknowledged=alert.acknowledged_by is not None,
            silenced=any(hush.covers(*about, self.now) for hush in self.hushes),
            notices=alert.notices,
        )


@dataclass(frozen=True)
class _Claimed:
    """A notice that is ours to tell, and the alert as it now is."""

    key: str
    alert: Alert
    notice: Notice

    @property
    def letter(self) -> Letter:
        """Return what the channel is told."""
        return Letter(notice_id_of(self.alert, self.notice), self.notice.why, self.key, self.alert)


class Notifier:
    """Tells people; *new_claim* names one try apart from those of other replicas."""

    def __init__(
        self,
        alerts: Documents[Alert],
        silences: Documents[Silence],
        projects: Documents[WatchedProject],
        channels: Channels,
        clock: Clock,
        new_claim: Callable[[], str],
    ) -> None:
        self._alerts = alerts
        self._silences = silences
        self._projects = projects
        self._channels = channels
        self._clock = clock
        self._new_claim = new_claim
        self._rests_until: dict[str, datetime] = {}

    async def tellers(self, busy: Collection[str] = ()) -> Mapping[str, AsyncIterator[Message]]:
        """Return what tells each channel that is due; none for those that rest, or are *busy*.

        Each tells its channel what is due now, and yields `alert.notified` for what was taken.
        """
        round_, alerts = await self._round(), await self._alerts.all()
        wanted: dict[str, list[_Wanted]] = {}
        for key, alert in alerts.items():
            for notice in round_.due(alert):
                wanted.setdefault(notice.channel, []).append((key, notice))
        return {
            name: self._tell(round_.channels.get(name, Channel()), found)
            for name, found in wanted.items()
            if name not in busy and not self._rests(name)
        }

    async def _tell(self, channel: Channel, wanted: list[_Wanted]) -> AsyncIterator[Message]:
        # What failed before comes last: it may be the letter, not its channel, that cannot be sent.
        for together in _bundles(sorted(wanted, key=lambda one: one[1].tries), channel):
            if self._rests(together[0][1].channel):
                return
            claimed = [found for one in together if (found := await self._claimed(*one))]
            if claimed:
                async for message in self._try(claimed):
                    yield message

    def _rests(self, channel: str) -> bool:
        until = self._rests_until.get(channel)
        return until is not None and self._clock() < until

    async def _round(self) -> _Round:
        now = self._clock()
        return _Round(
            now,
            await self._channels.known(),
            await self._channels.usual(),
            hushes(await self._silences.all(), now),
            await self._projects.all(),
        )

    async def _claimed(self, key: str, wanted: Notice) -> _Claimed | None:
        """Return the alert and the notice as they now are, or None when it is no longer ours to tell."""
        claim = self._new_claim()
        # Others may have been told for a while before: by now people may want quiet.
        round_ = await self._round()

        def change(now: Alert | None) -> Alert:
            if now is None:
                raise ValueError(f"alert {key} was removed; alerts are kept")
            found = next((one for one in round_.due(now) if _is_same(one, wanted)), None)
            if found is None:
                return now  # another replica was faster, or it is over
            mine = found.claimed(RANK[now.severity], round_.now, claim)
            return now.model_copy(update={"notices": kept(now.notices, mine)})

        alert = await self._alerts.change(key, change, applied=claim)
        mine = next((one for one in alert.notices if one.claim == claim), None)
        return None if mine is None else _Claimed(key, alert, mine)

    async def _try(self, claimed: Sequence[_Claimed]) -> AsyncIterator[Message]:
        channel = claimed[0].notice.channel
        try:
            await self._channels.tell(channel, [one.letter for one in claimed])
        except ChassisError as error:
            reason = str(error)[:_LONGEST_ERROR]
            keys = [one.key for one in claimed]
            _log().warning("notice.failed", channel=channel, alerts=keys, error=reason)
            self._rests_until[channel] = self._clock() + _REST
            for one in claimed:
                await self._note(one.key, replace(one.notice, error=reason), "failed")
            return
        for one in claimed:
            yield _notified(one)
            told = replace(one.notice, error="", told_at=self._clock())
            await self._note(one.key, told, "told")

    async def _note(self, key: str, notice: Notice, what: str) -> None:
        def change(now: Alert | None) -> Alert:
            if now is None:
                raise ValueError(f"alert {key} was removed; alerts are kept")
            if not any(one.claim == notice.claim for one in now.notices):
                return now  # the same trouble began anew, as another alert
            return now.model_copy(update={"notices": kept(now.notices, notice)})

        await self._alerts.change(key, change, applied=f"{notice.claim}:{what}")


def _bundles(wanted: Sequence[_Wanted], channel: Channel) -> Iterator[Sequence[_Wanted]]:
    """Yield what goes out together."""
    together = [one for one in wanted if channel.bundles and one[1].tries < _TRIES_TOGETHER]
    for start in range(0, len(together), _MOST_TOGETHER):
        yield together[start : start + _MOST_TOGETHER]
    yield from ([one] for one in wanted if one not in together)


def _notified(one: _Claimed) -> AlertNotified:
    alert, notice, letter = one.alert, one.notice, one.letter
    return AlertNotified(
        id=follow_up_id(letter.notice_id, AlertNotified.type, 0),
        correlation_id=alert.story_id or alert.raised_by,
        causation_id=alert.raised_by,
        project=alert.project,
        alert_id=alert.alert_id,
        channel=notice.channel,
        why=notice.why,
        notice_id=letter.notice_id,
        tries=notice.tries,
    )


def _is_same(one: Notice, other: Notice) -> bool:
    return (one.channel, one.why, one.number) == (other.channel, other.why, other.number)


def plan_of(project: WatchedProject, usual: tuple[str, ...]) -> Plan:
    """Return whom a project wants told; the installation's usual channels where it names none."""
    wanted = project.alerts
    never = wanted.repeat_every == timedelta(0)
    return Plan(
        notify=wanted.notify or usual,
        escalate=wanted.escalate,
        escalate_after=wanted.escalate_after and max(wanted.escalate_after, _SHORTEST),
        repeat_every=None if never else max(wanted.repeat_every, _SHORTEST),
        settle=wanted.settle,
    )


def notice_id_of(alert: Alert, notice: Notice) -> str:
    """Return the name of a notice, the same at every try."""
    return follow_up_id(alert.alert_id, f"{notice.channel}:{notice.why}", notice.number)


def _log() -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.get_logger("alerts")
    return logger
