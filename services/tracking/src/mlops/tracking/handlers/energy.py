# SPDX-License-Identifier: Apache-2.0
"""Energy of runs that do not tell it themselves: what their machine took, in equal parts for all that were under way.

What is kept is one sum for each run that is under way, with its machine, so it stays small however long the platform
is up; nothing is written while no run is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import ChassisError
from mlops.contracts import attribution
from mlops.contracts.attribution import Tab, Use
from mlops.contracts.energy import EnergyUse
from mlops.contracts.message import Message
from mlops.contracts.metering import Meter, Span, held, meter
from mlops.contracts.telemetry_agent import TelemetrySampled
from mlops.tracking.model import energy
from mlops.tracking.model.changes import RunEnded, RunWentStale
from mlops.tracking.model.energy import NODE, Present, Used
from mlops.tracking.model.facts import RunFacts
from mlops.tracking.ports import Presences

SHARE = "in equal parts for the runs under way"
_NEXT_LOOK = timedelta(seconds=2)
_HEARD = timedelta(hours=12)
_GONE = timedelta(days=2)
_MOST = 300


class NodeEnergy(BaseModel):
    """The document of a machine in the bucket `tracking_energy`: what runs have taken of it, and when it was heard."""

    model_config = ConfigDict(frozen=True)

    tab: Tab = Tab()
    heard_at: AwareDatetime


class RunEnergy:
    """Counts while runs are under way, and tells when they end."""

    def __init__(
        self, documents: Documents[NodeEnergy], presences: Presences, clock: Clock
    ) -> None:
        self._documents = documents
        self._presences = presences
        self._clock = clock
        self._heard: dict[str, datetime] | None = None
        self._last: dict[str, Meter] = {}
        self._present: list[Present] = []
        self._looked_at: datetime | None = None
        self._log = structlog.get_logger("energy")

    async def on_telemetry_sampled(self, event: TelemetrySampled) -> Sequence[Message]:
        """Charge the runs that are under way on the machine; a sample told late is in the next one's counters."""
        if event.sample.backfill:
            return []
        name, read = event.node, _equal(meter(event.sample.model_dump(mode="json")))
        known = await self._hear(name)
        here = [one for one in await self._now() if energy.where(one.node, known) == name]
        if here:
            before = self._last.get(name)

            def change(now: NodeEnergy | None) -> NodeEnergy:
                document = now or NodeEnergy(heard_at=self._clock())
                tab = replace(document.tab, last=_later(document.tab.last, before))
                span = attribution.since(tab, read)
                charged = attribution.charged(tab, read, _uses(here, span), _MOST)
                return document.model_copy(update={"tab": charged})

            await self._documents.change(name, change, applied=event.id)
        self._last[name] = _later(self._last.get(name), read) or read
        return []

    async def of(self, change: RunEnded | RunWentStale, row: str, facts: RunFacts) -> Used | None:
        """Return what a run took that has ended, and show it in MLflow; None where nobody can tell.

        The same *row* again gives the same. A store that is away costs the figure, not the message.
        """
        own = energy.told(facts.tags)
        if own is not None:
            return own
        try:
            found = await self._found(change, row, facts)
            if found is not None:
                await self._presences.note(change.run_id, energy.tags_of(found))
        except ChassisError as error:
            self._log.warning("energy.unknown", run=change.run_id, reason=str(error))
            return None
        return found

    async def _found(
        self, change: RunEnded | RunWentStale, row: str, facts: RunFacts
    ) -> Used | None:
        ended_ms = change.last_seen_ms if isinstance(change, RunWentStale) else change.ended_ms
        known = await self._known()
        name = energy.where(facts.tags.get(NODE), known)
        if name is None or ended_ms is None or change.started_ms is None:
            return None
        ended_s, me = ended_ms / 1000, Present(change.run_id, change.started_ms)
        others = [one for one in await self._now() if energy.where(one.node, known) == name]
        here = [one for one in others if one.run_id != change.run_id]

        def settle(now: NodeEnergy | None) -> NodeEnergy:
            document = now or NodeEnergy(heard_at=self._clock())
            tab = replace(document.tab, last=_later(document.tab.last, self._last.get(name)))
            span = held(tab.last, ended_s) if tab.last else None
            settled = attribution.ended(tab, me.run_id, ended_s, _uses([*here, me], span))
            return document.model_copy(update={"tab": settled})

        document = await self._documents.change(name, settle, applied=f"ended:{row}")
        taken = document.tab.taken.get(change.run_id)
        if taken is None:
            return None
        lasted_s = max(0.0, ended_s - change.started_ms / 1000)
        use = EnergyUse.of(taken, lasted_s, SHARE, node=name)
        if use is None:
            return None
        return energy.within(
            Used(**{**use.model_dump(), "measured": False}), taken.known_s, lasted_s
        )

    async def _now(self) -> list[Present]:
        now = self._clock()
        if self._looked_at is None or now - self._looked_at >= _NEXT_LOOK:
            self._present = await self._presences.running()
            self._looked_at = now
        return self._present

    async def _hear(self, name: str) -> set[str]:
        known, now = await self._known(), self._clock()
        heard = self._heard or {}
        if name not in heard or now - heard[name] >= _HEARD:

            def change(before: NodeEnergy | None) -> NodeEnergy:
                return NodeEnergy(tab=before.tab if before else Tab(), heard_at=now)

            await self._documents.change(name, change, applied=f"heard:{now.isoformat()}")
            self._heard = {**heard, name: now}
        return {*known, name}

    async def _known(self) -> set[str]:
        if self._heard is None:
            documents = await self._documents.all()
            self._heard = {name: found.heard_at for name, found in documents.items()}
        now = self._clock()
        return {name for name, at in self._heard.items() if now - at < _GONE}


def _equal(read: Meter) -> Meter:
    """Return a sample without its word about busy processors: parts are equal, whoever works."""
    return replace(read, busy_ratio=None)


def _later(one: Meter | None, other: Meter | None) -> Meter | None:
    if one is None or other is None:
        return one or other
    if one.boot == other.boot:
        return one if one.seq >= other.seq else other
    return one if one.at_s >= other.at_s else other


def _uses(present: Iterable[Present], span: Span | None) -> list[Use]:
    if span is None:
        return []
    found = []
    for one in present:
        began_s = span.since_s if one.started_ms is None else one.started_ms / 1000
        lasted_s = max(0.0, span.until_s - max(span.since_s, began_s))
        found.append(Use(one.run_id, lasted_s, lasted_s, lasted_s))
    return found
