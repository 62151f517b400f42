# SPDX-License-Identifier: Apache-2.0
"""Is this a table? Told by its name, its first bytes and its last: a CSV has a header, Parquet its mark at both ends."""

from __future__ import annotations

import csv
from enum import Enum

HEAD_BYTES = 64 * 1024
_MARK = b"PAR1"
_LEAST_PARQUET = 12
_BOM = b"\xef\xbb\xbf"


class Kind(Enum):
    """What a table can be; the value is the ending of its file."""

    CSV = ".csv"
    PARQUET = ".parquet"


def kind_of(name: str) -> Kind | None:
    """Return what a file of this name should be, None for anything else."""
    lower = name.lower()
    if lower.endswith(".csv"):
        return Kind.CSV
    return Kind.PARQUET if lower.endswith((".parquet", ".pq")) else None


def fault_at_start(kind: Kind, head: bytes) -> str | None:
    """Return what is wrong with a table that begins with *head* (up to `HEAD_BYTES`), None when nothing is."""
    if not head:
        return "it is empty"
    if kind is Kind.PARQUET:
        return None if head.startswith(_MARK) else "it does not begin with Parquet's mark PAR1"
    if head.startswith(_MARK):
        return "it is Parquet; name it .parquet"
    return _fault_of_header(head)


def fault_at_end(kind: Kind, tail: bytes, size: int) -> str | None:
    """Return what is wrong with a table of *size* bytes that ends with *tail*, None when nothing is."""
    if kind is Kind.PARQUET and (size < _LEAST_PARQUET or not tail.endswith(_MARK)):
        return "it does not end with Parquet's mark PAR1, so a part of it is missing"
    return None


def _fault_of_header(head: bytes) -> str | None:
    line, newline, _ = head.removeprefix(_BOM).partition(b"\n")
    if b"\0" in head:
        return "it holds bytes that no text has"
    if not newline and len(head) >= HEAD_BYTES:
        return f"its first line is longer than {HEAD_BYTES} bytes"
    try:
        names = next(csv.reader([line.decode().rstrip("\r")]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        return f"its first line is no text in UTF-8: {error}"
    if not any(name.strip() for name in names):
        return "its first line names no column"
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"its first line names columns twice: {', '.join(twice[:5])}" if twice else None
