# SPDX-License-Identifier: Apache-2.0
"""Dead letters: messages that a service gave up are an alert of their project until they were replayed or discarded."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence

from mlops.chassis.bus import DeadLetter, DeadLetters, Documents
from mlops.chassis.clock import Clock
from mlops.contracts.catalogue import CATALOGUE
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.monitoring import ALL_PROJECTS, Severity
from mlops.monitoring.handlers.alerts import AlertHandlers, Cause
from mlops.monitoring.handlers.troubles import GoodNews, Meaning, Trouble
from mlops.monitoring.ports import Alert

KIND = "dead-letters"
_ADVICE = (
    "A service could not work with these messages. `mlops events dlq list` shows each with its reason; once that is "
    "mended, `mlops events dlq replay N` gives one back, `mlops events dlq discard N` forgets it."
)
_LONGEST = 300
_SCOPE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class DeadLetterWatch:
    """Looks at what was given up; nobody sends a message about it."""

    def __init__(
        self,
        letters: DeadLetters,
        alerts: Documents[Alert],
        alarms: AlertHandlers,
        clock: Clock,
    ) -> None:
        self._letters = letters
        self._alerts = alerts
        self._alarms = alarms
        self._clock = clock
        self._told: set[str] = set()

    async def tell(self) -> AsyncIterator[Message]:
        """Raise an alert for each project that has dead letters, and end those of the others."""
        waiting = _by_project(await self._letters.list())
        for project, letters in waiting.items():
            for message in await self._begin(project, letters):
                yield message
        for alert in (await self._alerts.all()).values():
            if alert.open and alert.kind == KIND and alert.project not in waiting:
                for message in await self._end(alert):
                    yield message

    async def _begin(self, project: str, letters: Sequence[DeadLetter]) -> Sequence[Message]:
        newest = letters[-1]
        name = f"dead-letter-{newest.sequence}-{newest.died_at.isoformat()}"
        if name in self._told:
            return []
        cause = Cause(name, newest.died_at, name, project)
        found = await self._alarms.take(cause, Meaning(_trouble(letters)))
        self._told.add(name)
        return _named(cause, found)

    async def _end(self, alert: Alert) -> Sequence[Message]:
        name = f"{alert.raised_by}-is-gone"
        cause = Cause(name, self._clock(), alert.story_id, alert.project)
        news = GoodNews(alert.model, (KIND,), "no message of the project is given up any more")
        return _named(cause, await self._alarms.take(cause, Meaning(over=(news,))))


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
    title = f"{many} given up, the last by {newest.service}: {newest.subject}: {newest.reason}"
    return Trouble("", KIND, Severity.WARNING, title[:_LONGEST], _ADVICE)


def _named(cause: Cause, found: Sequence[Message]) -> list[Message]:
    return [
        message.model_copy(
            update={
                "id": follow_up_id(cause.id, message.type, index),
                "correlation_id": cause.story_id,
                "causation_id": cause.id,
            }
        )
        for index, message in enumerate(found)
    ]
