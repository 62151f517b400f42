# SPDX-License-Identifier: Apache-2.0
"""Relay: every row of the outbox is told once, in order; whatever was logged, one row stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import structlog

from mlops.chassis.clock import Clock
from mlops.chassis.errors import UnavailableError
from mlops.contracts.message import Message
from mlops.tracking.model import energy
from mlops.tracking.model.changes import (
    ChampionChanged,
    Row,
    RunBegan,
    RunEnded,
    RunWentStale,
    VersionAdded,
)
from mlops.tracking.model.energy import Used
from mlops.tracking.model.facts import Package, RunFacts
from mlops.tracking.ports import Charges, Leader, ReadData, Rows, Runs
from mlops.tracking.sources import messages

_BATCH = 20
# Other replicas' commits wake nobody here.
_LOOK_AGAIN = timedelta(seconds=1)
_PRUNE_EVERY = timedelta(minutes=10)
# The machine's faults, not the row's: they may pass.
_PASSING = (OSError, MemoryError)
_TRIES = 5
_LONGEST_ERROR = 500


class Relay:
    """Reads rows, adds what MLflow knows, tells them, and marks them as told; while this process leads."""

    def __init__(
        self,
        rows: Rows,
        runs: Runs,
        leader: Leader,
        clock: Clock,
        keep: timedelta,
        charges: Charges | None = None,
        read: ReadData | None = None,
    ) -> None:
        """Take *charges*, who tells what a run took, and *read*, who knows which versions it has read.

        Without them only what the run itself says is told.
        """
        self._rows = rows
        self._runs = runs
        self._leader = leader
        self._clock = clock
        self._keep = keep
        self._charges = charges
        self._read = read
        self._tried: tuple[str, int] = ("", 0)
        self._log = structlog.get_logger("relay")

    async def tell(self) -> AsyncGenerator[Message, None]:
        """Yield a message for each row; what stands after `yield` runs once the message is stored.

        Rows are marked in small batches. After a crash some are told again under the same id, which the bus
        and every handler know.
        """
        pruned_at = self._clock() - _PRUNE_EVERY
        while True:
            if not await self._leader.leads():
                await asyncio.sleep(_LOOK_AGAIN.total_seconds())
                continue
            rows = await self._rows.pending(_BATCH)
            told: list[int] = []
            try:
                for row in rows:
                    message = await self._message(row)
                    if message is not None:
                        yield message
                    told.append(row.sequence)
            finally:
                # Also when the service stops here: what was stored is not told again after the night.
                if told:
                    await self._rows.told(told)
            if len(rows) == _BATCH:
                continue
            if self._clock() - pruned_at >= _PRUNE_EVERY:
                pruned_at = self._clock()
                await self._rows.prune(pruned_at - self._keep)
            await self._rows.wait(_LOOK_AGAIN)

    async def _message(self, row: Row) -> Message | None:
        try:
            return await self._made(row)
        except UnavailableError:
            raise
        except Exception as error:
            # Whatever was logged: the same row would stop here for ever, and every other one behind it.
            if isinstance(error, _PASSING) and self._may_pass(row):
                raise
            return await self._least(row, error)

    def _may_pass(self, row: Row) -> bool:
        last, times = self._tried
        self._tried = (row.id, times + 1 if last == row.id else 1)
        return self._tried[1] < _TRIES

    async def _least(self, row: Row, why: Exception) -> Message | None:
        """Return what the row alone says, without what was logged; None where no message can hold that either."""
        where = {"row": row.id, "project": row.project}
        try:
            message = await self._made(row, logged=False)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - as above: it would hold back every other row
            change = repr(row.change)
            self._log.error("relay.left_out", **where, change=change, error=repr(error))
            return None
        self._log.error("relay.told_without_facts", **where, error=repr(why)[:_LONGEST_ERROR])
        return message

    async def _made(self, row: Row, *, logged: bool = True) -> Message | None:
        match row.change:
            case RunBegan() as began:
                facts = await self._run(row.project, began.run_id, logged=logged)
                return messages.run_started(row, began, facts)
            case RunEnded() as ended:
                facts = await self._run(row.project, ended.run_id, logged=logged)
                took = await self._took(row, ended, facts) if logged else None
                return messages.run_ended(row, ended, facts, took)
            case RunWentStale() as stale:
                facts = await self._run(row.project, stale.run_id, logged=logged)
                took = await self._took(row, stale, facts) if logged else None
                return messages.run_stale(row, stale, facts, took)
            case VersionAdded() as added:
                return await self._registered(row, added, logged=logged)
            case ChampionChanged() as moved:
                return await self._promoted(row, moved, logged=logged)

    async def _registered(self, row: Row, added: VersionAdded, *, logged: bool) -> Message | None:
        known = await self._runs.origin(row.project, added.name, added.version)
        if known is not None and known.is_prompt:
            return None
        has_files = logged and known is not None
        package = (
            await self._runs.package(row.project, added.source_uri) if has_files else Package()
        )
        run = await self._run(row.project, added.run_id, logged=logged)
        return messages.model_registered(row, added, run, package)

    async def _promoted(self, row: Row, moved: ChampionChanged, *, logged: bool) -> Message | None:
        known = await self._runs.origin(row.project, moved.name, moved.version)
        if known is not None and known.is_prompt:
            return None
        run = await self._run(row.project, known.run_id if known else None, logged=logged)
        return messages.model_promoted(row, moved, known, run)

    async def _took(
        self, row: Row, change: RunEnded | RunWentStale, facts: RunFacts
    ) -> Used | None:
        if self._charges is None:
            return energy.told(facts.tags)
        return await self._charges.of(change, row.id, facts)

    async def _run(self, project: str, run_id: str | None, *, logged: bool) -> RunFacts:
        # Gone meanwhile: what the row itself says is told all the same.
        found = await self._runs.run(run_id) if run_id and logged else None
        if found is None or self._read is None:
            return found or RunFacts()
        return await self._read.named(project, found)
