# SPDX-License-Identifier: Apache-2.0
"""Silences: of which alerts nobody is told for a while, who asked for that and why; they end by themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.monitoring import (
    AlertSilenced,
    AlertUnsilenced,
    SilenceAlerts,
    UnsilenceAlerts,
)
from mlops.monitoring.handlers.kinds import KINDS, KINDS_OF_THINGS, is_known
from mlops.monitoring.model.notices import Hush
from mlops.monitoring.ports import Silence

_SHOWN_FOR = timedelta(days=30)


class SilenceHandlers:
    """What happens when a person wants quiet, or no longer."""

    def __init__(
        self, silences: Documents[Silence], clock: Clock, ring: Callable[[], None]
    ) -> None:
        self._silences = silences
        self._clock = clock
        self._ring = ring

    async def do_silence_alerts(self, command: SilenceAlerts) -> Sequence[Message]:
        """Keep a silence; old ones are forgotten."""
        if command.until <= command.time:
            raise RejectedError(
                f"the silence would end at {command.until.isoformat()}, before it begins; "
                "name a time to come"
            )
        if command.kind is not None and not is_known(command.kind):
            raise RejectedError(
                f"no alert is of kind {command.kind!r}, so nothing would be silent; kinds are "
                f"{', '.join(KINDS)}, and {', '.join(f'{one}NAME' for one in KINDS_OF_THINGS)}"
            )
        fresh = Silence(
            project=command.project,
            model=command.model,
            kind=command.kind,
            until=command.until,
            why=command.why,
            by=command.by,
        )
        await self._forget_old()
        # Callers may name commands as they like; a key of a document they may not.
        key = follow_up_id(command.id, "silence", 0)
        kept = await self._silences.change(key, lambda now: now or fresh, applied=command.id)
        return [_silenced(key, kept)]

    async def do_unsilence_alerts(self, command: UnsilenceAlerts) -> Sequence[Message]:
        """End a silence before its time."""
        known = (await self._silences.all()).get(command.silence_id)
        if known is None or known.project != command.project:
            raise RejectedError(
                f"project {command.project!r} has no silence {command.silence_id!r}; "
                "`mlops alerts silences` lists them"
            )
        by = command.by or "somebody"

        def change(now: Silence | None) -> Silence:
            current = now or known
            if current.ended_by is not None:
                return current
            until = min(current.until, command.time)
            return current.model_copy(update={"until": until, "ended_by": by})

        kept = await self._silences.change(command.silence_id, change, applied=command.id)
        self._ring()
        by = kept.ended_by or by
        return [AlertUnsilenced(project=command.project, silence_id=command.silence_id, by=by)]

    async def _forget_old(self) -> None:
        before = self._clock() - _SHOWN_FOR
        for key, silence in (await self._silences.all()).items():
            if silence.until < before:
                await self._silences.delete(key)


def hushes(silences: Mapping[str, Silence], now: datetime) -> list[Hush]:
    """Return the silences that hold now."""
    return [
        Hush(one.project, one.model, one.kind, one.until)
        for one in silences.values()
        if now < one.until
    ]


def _silenced(key: str, silence: Silence) -> AlertSilenced:
    return AlertSilenced(
        project=silence.project,
        silence_id=key,
        model=silence.model,
        kind=silence.kind,
        until=silence.until,
        why=silence.why,
        by=silence.by,
    )
