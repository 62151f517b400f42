# SPDX-License-Identifier: Apache-2.0
"""Dead letters: messages that a service gave up are an alert of their project until they were replayed or discarded.

What was told is noted once it is told: a process that dies before says it again under the same id, and none says it
anew only because it began.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import AwareDatetime

from mlops.chassis.bus import Bus, DeadLetter, DeadLetters, Documents
from mlops.chassis.clock import Clock
from mlops.contracts.catalogue import CATALOGUE
from mlops.contracts.message import Message, Part
from mlops.contracts.monitoring import ALL_PROJECTS, Severity
from mlops.monitoring.handlers.alerts import AlertHandlers, Cause, alarms_of, follow_ups
from mlops.monitoring.handlers.troubles import GoodNews, Meaning, Trouble
from mlops.monitoring.ports import Alert

KIND = "dead-letters"
_ADVICE = (
    "A service could not work with these messages. `mlops events dlq list` shows each with its reason; once that is "
    "mended, `mlops events dlq replay N` gives one back, `mlops events dlq discard N` forgets it."
)
_LONGEST = 300
_WORTH_TELLING = timedelta(days=1)
_LATELY, _MANY = (
    timedelta(hours=1),
    20,
)  # so many within so long: something is broken, not one message
_SCOPE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class ToldLetters(Part):
    """Which dead letter of a project was told last, and which end; a document of `monitoring_dead_letters`, by project."""

    died_at: AwareDatetime | None = None
    sequence: int = 0
    ended_by: str = ""

    def knows(self, died_at: datetime, sequence: int) -> bool:
        """Return whether a letter, or one after it, was told."""
        return self.died_at is not None and (died_at, sequence) <= (self.died_at, self.sequence)


class DeadLetterWatch:
    """Looks at what was given up; nobody sends a message about it."""

    def __init__(
        self,
        letters: DeadLetters,
        told: Documents[ToldLetters],
        alerts: Documents[Alert],
        alarms: AlertHandlers,
        clock: Clock,
    ) -> None:
        self._letters = letters
        self._told = told
        self._alerts = alerts
        self._alarms = alarms
        self._clock = clock
        self._seen: str | None = None

    async def tell(self) -> AsyncIterator[Message]:
        """Raise an alert for each project that has dead letters, and end those of the others."""
        # Of before the letters are read: one that dies meanwhile is news from after the end.
        at, mark = self._clock(), await self._letters.mark()
        if mark == self._seen:
            return
        waiting = _by_project(await self._letters.list())
        told = await self._told.all()
        async for message in self._begin_all(waiting, told):
            yield message
        ended = await self._ended(waiting, told, at)
        for alert in ended:
            if alert.heard_at <= at:
                async for message in self._end(alert, at):
                    yield message
        # News of a clock that is ahead of ours, or of another replica: the end is told at a later look.
        if all(alert.heard_at <= at for alert in ended):
            self._seen = mark

    async def _begin_all(
        self, waiting: Mapping[str, Sequence[DeadLetter]], told: Mapping[str, ToldLetters]
    ) -> AsyncIterator[Message]:
        for project, letters in waiting.items():
            newest = letters[-1]
            if not told.get(project, ToldLetters()).knows(newest.died_at, newest.sequence):
                async for message in self._begin(project, letters):
                    yield message

    async def _ended(
        self, waiting: Collection[str], told: Mapping[str, ToldLetters], at: datetime
    ) -> list[Alert]:
        return [
            alert
            for alert in (await self._alerts.all()).values()
            if alert.kind == KIND and alert.project not in waiting
            if _is_untold(alert, told.get(alert.project, ToldLetters()), at)
        ]

    async def _begin(self, project: str, letters: Sequence[DeadLetter]) -> AsyncIterator[Message]:
        newest = letters[-1]
        name = f"dead-letter-{newest.sequence}-{newest.died_at.isoformat()}"
        cause = Cause(name, newest.died_at, name, project)
        for message in follow_ups(
            cause, await self._alarms.take(cause, Meaning(_trouble(letters)))
        ):
            yield message
        await self._note(cause, {"died_at": newest.died_at, "sequence": newest.sequence})

    async def _end(self, alert: Alert, at: datetime) -> AsyncIterator[Message]:
        cause = Cause(_end_of(alert), alert.ended_at or at, alert.story_id, alert.project)
        news = GoodNews(alert.model, (KIND,), "no message of the project is given up any more")
        for message in follow_ups(cause, await self._alarms.take(cause, Meaning(over=(news,)))):
            yield message
        await self._note(cause, {"ended_by": cause.id})

    async def _note(self, cause: Cause, news: Mapping[str, object]) -> None:
        def change(now: ToldLetters | None) -> ToldLetters:
            return (now or ToldLetters()).model_copy(update=news)

        await self._told.change(cause.project, change, applied=cause.id)


def watch_of_dead_letters(
    bus: Bus, letters: DeadLetters, clock: Clock, ring: Callable[[], None] = lambda: None
) -> DeadLetterWatch:
    """Return what raises alerts about messages that were given up."""
    alerts = bus.documents("monitoring_alerts", Alert)
    told = bus.documents("monitoring_dead_letters", ToldLetters)
    return DeadLetterWatch(letters, told, alerts, alarms_of(bus, ring), clock)


def _is_untold(alert: Alert, told: ToldLetters, now: datetime) -> bool:
    """Return whether an end is still to be told: of an open alert, or of one whose teller died."""
    if alert.open:
        return True
    is_ours = alert.was_raised and alert.resolved_by == _end_of(alert)
    is_new = alert.ended_at is not None and now - alert.ended_at < _WORTH_TELLING
    return is_ours and is_new and told.ended_by != alert.resolved_by


def _end_of(alert: Alert) -> str:
    return f"{alert.raised_by}-is-gone"


def _by_project(letters: Sequence[DeadLetter]) -> Mapping[str, list[DeadLetter]]:
    found: dict[str, list[DeadLetter]] = {}
    for letter in letters:
        type_, _, scope = letter.subject.rpartition(".")
        if type_.startswith("cmd."):
            continue  # whoever sent the command was told by `command.refused`
        kind = CATALOGUE.get(type_)
        # Strangers publish, too: what they call a type or a project may be the name of none.
        is_of_project = kind is not None and kind.scoped_by == "project"
        is_named = is_of_project and _SCOPE.fullmatch(scope) is not None
        found.setdefault(scope if is_named else ALL_PROJECTS, []).append(letter)
    return found


def _trouble(letters: Sequence[DeadLetter]) -> Trouble:
    newest = letters[-1]
    many = "a message was" if len(letters) == 1 else f"{len(letters)} messages were"
    grows = f", {_lately(letters)} of them within an hour" if _lately(letters) >= _MANY else ""
    title = (
        f"{many} given up{grows}, the last by {newest.service}: {newest.subject}: {newest.reason}"
    )
    severity = Severity.CRITICAL if _lately(letters) >= _MANY else Severity.WARNING
    return Trouble("", KIND, severity, title[:_LONGEST], _ADVICE)


def _lately(letters: Sequence[DeadLetter]) -> int:
    newest = letters[-1].died_at
    return sum(newest - one.died_at <= _LATELY for one in letters)
