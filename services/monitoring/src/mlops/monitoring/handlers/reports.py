# SPDX-License-Identifier: Apache-2.0
"""Reports over a time: asked for by a command, or due by the clock; the same period is always told once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import structlog
from structlog.typing import FilteringBoundLogger

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.latency import EDGES_MS
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.monitoring import ALL_PROJECTS, MakeReport, ReportPublished
from mlops.contracts.report_paths import opened_at
from mlops.monitoring.errors import PeriodError
from mlops.monitoring.handlers.recorded import Records
from mlops.monitoring.model.reports import Answers, Report, report
from mlops.monitoring.model.reports_before import changes
from mlops.monitoring.model.reports_entries import Entry
from mlops.monitoring.model.reports_machines import Machine
from mlops.monitoring.model.reports_period import Period, asked, due
from mlops.monitoring.ports import FailedPage, MadeReports, Pages, WatchedProject

_MOST_PICTURES = 16
# A page that cannot be written is tried again after a minute, two, four and so on: for eight hours.
_MOST_TRIES = 10
_FIRST_WAIT = timedelta(minutes=1)


class ReportMaker:
    """Reads what was recorded, and has the page of it written."""

    def __init__(
        self,
        projects: Documents[WatchedProject],
        made: Documents[MadeReports],
        records: Records,
        pages: Pages,
        zone: ZoneInfo,
        gateway: str = "",
    ) -> None:
        self._projects = projects
        self._made = made
        self._records = records
        self._pages = pages
        self._zone = zone
        self._gateway = gateway

    async def do_make_report(self, command: MakeReport) -> Sequence[Message]:
        """Write the report that somebody asks for."""
        project = await self._project(command.project)
        try:
            period = asked(command.period, command.time, self._zone)
        except PeriodError as error:
            raise RejectedError(str(error)) from error
        entries = await self._records.entries(period.with_before, project)
        machines = await self._records.machines(period)
        return [await self._published(project, period, entries, machines)]

    async def scheduled(
        self, at: time, clock: Clock, pause: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[Message]:
        """Yield `report.published` for ever: every project's and all projects' day and week, once each.

        A project's first ones are of periods that end after it came. After a time in which nobody looked, the newest of
        each is made; older ones can be asked for. A page that cannot be written holds back no other.
        """
        while True:
            for period in due(clock(), at, self._zone):
                async for message in self._missing(period, clock):
                    yield message
            await pause()

    async def _missing(self, period: Period, clock: Clock) -> AsyncIterator[Message]:
        known = {scope: await self._made.get(scope) for scope in await self._scopes()}
        missing = [
            scope for scope, made in known.items() if await self._is_missing(scope, made, period)
        ]
        scopes = [scope for scope in missing if not _waits(known[scope], period, clock())]
        if not scopes:
            return
        # One reading for all: the history of a week may be long.
        entries = await self._records.entries(period.with_before, None)
        machines = await self._records.machines(period)
        for scope in scopes:
            project = None if scope == ALL_PROJECTS else scope
            scheduled = _scheduled(scope, period)
            try:
                message = await self._published(project, period, entries, machines)
            except (UnavailableError, RejectedError) as error:
                await self._failed(scope, period, clock(), error)
                continue
            yield message.model_copy(update={"id": follow_up_id(scheduled, message.type, 0)})
            await self._note(scope, period, scheduled)

    async def _failed(
        self, scope: str, period: Period, now: datetime, error: UnavailableError | RejectedError
    ) -> None:
        """Note that a page failed, for this service and the one after its restart: the next try, or that it was the last."""
        tries = _tries(await self._made.get(scope), period) + 1
        over = tries >= _MOST_TRIES or isinstance(error, RejectedError)
        words = {"scope": scope, "period": period.name, "tries": tries, "error": str(error)}
        _log().warning("period_report.given_up" if over else "period_report.failed", **words)
        scheduled = _scheduled(scope, period)
        if over:
            await self._note(scope, period, scheduled)
            return
        again_at = now + _FIRST_WAIT * 2 ** (tries - 1)
        failed = FailedPage(until=period.until, tries=tries, again_at=again_at)

        def change(made: MadeReports | None) -> MadeReports:
            known = made or MadeReports()
            return known.model_copy(update={"failed": {**known.failed, period.name: failed}})

        await self._made.change(scope, change, applied=f"{scheduled}/try-{tries}")

    async def _scopes(self) -> list[str]:
        known = await self._projects.all()
        live = sorted(name for name, one in known.items() if not one.archived)
        return [*live, ALL_PROJECTS] if live and ALL_PROJECTS not in live else live

    async def _is_missing(self, scope: str, made: MadeReports | None, period: Period) -> bool:
        until = made.until.get(period.name) if made is not None else None
        if until is None:  # it has just come: its first report is of a period that ends from now on
            await self._note(scope, period, f"{scope}/{period.name}/begun")
            return False
        return until < period.until

    async def _note(self, scope: str, period: Period, scheduled: str) -> None:
        def change(now: MadeReports | None) -> MadeReports:
            known = now or MadeReports()
            failed = {name: one for name, one in known.failed.items() if name != period.name}
            return MadeReports(until={**known.until, period.name: period.until}, failed=failed)

        await self._made.change(scope, change, applied=scheduled)

    async def _project(self, scope: str) -> str | None:
        if await self._projects.get(scope) is not None:
            return scope
        if scope == ALL_PROJECTS:
            return None
        raise RejectedError(
            f"project {scope!r} is not registered; run `mlops register` in its folder"
        )

    async def _published(
        self,
        project: str | None,
        period: Period,
        entries: Sequence[Entry],
        machines: Sequence[Machine],
    ) -> ReportPublished:
        # A week of many models takes seconds.
        found = await asyncio.to_thread(_figures, entries, machines, period, project)
        written = await self._pages.write(found)
        return ReportPublished(
            project=project or ALL_PROJECTS,
            kind=period.name,
            uri=written.uri,
            size_bytes=written.size_bytes,
            period_from=period.since,
            period_to=period.until,
            figures_uri=written.figures_uri,
            picture_uris=written.picture_uris[:_MOST_PICTURES],
            page_url=opened_at(self._gateway, written.uri),
        )


def _scheduled(scope: str, period: Period) -> str:
    return f"{scope}/{period.name}/{period.until.isoformat()}"


def _tries(made: MadeReports | None, period: Period) -> int:
    """Return how often the page of a period has failed; those of earlier periods do not count."""
    failed = made.failed.get(period.name) if made is not None else None
    return failed.tries if failed is not None and failed.until == period.until else 0


def _waits(made: MadeReports | None, period: Period, now: datetime) -> bool:
    failed = made.failed.get(period.name) if made is not None else None
    return failed is not None and failed.until == period.until and now < failed.again_at


def _figures(
    entries: Sequence[Entry], machines: Sequence[Machine], period: Period, project: str | None
) -> Report:
    answers = Answers(EDGES_MS)
    now = report(entries, machines, period, project, answers)
    return replace(now, changes=changes(now, report(entries, (), period.before, project, answers)))


def _log() -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.get_logger("reports")
    return logger
