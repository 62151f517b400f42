# SPDX-License-Identifier: Apache-2.0
"""Promised reports get written, one after another, after the events that named them; a failing one delays nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from structlog.typing import FilteringBoundLogger

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.commands import CommandRefused
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.monitoring import EvaluateWindow, ReportPublished
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.windows import columns_of
from mlops.monitoring.ports import EVALUATION, Columns, Ledger, Page, ReportJob, Reports

_MOST_TRIES = 3
_MOST_ROWS = 2000


@dataclass(frozen=True)
class _Material:
    current: Columns
    reference: Columns
    period_from: datetime
    period_to: datetime


async def reports(
    ledger: Ledger, shelf: Reports, pause: Callable[[], Awaitable[None]]
) -> AsyncIterator[Message]:
    """Yield `report.published` for every promised report once it can be read; *pause* when there is none.

    One that was asked for by a command and cannot be written is refused with `command.refused`.
    """
    while True:
        job = await ledger.look(lambda page: page.jobs.first())
        if job is None:
            await pause()
            continue
        message = await _written(ledger, shelf, job)
        if message is not None:
            yield message
            await _end(ledger, job)


async def _written(ledger: Ledger, shelf: Reports, job: ReportJob) -> Message | None:
    """Write one report and return what is to be told: None when it failed and nobody waits for an answer."""
    material = await ledger.look(lambda page: _material(page, job))
    if material is None:
        return await _given_up(ledger, job, "its rows or its reference are no longer kept")
    try:
        size = await shelf.write(job, material.current, material.reference)
    except RejectedError as error:
        return await _given_up(ledger, job, str(error))
    except UnavailableError as error:
        tries = job.tries + 1
        if tries >= _MOST_TRIES:
            return await _given_up(ledger, job, f"{tries} tries failed: {error}")
        _log().warning("report.failed", name=job.name, error=str(error), tries=tries)
        await _again(ledger, replace(job, tries=tries))
        return None
    return ReportPublished(
        id=follow_up_id(job.id, ReportPublished.type, 0),
        correlation_id=job.story_id,
        causation_id=job.id,
        project=job.key.project,
        kind=job.kind,
        model=job.key.model,
        uri=shelf.uri(job.key, job.name),
        size_bytes=size,
        period_from=material.period_from,
        period_to=material.period_to,
    )


async def _given_up(ledger: Ledger, job: ReportJob, reason: str) -> Message | None:
    _log().warning("report.given_up", name=job.name, reason=reason)
    if job.kind != EVALUATION:
        await _end(ledger, job)
        return None
    return CommandRefused(
        id=follow_up_id(job.id, CommandRefused.type, 0),
        correlation_id=job.story_id,
        causation_id=job.id,
        project=job.key.project,
        command_id=job.id,
        command_type=EvaluateWindow.type,
        refused_by="monitoring",
        reason=f"the report {job.name} of model {job.key.model!r} cannot be written: {reason}"[
            :2000
        ],
    )


def _log() -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.get_logger("reports")
    return logger


def _material(page: Page, job: ReportJob) -> _Material | None:
    rows = page.rows.of(job.key, job.window)
    baseline = page.baselines.get(job.key, job.version)
    if not rows or baseline is None:
        return None
    times = [row.at for row in rows]
    current = {**columns_of(rows), "prediction": [row.prediction for row in rows]}
    reference = {**baseline.features, "prediction": baseline.predictions}
    return _Material(_sampled(current), _sampled(reference), min(times), max(times))


def _sampled(columns: Columns) -> dict[str, Sequence[Value]]:
    # Evidently's cost grows with rows, what its report shows does not: evenly spaced rows are enough.
    length = len(next(iter(columns.values())))
    step = -(-length // _MOST_ROWS)
    return {name: values[::step] for name, values in columns.items()}


async def _end(ledger: Ledger, job: ReportJob) -> None:
    def change(page: Page) -> Sequence[Message]:
        page.jobs.done(job.id)
        return []

    await ledger.apply(f"{job.id}:report-ended", change)


async def _again(ledger: Ledger, job: ReportJob) -> None:
    def change(page: Page) -> Sequence[Message]:
        page.jobs.put(job)
        return []

    await ledger.apply(f"{job.id}:report-try-{job.tries}", change)
