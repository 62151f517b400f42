# SPDX-License-Identifier: Apache-2.0
"""MemoryLedger and MemoryReports: the ledger and the shelf in dictionaries, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from pydantic_core import to_json

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.catalogue import read
from mlops.contracts.message import Message
from mlops.monitoring.model.bins import Value, is_missing
from mlops.monitoring.model.early import Watch
from mlops.monitoring.model.growth import Growth
from mlops.monitoring.model.tally import Counted
from mlops.monitoring.model.windows import (
    ModelKey,
    Phase,
    Row,
    Truth,
    Watched,
    Window,
    is_spread,
)
from mlops.monitoring.ports import ALL, Baseline, Columns, Made, Page, Pair, ReportJob, T, Which


class MemoryPage:
    """The ledger within one write."""

    def __init__(self) -> None:
        self.rows = _Rows()
        self.models = _Models()
        self.windows = _Windows(self.rows)
        self.tallies = _Tallies(self.rows)
        self.watches = _Watches()
        self.baselines = _Baselines()
        self.jobs = _Jobs()

    def copied(self) -> MemoryPage:
        """Return a page that can be written without changing this one; what it holds is frozen."""
        fresh = MemoryPage()
        fresh.models.kept = dict(self.models.kept)
        fresh.windows.kept = {key: dict(found) for key, found in self.windows.kept.items()}
        fresh.rows.kept = {key: dict(found) for key, found in self.rows.kept.items()}
        fresh.rows.truths = {key: dict(found) for key, found in self.rows.truths.items()}
        fresh.rows.tallies = dict(self.rows.tallies)
        fresh.watches.kept = dict(self.watches.kept)
        fresh.baselines.kept = dict(self.baselines.kept)
        fresh.baselines.labels = dict(self.baselines.labels)
        fresh.baselines.growths = dict(self.baselines.growths)
        fresh.baselines.second = dict(self.baselines.second)
        fresh.jobs.kept = dict(self.jobs.kept)
        return fresh


class _Models:
    def __init__(self) -> None:
        self.kept: dict[ModelKey, Watched] = {}

    def get(self, key: ModelKey) -> Watched | None:
        return self.kept.get(key)

    def put(self, model: Watched) -> None:
        self.kept[model.key] = model

    def all(self) -> list[Watched]:
        return sorted(self.kept.values(), key=lambda m: (m.key.project, m.key.model))


class _Windows:
    def __init__(self, rows: _Rows) -> None:
        self._rows = rows
        self.kept: dict[ModelKey, dict[int, Window]] = {}

    def open(self, key: ModelKey) -> list[Window]:
        return [w for w in self._of(key) if w.phase is Phase.OPEN]

    def unfinished(self, key: ModelKey) -> list[Window]:
        return [w for w in self._of(key) if w.phase in (Phase.OPEN, Phase.FULL)]

    def latest(self, key: ModelKey, most: int) -> list[Window]:
        return self._of(key)[-most:]

    def put(self, key: ModelKey, window: Window) -> None:
        self.kept.setdefault(key, {})[window.number] = window

    def drop(self, key: ModelKey, numbers: Collection[int]) -> None:
        self._rows.clear(key, numbers)
        for number in numbers:
            self.kept.get(key, {}).pop(number, None)

    def _of(self, key: ModelKey) -> list[Window]:
        kept = self.kept.get(key, {})
        return [kept[number] for number in sorted(kept)]


class _Rows:
    def __init__(self) -> None:
        self.kept: dict[ModelKey, dict[str, tuple[int, Row]]] = {}
        self.truths: dict[ModelKey, dict[str, Truth]] = {}
        self.tallies: dict[tuple[ModelKey, int, str], Counted] = {}

    def unknown(self, key: ModelKey, request_ids: Collection[str]) -> set[str]:
        return set(request_ids) - self.kept.get(key, {}).keys()

    def add(self, key: ModelKey, window: int, rows: Sequence[Row]) -> list[Pair]:
        kept = self.kept.setdefault(key, {})
        kept.update({row.request_id: (window, row) for row in rows})
        truths = self.truths.get(key, {})
        return [
            (row.prediction, truths[row.request_id].label)
            for row in rows
            if row.request_id in truths
        ]

    def label(self, key: ModelKey, truths: Sequence[Truth]) -> dict[int, list[Pair]]:
        kept, known = self.kept.get(key, {}), self.truths.setdefault(key, {})
        windows: dict[int, list[Pair]] = {}
        for truth in truths:
            before = known.get(truth.request_id)
            if before is None or _order(before) < _order(truth):
                known[truth.request_id] = truth
            if before is None and truth.request_id in kept:
                number, row = kept[truth.request_id]
                windows.setdefault(number, []).append((row.prediction, truth.label))
        return windows

    def of(self, key: ModelKey, window: int, which: Which = ALL) -> Iterator[Row]:
        known = self.truths.get(key, {})
        rows = [row for number, row in self.kept.get(key, {}).values() if number == window]
        begin = next((i + 1 for i, row in enumerate(rows) if row.request_id == which.after), 0)
        for place, row in enumerate(rows[begin:][-which.newest :]):
            if which.labelled and row.request_id not in known:
                continue
            if not is_spread(place, which.every) if which.labelled else place % which.every:
                continue
            truth = known.get(row.request_id)
            yield row if truth is None else _labelled(row, truth)

    def clear(self, key: ModelKey, windows: Collection[int]) -> None:
        kept, known = self.kept.get(key, {}), self.truths.get(key, {})
        for request_id in [name for name, (number, _) in kept.items() if number in windows]:
            del kept[request_id]
            known.pop(request_id, None)
        for place in [one for one in self.tallies if one[0] == key and one[1] in windows]:
            del self.tallies[place]


class _Tallies:
    def __init__(self, rows: _Rows) -> None:
        self._rows = rows

    def rows(self, key: ModelKey, window: int, against: str) -> int:
        found = self.get(key, window, against)
        return 0 if found is None else found.rows.rows

    def get(self, key: ModelKey, window: int, against: str) -> Counted | None:
        return self._rows.tallies.get((key, window, against))

    def put(self, key: ModelKey, window: int, against: str, counted: Counted) -> None:
        self._rows.tallies[key, window, against] = counted


class _Watches:
    def __init__(self) -> None:
        self.kept: dict[ModelKey, Watch] = {}

    def get(self, key: ModelKey) -> Watch | None:
        return self.kept.get(key)

    def put(self, key: ModelKey, watch: Watch) -> None:
        self.kept[key] = watch


class _Baselines:
    def __init__(self) -> None:
        self.kept: dict[tuple[ModelKey, int], Baseline] = {}
        self.labels: dict[tuple[ModelKey, int], list[Value]] = {}
        self.growths: dict[tuple[ModelKey, int], Growth] = {}
        self.second: dict[tuple[ModelKey, int], Baseline] = {}

    def get(self, key: ModelKey, version: int) -> Baseline | None:
        return self.kept.get((key, version))

    def made(self, key: ModelKey, version: int) -> Made | None:
        found = self.kept.get((key, version))
        return None if found is None else found.made

    def put(self, key: ModelKey, baseline: Baseline) -> None:
        self.drop(key, baseline.version)
        self.kept[key, baseline.version] = baseline

    def drop(self, key: ModelKey, version: int) -> None:
        self.kept.pop((key, version), None)
        self.labels.pop((key, version), None)
        self.growths.pop((key, version), None)
        self.second.pop((key, version), None)

    def growth(self, key: ModelKey, version: int) -> Growth | None:
        return self.growths.get((key, version))

    def grown(self, key: ModelKey, version: int) -> Baseline | None:
        return self.second.get((key, version))

    def grow(
        self, key: ModelKey, version: int, growth: Growth, rows: Baseline | None = None
    ) -> None:
        self.growths[key, version] = growth
        if rows is not None:
            self.second[key, version] = rows

    def truths(self, key: ModelKey, version: int) -> list[Value]:
        return list(self.labels.get((key, version), []))

    def keep_truths(self, key: ModelKey, version: int, truths: Sequence[Value]) -> None:
        self.labels[key, version] = list(truths)


class _Jobs:
    def __init__(self) -> None:
        self.kept: dict[str, ReportJob] = {}

    def put(self, job: ReportJob) -> None:
        self.kept[job.id] = job

    def first(self) -> ReportJob | None:
        return min(self.kept.values(), key=lambda job: job.tries, default=None)

    def done(self, job_id: str) -> None:
        self.kept.pop(job_id, None)


@dataclass
class MemoryLedger:
    """The ledger of story tests."""

    page: MemoryPage = field(default_factory=MemoryPage)
    told: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def apply(
        self, message_id: str, change: Callable[[Page], Sequence[Message]]
    ) -> tuple[Message, ...]:
        """Run *change* once for this message and return its follow-ups."""
        async with self._lock:
            if message_id not in self.told:
                draft = self.page.copied()
                follow_ups = change(draft)
                self.told[message_id] = tuple(message.encode() for message in follow_ups)
                self.page = draft
            return tuple(read(payload) for payload in self.told[message_id])

    async def look(self, view: Callable[[Page], T]) -> T:
        """Return what *view* makes of a copy."""
        return view(self.page.copied())

    async def close(self) -> None:
        """Do nothing: there is nothing to let go."""


@dataclass
class MemoryReports:
    """The shelf of story tests; it fails *failures* times first."""

    failures: int = 0
    written: dict[str, tuple[Columns, Columns]] = field(default_factory=dict)
    remarks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    snapshots: list[tuple[ModelKey, int]] = field(default_factory=list)

    def uri(self, key: ModelKey, name: str) -> str:
        """Return where the report of this name is, or will be."""
        return f"memory:///{key.project}/{key.model}/{name}.html"

    def names(self, project: str) -> dict[str, str]:
        """Return where the reports of a project are to be found."""
        return {"reports": f"memory:///{project}", "evidently_projects": f"{project} / <model>"}

    async def write(
        self, job: ReportJob, current: Columns, reference: Columns, remarks: Sequence[str] = ()
    ) -> int:
        """Keep the columns and remarks; return how many values there are."""
        if self.failures:
            self.failures -= 1
            raise UnavailableError("the shelf fails on purpose")
        both = [name for name in current if name in reference]
        if not any(_has_values(current[name]) and _has_values(reference[name]) for name in both):
            raise RejectedError(f"{job.name}: there is nothing to compare")
        uri = self.uri(job.key, job.name)
        self.written[uri], self.remarks[uri] = (current, reference), tuple(remarks)
        return sum(len(values) for values in current.values())

    async def snapshot(
        self, key: ModelKey, window: Window, current: Columns, reference: Columns
    ) -> None:
        """Keep which window it was."""
        if self.failures:
            self.failures -= 1
            raise UnavailableError("the shelf fails on purpose")
        both = [name for name in current if name in reference]
        if not any(_has_values(current[name]) and _has_values(reference[name]) for name in both):
            raise RejectedError(f"window {window.number}: there is nothing to compare")
        self.snapshots.append((key, window.number))


def _has_values(values: Sequence[Value]) -> bool:
    return any(not is_missing(value) for value in values)


def _labelled(row: Row, truth: Truth) -> Row:
    return replace(row, label=truth.label, labelled=True, truth=truth.numbers)


def _order(truth: Truth) -> tuple[object, ...]:
    return truth.at, to_json(truth.label if truth.numbers is None else truth.numbers)
