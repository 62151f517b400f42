# SPDX-License-Identifier: Apache-2.0
"""What monitoring remembers: models, windows, their rows, references, and the reports still to be written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from mlops.contracts.message import Message
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.early import Watch
from mlops.monitoring.model.growth import Growth
from mlops.monitoring.model.tally import Counted
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
    """The rows of a reference, in time order; `origin` says where they are from, `times` is empty when not known.

    `answers` are the parts of answers that are several numbers.
    """

    version: int
    made_at: datetime
    origin: str
    window_rows: int
    features: Columns
    predictions: Sequence[Value]
    times: Sequence[datetime] = ()
    answers: Columns = field(default_factory=dict)

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


@dataclass(frozen=True)
class Which:
    """Which rows of a window are wanted: those *after* a request id, or the *newest* so many (0: all).

    Of these the first and each *every*-th from there. *labelled* ones only: then those of one place in *every*, spread
    so that no rhythm of the labels falls in with them.
    """

    after: str = ""
    newest: int = 0
    every: int = 1
    labelled: bool = False


ALL = Which()


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

    def of(self, key: ModelKey, window: int, which: Which = ALL) -> Iterator[Row]:
        """Yield the rows of a window with their labels, in the order they came, one at a time: there may be a million."""

    def clear(self, key: ModelKey, windows: Collection[int]) -> None:
        """Forget the rows of windows, labels included; the windows themselves stay."""


class Tallies(Protocol):
    """How far windows are counted that are large: by the name of what they are counted against."""

    def rows(self, key: ModelKey, window: int, against: str) -> int:
        """Return how many rows are counted."""

    def get(self, key: ModelKey, window: int, against: str) -> Counted | None:
        """Return the counts, or None when nothing is counted."""

    def put(self, key: ModelKey, window: int, against: str, counted: Counted) -> None:
        """Keep the counts as they are now; they are forgotten with the rows."""


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

    def growth(self, key: ModelKey, version: int) -> Growth | None:
        """Return how far the second reference of a version is, without reading its rows; None when it has none."""

    def grown(self, key: ModelKey, version: int) -> Baseline | None:
        """Return the rows of the second reference of a version, or None."""

    def grow(
        self, key: ModelKey, version: int, growth: Growth, rows: Baseline | None = None
    ) -> None:
        """Keep how far the second reference of a version is, and its rows where they have changed.

        `put` and `drop` of the first one forget it.
        """

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
    def tallies(self) -> Tallies:
        """Return how far windows are counted."""

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
