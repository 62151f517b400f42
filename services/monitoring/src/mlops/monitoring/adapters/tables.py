# SPDX-License-Identifier: Apache-2.0
"""FileTables: CSV read here, Parquet read by the child process that has pandas; only inside the project's folder."""

from __future__ import annotations

import asyncio
import csv
import math
from collections import deque
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlops.chassis.errors import RejectedError
from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.model.bins import Value
from mlops.monitoring.ports import Columns

_MOST_BYTES = 256 * 1024 * 1024
_MOST_ROWS = 20_000
_TIMEOUT = timedelta(seconds=60)
_WORDS: dict[str, Value] = {"": None, "true": True, "false": False, "nan": None, "null": None}


class FileTables:
    """Files of rows on this machine."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar

    async def read(self, uri: str, folder: str) -> Columns:
        """Return the columns of a CSV or Parquet file inside the project's *folder*; of its newest rows."""
        path = await asyncio.to_thread(_inside, uri, folder)
        if path.suffix.lower() in (".parquet", ".pq"):
            found: Columns = await self._sidecar.call(
                "columns", _TIMEOUT, path=str(path), newest=_MOST_ROWS
            )
            return found
        if path.suffix.lower() == ".csv":
            return await asyncio.to_thread(_csv, path)
        raise RejectedError(f"{uri!r} is neither .csv nor .parquet; save the rows as one of them")


def _inside(uri: str, folder: str) -> Path:
    try:
        return _checked(uri, folder)
    except (OSError, ValueError) as error:  # too long, a NUL in it, half an address
        raise RejectedError(
            f"{uri!r} is no file's name: {error}; name a file of the project's folder"
        ) from error


def _checked(uri: str, folder: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        raise RejectedError(
            f"{uri!r} is not a local file; copy it into the project's folder {folder}"
        )
    root = Path(folder).resolve()
    path = (root / (unquote(parts.path) if parts.scheme else uri)).resolve()
    if not path.is_relative_to(root):
        raise RejectedError(f"{uri!r} is outside the project's folder {folder}; copy it there")
    if not path.is_file():
        raise RejectedError(
            f"there is no file {str(path)!r}; a path is relative to the project's folder"
        )
    if path.stat().st_size > _MOST_BYTES:
        raise RejectedError(
            f"{str(path)!r} is larger than {_MOST_BYTES} bytes; keep its newest rows only"
        )
    return path


def _csv(path: Path) -> Columns:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a mark first
            rows = csv.reader(file)
            names = next(rows, [])
            placed = deque(((rows.line_num, row) for row in rows if row), maxlen=_MOST_ROWS)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RejectedError(f"{str(path)!r} cannot be read as CSV: {error}") from error
    for line, row in placed:
        if len(row) != len(names):
            raise RejectedError(
                f"{str(path)!r}: line {line} has {len(row)} fields, the header has {len(names)}"
            )
    return {name: [_value(row[i]) for _, row in placed] for i, name in enumerate(names)}


def _value(text: str) -> Value:
    stripped = text.strip()
    if stripped.lower() in _WORDS:
        return _WORDS[stripped.lower()]
    try:
        number = float(stripped)
    except ValueError:
        return stripped
    return number if math.isfinite(number) else None
