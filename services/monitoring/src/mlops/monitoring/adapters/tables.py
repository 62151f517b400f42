# SPDX-License-Identifier: Apache-2.0
"""FileTables: CSV read here, Parquet by the child process; of the project's folder and what the gateway keeps only."""

from __future__ import annotations

import asyncio
import csv
import itertools
import math
from collections import deque
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlops.chassis.errors import RejectedError
from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.model.bins import Value
from mlops.monitoring.ports import Table

_MOST_BYTES = 256 * 1024 * 1024
_MOST_ROWS = 20_000
_TIMEOUT = timedelta(seconds=60)
_WORDS: dict[str, Value] = {"": None, "true": True, "false": False, "nan": None, "null": None}


class FileTables:
    """Files of rows on this machine."""

    def __init__(self, sidecar: Sidecar, brought: Path | None = None) -> None:
        self._sidecar = sidecar
        self._brought = brought

    async def read(self, uri: str, folder: str | None) -> Table:
        """Return the newest rows of a file of the project's *folder*, or of those that callers brought."""
        path = await asyncio.to_thread(_inside, uri, folder, self._brought)
        if path.suffix.lower() in (".parquet", ".pq"):
            found = await self._sidecar.call("columns", _TIMEOUT, path=str(path), newest=_MOST_ROWS)
            return Table(found["columns"], int(found["rows"]))
        if path.suffix.lower() == ".csv":
            return await asyncio.to_thread(_csv, path)
        raise RejectedError(f"{uri!r} is neither .csv nor .parquet; save the rows as one of them")


def _inside(uri: str, folder: str | None, brought: Path | None) -> Path:
    try:
        return _checked(uri, folder, brought)
    except (OSError, ValueError) as error:  # too long, a NUL in it, half an address
        raise RejectedError(
            f"{uri!r} is no file's name: {error}; name a file of the project's folder"
        ) from error


def _checked(uri: str, folder: str | None, brought: Path | None) -> Path:
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        raise RejectedError(
            f"{uri!r} is not a local file; copy it into the project's folder {folder}, or bring it with "
            "POST /api/v1/files"
        )
    told = Path(unquote(parts.path) if parts.scheme else uri)
    path = (told if folder is None else Path(folder) / told).resolve()
    if not _allowed(path, folder, brought):
        raise _outside(uri, folder)
    if not path.is_file():
        raise RejectedError(
            f"there is no file {str(path)!r}; a path is relative to the project's folder, "
            "and a file that was brought is kept for some weeks"
        )
    if path.stat().st_size > _MOST_BYTES:
        raise RejectedError(
            f"{str(path)!r} is larger than {_MOST_BYTES} bytes; keep its newest rows only"
        )
    return path


def _allowed(path: Path, folder: str | None, brought: Path | None) -> bool:
    roots = ([] if folder is None else [Path(folder)]) + ([] if brought is None else [brought])
    return any(path.is_relative_to(root.resolve()) for root in roots)


def _outside(uri: str, folder: str | None) -> RejectedError:
    if folder is None:
        return RejectedError(
            f"the project has no folder, so {uri!r} cannot be read; register it with its path, "
            "or bring the file with POST /api/v1/files"
        )
    return RejectedError(
        f"{uri!r} is outside the project's folder {folder}; copy it there, or bring it with "
        "POST /api/v1/files"
    )


def _csv(path: Path) -> Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a mark first
            rows = csv.reader(file)
            names = next(rows, [])
            count = itertools.count()
            numbered = ((next(count), rows.line_num, row) for row in rows if row)
            placed = deque(numbered, maxlen=_MOST_ROWS)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RejectedError(f"{str(path)!r} cannot be read as CSV: {error}") from error
    for _, line, row in placed:
        if len(row) != len(names):
            raise RejectedError(
                f"{str(path)!r}: line {line} has {len(row)} fields, the header has {len(names)}"
            )
    columns = {name: [_value(row[i]) for *_, row in placed] for i, name in enumerate(names)}
    return Table(columns, next(count))


def _value(text: str) -> Value:
    stripped = text.strip()
    if stripped.lower() in _WORDS:
        return _WORDS[stripped.lower()]
    try:
        number = float(stripped)
    except ValueError:
        return stripped
    return number if math.isfinite(number) else None
