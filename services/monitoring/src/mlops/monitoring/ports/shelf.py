# SPDX-License-Identifier: Apache-2.0
"""What people read, and what they bring: reports on a shelf, pages over a time, tables in files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mlops.chassis.bus import Bus, History
from mlops.monitoring.model.reports import Report
from mlops.monitoring.model.windows import ModelKey, Window
from mlops.monitoring.ports.ledger import Columns, ReportJob


class Reports(Protocol):
    """Full reports for people, kept by name."""

    def uri(self, key: ModelKey, name: str) -> str:
        """Return where the report of this name is, or will be."""

    def names(self, project: str) -> dict[str, str]:
        """Return where the reports of a project are to be found."""

    async def write(
        self, job: ReportJob, current: Columns, reference: Columns, remarks: Sequence[str] = ()
    ) -> int:
        """Write the report, its *remarks* above all else; return its size in bytes.

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


@dataclass(frozen=True)
class Shelved:
    """A page that can be read: its path below the shelf, how large it is, and when it was written."""

    path: str
    size_bytes: int
    written_at: datetime


@dataclass(frozen=True)
class Piece:
    """A part of a file; the size and the time are those of the whole file."""

    content: bytes
    size_bytes: int
    written_at: datetime


class Shelf(Protocol):
    """The files of all reports, to be read. Each promise is a test in tests/conformance/test_shelves.py.

    Raises UnavailableError where the storage is away.
    """

    async def pages(self, folders: Sequence[str]) -> list[Shelved]:
        """Return the HTML pages below some folders, or all for none; a folder that is not there has none."""

    async def piece(self, path: str, offset: int, most: int) -> Piece | None:
        """Return *most* bytes of a file from *offset* on, fewer at its end; None where it is not there."""


class SpokenBus(Bus, History, Protocol):
    """The bus, and what was said on it before."""
