# SPDX-License-Identifier: Apache-2.0
"""FileTables: CSV read here, Parquet by the child process; of the project's folder and what the gateway keeps only."""

from __future__ import annotations

import asyncio
import csv
import math
from collections import Counter, deque
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlops.chassis.errors import RejectedError
from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.model.bins import Value
from mlops.monitoring.ports import Table

_MOST_BYTES = 256 * 1024 * 1024
_MOST_ROWS = 20_000
_MOST_HELD = (
    64 * 1024 * 1024
)  # characters; a few hundred megabytes of memory while a table is judged
_CELL = 16  # what even an empty field takes
_SHOWN = 64
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
            names = _names(path, next(rows, []))
            held, count = _newest((rows.line_num, row) for row in rows if row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RejectedError(f"{str(path)!r} cannot be read as CSV: {error}") from error
    for line, row in held:
        if len(row) != len(names):
            raise RejectedError(
                f"{str(path)!r}: line {line} has {len(row)} fields, the header has {len(names)}"
            )
    columns = {name: [_value(row[i]) for _, row in held] for i, name in enumerate(names)}
    return Table(columns, count)


def _names(path: Path, names: list[str]) -> list[str]:
    twice = sorted({name[:_SHOWN] for name, times in Counter(names).items() if times > 1})
    if twice:
        raise RejectedError(f"{str(path)!r} names columns twice: {', '.join(twice[:5])}")
    return names


def _newest(rows: Iterable[tuple[int, list[str]]]) -> tuple[list[tuple[int, list[str]]], int]:
    """Return the last rows, as many as are looked at and fit into memory, and how many there were."""
    held: deque[tuple[int, int, list[str]]] = deque()
    size = count = 0
    for line, row in rows:
        count += 1
        takes = sum(map(len, row)) + _CELL * len(row)
        held.append((takes, line, row))
        size += takes
        while len(held) > 1 and (len(held) > _MOST_ROWS or size > _MOST_HELD):
            size -= held.popleft()[0]
    return [(line, row) for _, line, row in held], count


def _value(text: str) -> Value:
    stripped = text.strip()
    if stripped.lower() in _WORDS:
        return _WORDS[stripped.lower()]
    try:
        number = float(stripped)
    except ValueError:
        return stripped
    return number if math.isfinite(number) else None
