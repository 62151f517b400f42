# SPDX-License-Identifier: Apache-2.0
"""A record is one line with a checksum: `<crc32> <kind> <run> <entries> <body>`; a damaged line is known as such.

The bodies of metrics, params and tags are the JSON objects of MLflow's log-batch, joined by commas, so that a request
is put together without reading them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

METRICS = b"m"
PARAMS = b"p"
TAGS = b"t"
START = b"s"
JOIN = b"j"
ARTIFACT = b"a"
MODEL = b"o"
END = b"e"
BATCHED = (METRICS, PARAMS, TAGS)

MOST_ENTRIES = {METRICS: 1000, PARAMS: 100, TAGS: 100}
# Eight digits, a blank, and at least one byte each of kind, run and count.
_SHORTEST = 15
_MOST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """One line, read."""

    kind: bytes
    ref: str
    entries: int
    body: bytes

    def content(self) -> dict[str, Any]:
        """Return the body of a record that is one object."""
        found: dict[str, Any] = json.loads(self.body)
        return found


def encode(kind: bytes, ref: bytes, entries: int, body: bytes) -> bytes:
    """Return the line of a record; *body* holds no line break."""
    rest = b"%b %b %d %b" % (kind, ref, entries, body)
    return b"%08x %b\n" % (crc32(rest), rest)


def encode_object(kind: bytes, ref: str, content: Mapping[str, Any]) -> bytes:
    """Return the line of a record with one object."""
    return encode(kind, ref.encode(), 1, dumps(content))


def encode_many(kind: bytes, ref: bytes, fragments: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield lines and the entries of each, none larger than one request may be."""
    most, room = MOST_ENTRIES[kind], _MOST_BYTES
    part: list[bytes] = []
    for fragment in fragments:
        if part and (len(part) == most or room < len(fragment)):
            yield encode(kind, ref, len(part), b",".join(part)), len(part)
            part, room = [], _MOST_BYTES
        part.append(fragment)
        room -= len(fragment) + 1
    if part:
        yield encode(kind, ref, len(part), b",".join(part)), len(part)


def decode(line: bytes) -> Record | None:
    """Return the record of a line without its line break, None when it is damaged."""
    if len(line) < _SHORTEST or line[8:9] != b" ":
        return None
    rest = line[9:]
    try:
        if int(line[:8], 16) != crc32(rest):
            return None
        kind, ref, entries, body = rest.split(b" ", 3)
        return Record(kind, ref.decode(), int(entries), body)
    except ValueError:
        return None


def dumps(content: Any) -> bytes:
    """Return JSON in one line of ASCII."""
    return json.dumps(content, separators=(",", ":")).encode()


def pair(key: str, value: str) -> bytes:
    """Return a param or a tag as log-batch wants it."""
    return dumps({"key": key, "value": value})


def entries_of(body: bytes) -> list[bytes]:
    """Return the single objects of a body."""
    return [dumps(entry) for entry in json.loads(b"[%b]" % body)]
