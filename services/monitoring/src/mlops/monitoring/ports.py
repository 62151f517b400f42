# SPDX-License-Identifier: Apache-2.0
"""What monitoring needs of the world: a ledger of rows and windows, a shelf for reports, tables to read.

Its two documents stand here too: what a project wants watched, and one alert per thing that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from pydantic import AwareDatetime, Field

from mlops.chassis.bus import Bus, History
from mlops.contracts.alerts import AlertSettings
from mlops.contracts.message import Message, Part
from mlops.contracts.monitoring import Severity
from mlops.contracts.settings import EvaluateSettings, MonitorSettings
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.early import Watch
from mlops.monitoring.model.notices import Channel, Notice
from mlops.monitoring.model.reports import Report
from mlops.monitoring.model.speed import Pace
from mlops.monitoring.model.windows import ModelKey, Row, Truth, Watched, Window

EVALUATION = "evaluation"

T = TypeVar("T")
Columns = Mapping[str, Sequence[Value]]
Pair = tuple[Value, Value]
"""A prediction and its label."""


@dataclass(frozen=True)
class Made:
    """A reference without its rows: when it was made, where they are from, and how many there are."""

    made_at: datetime
    origin: str
    rows: int


@dataclass(frozen=True)
class Baseline:
    """The rows of a reference, in time order; `origin` says where they are from, `times` is empty when not known."""

    version: int
    made_at: datetime
    origin: str
    window_rows: int
    features: Columns
    predictions: Sequence[Value]
    times: Sequence[datetime] = ()

    @property
    def made(self) -> Made:
        """Return what is known of it without its rows."""
        return Made(self.made_at, self.origin, len(self.predictions))


@dataclass(frozen=True)
class ReportJob:
    """A report that is promised and not yet written; its id is that of the message that promised it.

    An `EVALUATION` was promised to the command that asked for it; the others are named by an event.
    """

    id: str
    story_id: str
    key: ModelKey
    version: int
    window: int
    kind: str
    name: str
    tries: int = 0


class Models(Protocol):
    """Everything remembered of models but their rows."""

    def get(self, key: ModelKey) -> Watched | None:
        """Return the model, or None when nothing was heard of it."""

    def put(self, model: Watched) -> None:
        """Keep the model as it is now."""

    def all(self) -> list[Watched]:
        """Return every model, by project and name."""


class Windows(Protocol):
    """The windows of models, by the number the model gave them."""

    def open(self, key: ModelKey) -> list[Window]:
        """Return the windows that are not full, oldest first; there is one for each version that is asked."""

    def unfinished(self, key: ModelKey) -> list[Window]:
        """Return the open and the full windows, oldest first."""

    def latest(self, key: ModelKey, most: int) -> list[Window]:
        """Return the newest windows of any phase, oldest first."""

    def put(self, key: ModelKey, window: Window) -> None:
        """Keep the window as it is now."""

    def drop(self, key: ModelKey, numbers: Collection[int]) -> None:
        """Forget windows and their rows."""


class Rows(Protocol):
    """Predictions and their labels; labels may come first, twice, or never."""

    def unknown(self, key: ModelKey, request_ids: Collection[str]) -> set[str]:
        """Return those request ids that no kept prediction has."""

    def add(self, key: ModelKey, window: int, rows: Sequence[Row]) -> list[Pair]:
        """Add predictions to a window, in order; return those that have their label already, with it."""

    def label(self, key: ModelKey, truths: Sequence[Truth]) -> dict[int, list[Pair]]:
        """Keep labels and return the predictions of each window that got their first one, with it.

        Of two labels for one prediction the later known one holds.
        """

    def of(self, key: ModelKey, window: int) -> Iterator[Row]:
        """Yield the rows of a window with their labels, in the order they came, one at a time: there may be a million."""

    def clear(self, key: ModelKey, windows: Collection[int]) -> None:
        """Forget the rows of windows, labels included; the windows themselves stay."""


class Watches(Protocol):
    """The early warning of every model."""

    def get(self, key: ModelKey) -> Watch | None:
        """Return what is watched, or None."""

    def put(self, key: ModelKey, watch: Watch) -> None:
        """Keep what is watched, in place of that before."""


class Baselines(Protocol):
    """The reference rows of every model version."""

    def get(self, key: ModelKey, version: int) -> Baseline | None:
        """Return the reference rows of a version, or None."""

    def made(self, key: ModelKey, version: int) -> Made | None:
        """Return what is known of the reference of a version without reading its rows, or None."""

    def put(self, key: ModelKey, baseline: Baseline) -> None:
        """Keep the reference rows of a version, in place of those before; its truths are then collected anew."""

    def drop(self, key: ModelKey, version: int) -> None:
        """Forget the reference of a version, its truths too."""

    def truths(self, key: ModelKey, version: int) -> list[Value]:
        """Return the labels that are the reference of labels, as far as they are collected."""

    def keep_truths(self, key: ModelKey, version: int, truths: Sequence[Value]) -> None:
        """Keep the labels that are the reference of labels, in place of those before."""


class Jobs(Protocol):
    """Reports still to be written."""

    def put(self, job: ReportJob) -> None:
        """Keep the job as it is now."""

    def first(self) -> ReportJob | None:
        """Return the job with the fewest tries, of those the oldest."""

    def done(self, job_id: str) -> None:
        """Forget the job."""


class Page(Protocol):
    """The ledger within one write: what is read here is not changed by others until the write ends."""

    @property
    def models(self) -> Models:
        """Return the models."""

    @property
    def windows(self) -> Windows:
        """Return the windows."""

    @property
    def rows(self) -> Rows:
        """Return the rows."""

    @property
    def watches(self) -> Watches:
        """Return the early warnings."""

    @property
    def baselines(self) -> Baselines:
        """Return the references."""

    @property
    def jobs(self) -> Jobs:
        """Return the reports still to be written."""


class Ledger(Protocol):
    """What monitoring remembers. Each promise is a test in tests/conformance/test_windows.py.

    1. What *change* did, the message's id and the follow-ups it returned are one write: all or nothing.
    2. A repeated id changes nothing and returns the same follow-ups.
    3. Writes come one after another.
    Raises UnavailableError when the store is away or full.
    """

    async def apply(
        self, message_id: str, change: Callable[[Page], Sequence[Message]]
    ) -> tuple[Message, ...]:
        """Run *change* once for this message and return its follow-ups."""

    async def look(self, view: Callable[[Page], T]) -> T:
        """Return what *view* makes of the ledger as it is now."""

    async def close(self) -> None:
        """Let go of the store."""


class Reports(Protocol):
    """Full reports for people, kept by name."""

    def uri(self, key: ModelKey, name: str) -> str:
        """Return where the report of this name is, or will be."""

    def names(self, project: str) -> dict[str, str]:
        """Return where the reports of a project are to be found."""

    async def write(self, job: ReportJob, current: Columns, reference: Columns) -> int:
        """Write the report; return its size in bytes.

        Raises RejectedError when these rows can never make one, UnavailableError when it failed this time.
        """

    async def snapshot(
        self, key: ModelKey, window: Window, current: Columns, reference: Columns
    ) -> None:
        """Keep the figures of a judged window, without pictures; raises as `write` does."""


@dataclass(frozen=True)
class Table:
    """The newest rows of a file by column, and how many rows it has in all."""

    columns: Columns
    rows: int


class Tables(Protocol):
    """Files of rows."""

    async def read(self, uri: str, folder: str | None) -> Table:
        """Return the newest rows of a CSV or Parquet file of the project's *folder*, or of those the gateway keeps.

        Raises RejectedError when it is not there, not inside, too large or cannot be read.
        """


@dataclass(frozen=True)
class Written:
    """Where a page, its figures and its pictures are."""

    uri: str
    figures_uri: str
    picture_uris: tuple[str, ...]
    size_bytes: int


class Pages(Protocol):
    """Reports over a time, for people."""

    async def write(self, report: Report) -> Written:
        """Write the page of a report; the same period of the same project replaces its page.

        Raises UnavailableError when it failed this time.
        """


class SpokenBus(Bus, History, Protocol):
    """The bus, and what was said on it before."""


class MadeReports(Part):
    """Up to when reports of each kind were made by the clock; a document of `monitoring_reports`, by scope."""

    until: dict[str, AwareDatetime] = Field(default_factory=dict)


class WatchedProject(Part):
    """What a project wants watched; a document of `monitoring_projects`, by the project's name.

    `told_at` is the time of the newest news of it: older ones, delivered late, change nothing.
    """

    evaluate: EvaluateSettings = EvaluateSettings()
    monitor: MonitorSettings = MonitorSettings()
    alerts: AlertSettings = AlertSettings()
    path: str | None = None
    revision: int = 0
    archived: bool = False
    told_at: AwareDatetime | None = None

    def knows_better(self, at: datetime) -> bool:
        """Return whether news of a time *at* are older than what is known."""
        return self.told_at is not None and at < self.told_at


class Alert(Part):
    """One thing that is, or was, wrong; a document of `monitoring_alerts`, by its dedup key.

    `raised_by` is the event that raised it last: first, worse, or again; empty where none ever did. `ended_at` is None for those that ended
    before it was noted.
    """

    alert_id: str
    project: str
    model: str
    kind: str
    severity: Severity
    title: str
    links: tuple[str, ...] = ()
    suggestion: str = ""
    raised_by: str
    story_id: str = ""
    raised_at: AwareDatetime
    heard_at: AwareDatetime
    count: int = 1
    acknowledged_by: str | None = None
    resolved_by: str | None = None
    ended_at: AwareDatetime | None = None
    reason: str = ""
    notices: tuple[Notice, ...] = ()

    @property
    def was_raised(self) -> bool:
        """Return whether there ever was an alert; else this only notes when it was last heard that all is well."""
        return bool(self.raised_by)

    @property
    def open(self) -> bool:
        """Return whether it still waits for somebody."""
        return self.resolved_by is None


class Silence(Part):
    """What nobody is told of until a time; a document of `monitoring_silences`, by its id."""

    project: str
    model: str | None = None
    kind: str | None = None
    until: AwareDatetime
    why: str = ""
    by: str = ""
    ended_by: str | None = None


class PaceBook(Part):
    """How fast one model answers; a document of `monitoring_pace`, by project and model."""

    pace: Pace


@dataclass(frozen=True)
class Letter:
    """What a channel is told; the same `notice_id` at every try."""

    notice_id: str
    why: str
    dedup_key: str
    alert: Alert


class Channels(Protocol):
    """Where people hear of alerts, by name. Each promise is a test in tests/conformance/test_channels.py.

    1. A channel that cannot be told, or that nobody knows, raises UnavailableError with the reason and no secret.
    2. `log` is always there.
    """

    async def known(self) -> Mapping[str, Channel]:
        """Return what every channel wants to hear."""

    async def usual(self) -> tuple[str, ...]:
        """Return the channels of projects that name none."""

    async def problem(self) -> str | None:
        """Return why the installation's channels cannot be used, or None."""

    async def tell(self, name: str, letter: Letter) -> None:
        """Tell one channel; it returns once the other side has taken it."""
