# SPDX-License-Identifier: Apache-2.0
"""The meter: hears what replicas and machines count, and tells each served version's share when a window ends.

All of it is one document: what is in it was counted, and what a window tells stands in it before it is told. So a
process that dies forgets nothing and counts nothing twice; the counters it missed have only grown meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.contracts.attribution import NOTHING, Taken, Use, split
from mlops.contracts.latency import Latencies
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.metering import Meter as Machine
from mlops.contracts.metering import Span, between, meter
from mlops.contracts.serving import DeploymentMetered
from mlops.contracts.telemetry_agent import TelemetrySampled
from mlops.serving.model import metering
from mlops.serving.model.apps import app_name
from mlops.serving.model.metering import Reading, Window
from mlops.serving.model.state import deployment_of, needed
from mlops.serving.ports import Answers, Deployment, Figures, MeterBook, Page, Report
from mlops.serving.sources.vitals import Vitals

Running = Mapping[str, tuple[Deployment, int]]

_BOOK = "book"
_LOOK_S = 5.0
_WRITE_EVERY = timedelta(seconds=60)
_FRESH = timedelta(seconds=15)
_HERE = timedelta(minutes=10)
_SILENT = timedelta(minutes=1)
_GONE = timedelta(days=1)
_FORGOTTEN = timedelta(hours=1)  # replicas speak every two seconds


@dataclass(frozen=True)
class Pulse:
    """The last two words of one replica."""

    app: str
    reading: Reading
    at: datetime
    busy: float | None = None


class Meter:
    """Keeps the book; `hear` and `sampled` are called from outside, `messages` is its source."""

    def __init__(
        self,
        documents: Documents[MeterBook],
        deployments: Documents[Deployment],
        clock: Clock,
        every: timedelta = metering.EVERY,
        idle: timedelta = metering.IDLE_EVERY,
    ) -> None:
        self._documents = documents
        self._deployments = deployments
        self._clock = clock
        self._every = every
        self._idle = idle
        self._book: MeterBook | None = None
        self._pulses: dict[str, Pulse] = {}
        self._heard_at: dict[str, datetime] = {}
        self._answers: dict[str, Answers] = {}
        self._reports: dict[str, tuple[Report, datetime]] = {}
        self._written_at: datetime | None = None
        self._writes = 0
        self.vitals = Vitals(clock)

    def hear(self, app: str, report: Report) -> None:
        """Take in what a replica has counted since its start."""
        now, reading = self._clock(), report.reading
        self.vitals.hear(app, report)
        self._count(app, report)
        self._pulses[reading.replica] = _pulse(self._pulses.get(reading.replica), app, reading, now)
        if self._book is not None and app in self._book.windows:
            window = metering.heard(self._book.windows[app], self._placed(reading), now)
            self._change(
                windows=dict(self._book.windows) | {app: window},
                memory=_grown(self._book.memory, app, report.memory_bytes),
            )

    async def sampled(self, event: TelemetrySampled) -> None:
        """Take in what a machine took since it spoke last."""
        book, node, at = await self._opened(), event.node, self._clock()
        self._heard_at[node] = at
        if book.windows and not self._pulses:
            return  # what replicas computed meanwhile is not known yet; the next sample tells of this time, too
        before, now = book.machines.get(node), meter(event.sample.model_dump(mode="json"))
        if before is not None and before.boot == now.boot and now.seq <= before.seq:
            return
        parts = parts_of(between(before, now), book.windows, node, at)
        taken = {app: book.taken.get(app, NOTHING).plus(part) for app, part in parts.items()}
        windows = {app: metering.charged(one, node) for app, one in book.windows.items()}
        self._change(
            windows=windows,
            taken=dict(book.taken) | taken,
            machines=dict(book.machines) | {node: now},
        )

    def places(self, app: str) -> frozenset[str]:
        """Return the machines on which an application's replicas run, "" for one that does not know.

        One that has none yet will have them where those of the others are.
        """
        fresh = self._fresh(app) or self._pulses.values()
        return frozenset(one.reading.node for one in fresh)

    def busy(self, app: str) -> float | None:
        """Return how many predictions an application computes at once on average; None where nobody knows."""
        known = [one.busy for one in self._fresh(app) if one.busy is not None]
        return sum(known) if known else None

    def figures(self, app: str) -> Figures | None:
        """Return what the replicas of an application have counted."""
        return self.vitals.figures(app)

    def replicas(self, app: str) -> frozenset[str]:
        """Return the names of the replicas that speak now."""
        return self.vitals.replicas(app)

    def used_at(self, app: str) -> datetime | None:
        """Return when a request was last told of, or a replica began."""
        return self.vitals.used_at(app)

    def ongoing(self, app: str) -> float | None:
        """Return how many requests are computed or wait; None where nobody knows."""
        waiting, busy = self.vitals.ongoing(app), self.busy(app)
        return None if waiting is None else waiting + (busy or 0.0)

    async def memory(self, app: str) -> int | None:
        """Return the most bytes that a replica of an application was seen to take, by any process of this service."""
        return (await self._opened()).memory.get(app)

    def pages(self) -> Mapping[str, Page]:
        """Return the last window of each application that runs, as far as the book was opened."""
        return self._book.last if self._book else {}

    async def last(self, app: str) -> Page | None:
        """Return the last window that was told of an application which runs."""
        return (await self._opened()).last.get(app)

    async def messages(self) -> AsyncIterator[Message]:
        """Tell for ever."""
        while True:
            async for message in self.round():
                yield message
            await asyncio.sleep(_LOOK_S)

    async def round(self) -> AsyncIterator[Message]:
        """Begin and end windows, and yield what those that have ended tell."""
        known = list((await self._deployments.all()).values())
        self._forget_memory(await self._opened(), known)
        if self._turn_pages(await self._opened(), _running(known)) or self._is_old():
            await self._write()
        book = await self._opened()
        self._forget_silent(book)
        for one in book.untold:
            yield told(one)
        if book.untold:
            self._change(untold=())
            await self._write()

    def _turn_pages(self, book: MeterBook, running: Running) -> bool:
        """Begin a window for what runs, end those that are due and those of what runs no more."""
        now = self._clock()
        by = {app: deployment_of(one.state, version) for app, (one, version) in running.items()}
        ended = [app for app, one in book.windows.items() if self._ends(one, by.get(app, ""), now)]
        pages = {
            app: Page(
                window=book.windows[app],
                until=now,
                taken=book.taken.get(app, NOTHING),
                answers=self._answers.pop(app, None),
                replicas=_speaking(book.windows[app], now),
            )
            for app in ended
        }
        worth = {app: page for app, page in pages.items() if _tells_something(page)}
        fresh = {
            app: metering.renewed(book.windows[app], by[app], now)
            if app in book.windows
            else Window(one.project, one.model, version, by[app], began=now, since=now)
            for app, (one, version) in running.items()
            if app in ended or app not in book.windows
        }
        open_ = {app: one for app, one in book.windows.items() if app not in ended} | fresh
        self._change(
            windows=open_,
            taken={app: one for app, one in book.taken.items() if app not in ended},
            untold=(*book.untold, *worth.values()),
            last={app: one for app, one in (book.last | worth).items() if app in running},
            machines={name: one for name, one in book.machines.items() if _lives(one, now)},
        )
        return bool(ended or fresh)

    def _count(self, app: str, report: Report) -> None:
        """Count what was asked of a replica; of one from before this process, only what comes from now on."""
        name = report.reading.replica
        windows = self._book.windows if self._book is not None else {}
        met = self._book is None or (app in windows and name in windows[app].replicas)
        first = report if met else Report(replace(report.reading, answered=0))
        last, _ = self._reports.get(name, (first, None))
        self._reports[name] = (report, self._clock())
        self._answers[app] = self._answers.get(app, Answers()).plus(last, report)

    def _forget_silent(self, book: MeterBook) -> None:
        """Forget replicas that are gone, and what one said of a version that runs no more: it is of no window."""
        now = self._clock()
        self._reports = {
            name: (one, at) for name, (one, at) in self._reports.items() if now - at < _FORGOTTEN
        }
        self._answers = {app: one for app, one in self._answers.items() if app in book.windows}

    def _ends(self, window: Window, deployment_id: str, now: datetime) -> bool:
        changed = window.deployment_id != deployment_id
        return changed or metering.is_due(window, now, self._every, self._idle)

    def _forget_memory(self, book: MeterBook, known: Sequence[Deployment]) -> None:
        """Keep what is known of versions that are packed: they may run again."""
        packed = {
            app_name(one.project, one.model, package.version)
            for one in known
            for package in one.state.packages
        }
        self._change(memory={app: size for app, size in book.memory.items() if app in packed})

    def _placed(self, reading: Reading) -> Reading:
        # A replica that does not know its machine runs on the only one there is.
        now = self._clock()
        nodes = [name for name, at in self._heard_at.items() if now - at < _HERE]
        if reading.node or len(nodes) != 1:
            return reading
        return replace(reading, node=nodes[0])

    def _fresh(self, app: str) -> list[Pulse]:
        now = self._clock()
        self._pulses = {name: one for name, one in self._pulses.items() if now - one.at <= _FRESH}
        return [one for one in self._pulses.values() if one.app == app]

    def _change(self, **parts: Any) -> None:
        self._book = (self._book or MeterBook()).model_copy(update=parts)

    async def _opened(self) -> MeterBook:
        if self._book is None:
            found = await self._documents.get(_BOOK) or MeterBook()
            self._book = found if self._book is None else self._book
        return self._book

    def _is_old(self) -> bool:
        if self._book is None or not self._book.windows:
            return False
        return self._written_at is None or self._clock() - self._written_at >= _WRITE_EVERY

    async def _write(self) -> None:
        book = await self._opened()
        self._writes += 1
        applied = f"{self._clock().isoformat()}/{self._writes}"
        await self._documents.change(_BOOK, lambda _: book, applied=applied)
        self._written_at = self._clock()


def _running(known: Sequence[Deployment]) -> Running:
    return {
        app_name(one.project, one.model, version): (one, version)
        for one in known
        for version in needed(one.state)
    }


def _grown(memory: Mapping[str, int], app: str, size: int | None) -> dict[str, int]:
    return dict(memory) if size is None else {**memory, app: max(size, memory.get(app, 0))}


def told(one: Page) -> Message:
    """Return a window that has ended as a message; the same window is always the same message."""
    window = one.window
    message = DeploymentMetered(
        project=window.project,
        model=window.model,
        version=window.version,
        deployment_id=window.deployment_id,
        since=window.since,
        until=one.until,
        predictions=window.predictions,
        energy=one.energy,
        joules_per_1000=one.joules_per_1000,
        **_answered(one),
    )
    begun = f"{window.deployment_id}/{window.since.isoformat()}"
    return message.model_copy(update={"id": follow_up_id(begun, message.type, 0)})


def _answered(one: Page) -> dict[str, Any]:
    if one.answers is None:
        return {}
    times = Latencies.read(one.answers.latencies)
    return {
        "requests": one.answers.requests,
        "failed": one.answers.failed,
        "latency_counts": one.answers.latencies,
        "latency_p50_ms": times.quantile(0.5),
        "latency_p95_ms": times.quantile(0.95),
        "replicas": one.replicas,
    }


def parts_of(
    span: Span | None, windows: Mapping[str, Window], node: str, now: datetime
) -> dict[str, Taken]:
    """Return what each version took of what a machine took; nothing where the machine does not say how busy it was."""
    if span is None or span.busy_core_s is None:
        return {}
    uses = [_use(span, app, one, node, now) for app, one in windows.items() if node in one.cpu_s]
    return split(span, uses)


def _use(span: Span, app: str, window: Window, node: str, now: datetime) -> Use:
    lasted_s = min(span.length_s, (now - window.began).total_seconds())
    gpu_s = lasted_s if metering.accelerates(window, node) else 0.0
    return Use(app, lasted_s, window.cpu_s[node], gpu_s)


def _speaking(window: Window, now: datetime) -> int:
    return sum(now - at <= _SILENT for at in window.heard_at.values())


def _tells_something(page: Page) -> bool:
    return page.window.predictions > 0 or page.energy is not None


def _lives(one: Machine, now: datetime) -> bool:
    return now.timestamp() - one.at_s < _GONE.total_seconds()


def _pulse(before: Pulse | None, app: str, reading: Reading, now: datetime) -> Pulse:
    if before is None or (passed_s := (now - before.at).total_seconds()) <= 0:
        return Pulse(app, reading, now, before.busy if before else None)
    busy = max(0.0, reading.busy_s - before.reading.busy_s) / passed_s
    return Pulse(app, reading, now, busy)
