# SPDX-License-Identifier: Apache-2.0
"""What monitoring needs of the world: a ledger of rows and windows, a shelf for reports, tables to read.

Its two documents stand here too: what a project wants watched, and one alert per thing that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from pydantic import AwareDatetime

from mlops.contracts.message import Message, Part
from mlops.contracts.monitoring import Severity
from mlops.contracts.settings import EvaluateSettings, MonitorSettings
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.windows import ModelKey, Row, Truth, Watched, Window

EVALUATION = "evaluation"

T = TypeVar("T")
Columns = Mapping[str, Sequence[Value]]


@dataclass(frozen=True)
class Baseline:
    """The rows of a reference, in time order; `origin` says where they are from."""

    version: int
    made_at: datetime
    origin: str
    window_rows: int
    features: Columns
    predictions: Sequence[Value]


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

    def add(self, key: ModelKey, window: int, rows: Sequence[Row]) -> int:
        """Add predictions to a window, in order; return how many have their label already."""

    def label(self, key: ModelKey, truths: Sequence[Truth]) -> dict[int, int]:
        """Keep labels and return how many rows of each window got their first one.

        Of two labels for one prediction the later known one holds.
        """

    def of(self, key: ModelKey, window: int) -> list[Row]:
        """Return the rows of a window with their labels, in the order they came."""

    def clear(self, key: ModelKey, windows: Collection[int]) -> None:
        """Forget the rows of windows, labels included; the windows themselves stay."""


class Baselines(Protocol):
    """The reference rows of every model version."""

    def get(self, key: ModelKey, version: int) -> Baseline | None:
        """Return the reference rows of a version, or None."""

    def put(self, key: ModelKey, baseline: Baseline) -> None:
        """Keep the reference rows of a version, in place of those before."""

    def drop(self, key: ModelKey, version: int) -> None:
        """Forget the reference of a version."""


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


class WatchedProject(Part):
    """What a project wants watched; a document of `monitoring_projects`, by the project's name.

    `told_at` is the time of the newest news of it: older ones, delivered late, change nothing.
    """

    evaluate: EvaluateSettings = EvaluateSettings()
    monitor: MonitorSettings = MonitorSettings()
    path: str | None = None
    revision: int = 0
    archived: bool = False
    told_at: AwareDatetime | None = None

    def knows_better(self, at: datetime) -> bool:
        """Return whether news of a time *at* are older than what is known."""
        return self.told_at is not None and at < self.told_at


class Alert(Part):
    """One thing that is, or was, wrong; a document of `monitoring_alerts`, by its dedup key."""

    alert_id: str
    project: str
    model: str
    kind: str
    severity: Severity
    title: str
    links: tuple[str, ...] = ()
    raised_by: str
    raised_at: AwareDatetime
    heard_at: AwareDatetime
    acknowledged_by: str | None = None
    resolved_by: str | None = None
    reason: str = ""

    @property
    def open(self) -> bool:
        """Return whether it still waits for somebody."""
        return self.resolved_by is None
