# SPDX-License-Identifier: Apache-2.0
"""What nobody sends a message for: promised reports get written, one after another, and people are told of alerts."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import structlog
from structlog.typing import FilteringBoundLogger

from mlops.chassis.bus import Documents
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.commands import CommandRefused
from mlops.contracts.message import Message, Part, follow_up_id
from mlops.contracts.monitoring import EvaluateWindow, ReportPublished
from mlops.contracts.report_paths import opened_at
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.window_words import remarks
from mlops.monitoring.model.windows import ModelKey, Window, columns_of, evenly, every
from mlops.monitoring.ports import (
    EVALUATION,
    Columns,
    Ledger,
    Page,
    ReportJob,
    Reports,
    Which,
)

_MOST_TRIES = 3
_MOST_ROWS = 2000
_LOOK_BACK = 200
_LOOK_FAR_BACK = 1000
_NOTHING: tuple[Message, ...] = ()


class Snapshotted(Part):
    """The last window of a model of which a snapshot was kept; a document of `monitoring_snapshots`.

    *tries* have failed for the one after it.
    """

    upto: int = -1
    tries: int = 0


@dataclass(frozen=True)
class _Material:
    current: Columns
    reference: Columns
    period_from: datetime
    period_to: datetime


async def reports(
    ledger: Ledger, shelf: Reports, pause: Callable[[], Awaitable[None]], gateway: str = ""
) -> AsyncIterator[Message]:
    """Yield `report.published` for every promised report once it can be read; *pause* when there is none.

    People open it at the *gateway*. One that was asked for by a command and cannot be written is refused with `command.refused`.
    """
    while True:
        job = await ledger.look(lambda page: page.jobs.first())
        if job is None:
            await pause()
            continue
        message = await _written(ledger, shelf, job, gateway)
        if message is not None:
            yield message
            await _end(ledger, job)


async def snapshots(
    ledger: Ledger,
    shelf: Reports,
    taken: Documents[Snapshotted],
    pause: Callable[[], Awaitable[None]],
) -> AsyncIterator[Message]:
    """Keep a snapshot of every window that was judged, all of them in one go; *pause* between. It tells nothing.

    One by one would wake the writer for each, which costs a hundred times more than a snapshot.
    """
    while True:
        for model in await ledger.look(lambda page: page.models.all()):
            await _catch_up(ledger, shelf, taken, model.key)
        await pause()
        for message in _NOTHING:
            yield message


async def looks(
    look: Callable[[], AsyncIterator[Message]], pause: Callable[[], Awaitable[None]]
) -> AsyncIterator[Message]:
    """Yield what one look after the other finds; *pause* between."""
    while True:
        async for message in look():
            yield message
        await pause()


async def _catch_up(
    ledger: Ledger, shelf: Reports, taken: Documents[Snapshotted], key: ModelKey
) -> None:
    """Take the snapshots of a model that are missing, oldest first, as far as the rows are kept."""
    name = f"{key.project}.{hashlib.sha256(key.model.encode()).hexdigest()[:32]}"
    done = await taken.get(name) or Snapshotted()
    windows = await ledger.look(lambda page: page.windows.latest(key, _LOOK_BACK))
    for window in windows:
        if window.index is None or window.index <= done.upto or not _is_judged(window):
            continue
        tries = await _tries(ledger, shelf, key, window, done.tries)
        if tries:
            await _note(taken, name, Snapshotted(upto=done.upto, tries=tries))
            return  # the next round goes on here
        done = Snapshotted(upto=window.index)
        await _note(taken, name, done)


async def _tries(ledger: Ledger, shelf: Reports, key: ModelKey, window: Window, before: int) -> int:
    """Take one snapshot; return how many tries have failed, 0 once it is taken or given up."""
    material = await ledger.look(
        partial(_material, key=key, number=window.number, version=window.version)
    )
    try:
        if material is not None:
            await shelf.snapshot(key, window, material.current, material.reference)
    except RejectedError as error:
        _log().warning("snapshot.given_up", window=window.index, reason=str(error))
    except UnavailableError as error:
        _log().warning("snapshot.failed", window=window.index, error=str(error), tries=before + 1)
        # One that can never be taken must not hold back all later ones of its model.
        return before + 1 if before + 1 < _MOST_TRIES else 0
    return 0


async def _note(taken: Documents[Snapshotted], name: str, now: Snapshotted) -> None:
    await taken.change(name, lambda _: now, applied=f"{name}/{now.upto}/{now.tries}")


def _is_judged(window: Window) -> bool:
    return window.stored and window.inputs is not None and window.inputs.unjudged is None


async def _written(ledger: Ledger, shelf: Reports, job: ReportJob, gateway: str) -> Message | None:
    """Write one report and return what is to be told: None when it failed and nobody waits for an answer."""
    material = await ledger.look(lambda page: _material(page, job.key, job.window, job.version))
    words = await ledger.look(lambda page: _words(page, job))
    if material is None:
        return await _given_up(ledger, job, "its rows or its reference are no longer kept")
    try:
        size = await shelf.write(job, material.current, material.reference, words)
    except RejectedError as error:
        return await _given_up(ledger, job, str(error))
    except UnavailableError as error:
        tries = job.tries + 1
        if tries >= _MOST_TRIES:
            return await _given_up(ledger, job, f"{tries} tries failed: {error}")
        _log().warning("report.failed", name=job.name, error=str(error), tries=tries)
        await _again(ledger, replace(job, tries=tries))
        return None
    uri = shelf.uri(job.key, job.name)
    return ReportPublished(
        id=follow_up_id(job.id, ReportPublished.type, 0),
        correlation_id=job.story_id,
        causation_id=job.id,
        project=job.key.project,
        kind=job.kind,
        model=job.key.model,
        uri=uri,
        size_bytes=size,
        period_from=material.period_from,
        period_to=material.period_to,
        page_url=opened_at(gateway, uri),
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


def _material(page: Page, key: ModelKey, number: int, version: int) -> _Material | None:
    sizes = {window.number: window.rows for window in page.windows.latest(key, _LOOK_FAR_BACK)}
    spread = Which(every=every(sizes.get(number, 0), _MOST_ROWS))
    rows = evenly(page.rows.of(key, number, spread), _MOST_ROWS)
    baseline = page.baselines.get(key, version)
    if not rows or baseline is None:
        return None
    times = [row.at for row in rows]
    current = {
        **columns_of(rows, baseline.features),
        "prediction": [row.prediction for row in rows],
    }
    reference = {**baseline.features, "prediction": baseline.predictions}
    return _Material(_sampled(current), _sampled(reference), min(times), max(times))


def _words(page: Page, job: ReportJob) -> tuple[str, ...]:
    known = page.windows.latest(job.key, _LOOK_BACK)
    window = next((one for one in known if one.number == job.window), None)
    made = page.baselines.made(job.key, job.version)
    if window is None or made is None:
        return ()
    reference = f"{made.origin}, {made.rows} rows"
    return remarks(window, reference, page.baselines.growth(job.key, job.version))


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
