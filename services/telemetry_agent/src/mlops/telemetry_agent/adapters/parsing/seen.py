# SPDX-License-Identifier: Apache-2.0
"""What the tests of formats look at: the bytes, their beginning as text, and the first object where they are JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops.telemetry_agent.adapters.formats.document import items, mapping, text_of

_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Seen:
    """What the tests look at: all bytes, the head as text, its first line, and the first object where it is JSON."""

    raw: bytes
    head: str
    first: str
    object: Mapping[str, Any]


def look(raw: bytes) -> Seen:
    """Return what the tests look at; JSON may be one object, a list, or an object a line."""
    head = text_of(raw[:_HEAD_BYTES])
    stripped = head.lstrip("\0 \t\n")
    found: object = None
    if stripped.startswith(("{", "[")):
        found = _json(text_of(raw).strip()) or _json(stripped.split("\n")[0])
    first = items(found)[:1] or [mapping(found)]
    return Seen(raw, stripped, stripped.split("\n")[0], first[0])


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def has(pattern: str) -> Callable[[Seen], bool]:
    """Return the test whether a pattern is in the beginning, `^` and `$` at each line."""
    found = re.compile(pattern, re.MULTILINE)
    return lambda seen: found.search(seen.head) is not None
