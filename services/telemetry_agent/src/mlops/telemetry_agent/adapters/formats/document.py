# SPDX-License-Identifier: Apache-2.0
"""Document: what one sample of a recording says; FormatError: bytes that are not of a format, and where and why."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops.telemetry_agent.model.reading import Partial

LIMIT_BYTES = 64 * 2**20
# A text of digits longer than this is no number of a machine, and slow to read.
_LONGEST_NUMBER = 40
_TOO_LARGE = 2**64


@dataclass(frozen=True)
class Document:
    """One sample: its values, the end of its window where it says so, and the window's length in seconds."""

    partial: Partial
    at: datetime | None = None
    window_s: float | None = None


class FormatError(Exception):
    """Bytes that are not what the format needs; *offset* counts bytes, *line* counts from 1."""

    def __init__(
        self, name: str, reason: str, *, offset: int | None = None, line: int | None = None
    ) -> None:
        place = f" (line {line})" if line else f" (byte {offset})" if offset is not None else ""
        super().__init__(f"{name}: {reason}{place}")
        self.format = name
        self.reason = reason
        self.offset = offset
        self.line = line


def text_of(raw: bytes) -> str:
    """Return bytes as text: UTF-8, what is not becomes U+FFFD; every line end is a line feed afterwards."""
    text = raw.decode("utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def json_of(raw: bytes | str, name: str) -> Any:
    """Return what a piece of JSON holds; raises FormatError, for nesting without end as well."""
    try:
        return json.loads(raw)
    except RecursionError as error:
        raise FormatError(name, "the JSON is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise FormatError(name, f"no JSON: {error.msg}", line=error.lineno) from error
    except ValueError as error:  # not UTF-8, or an integer of thousands of digits
        raise FormatError(name, f"no JSON: {error}"[:200]) from error


def number(value: object) -> float | None:
    """Return a finite number, also from a text such as `36.0`; None for what is none, and for true and false."""
    if isinstance(value, str):
        if len(value) > _LONGEST_NUMBER:
            return None
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def whole(value: object) -> int | None:
    """Return a whole number, or None; one of 64 bits keeps all of them."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < _TOO_LARGE else None
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER and value.strip().isdecimal():
        return whole(int(value))
    found = number(value)
    return None if found is None or abs(found) >= _TOO_LARGE else int(found)


def word(value: object) -> str | None:
    """Return a non-empty text of printable characters, or None."""
    if not isinstance(value, str):
        return None
    kept = "".join(char for char in value if char.isprintable()).strip()
    return kept[:128] or None


def mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping with texts as keys; an empty one for anything else."""
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if isinstance(key, str)}


def items(value: object) -> list[Mapping[str, Any]]:
    """Return the mappings of a list; none for anything else."""
    return [mapping(item) for item in value] if isinstance(value, list) else []
