# SPDX-License-Identifier: Apache-2.0
"""Property lists: a stream cut into documents wherever it was split, and one document read without entities.

`powermetrics -f plist` separates its documents by NUL; a document is complete at `</plist>`, so that a sample is known when
it was written and not when the next one comes.
"""

from __future__ import annotations

import plistlib
from typing import Any
from xml.parsers.expat import ExpatError

from mlops.telemetry_agent.adapters.formats.document import FormatError

MOST_BYTES = 2 * 2**20

_END, _NUL = b"</plist>", b"\0"


class Splitter:
    """Bytes in, whole documents out; the incomplete tail is kept, and a document over the cap is dropped and counted."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.dropped = 0
        self._most = most_bytes
        self._tail = bytearray()
        self._looked = 0
        self._skipping = False

    @property
    def tail(self) -> bytes:
        """Return what is there of a document that is not complete yet."""
        return bytes(self._tail)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the documents that these bytes complete; a document that a NUL cut short comes as it is."""
        self._tail += chunk
        found: list[bytes] = []
        while (end := self._next_end()) is not None:
            document = bytes(self._tail[:end]).strip(b"\0 \t\r\n")
            del self._tail[:end]
            self._looked = 0
            if self._skipping or len(document) > self._most:
                self.dropped += not self._skipping
            elif document:
                found.append(document)
            self._skipping = False
        if len(self._tail) > self._most:
            self.dropped += not self._skipping
            self._skipping = True
            del self._tail[: -len(_END)]
            self._looked = 0
        return found

    def _next_end(self) -> int | None:
        start = max(0, self._looked - len(_END))
        end, nul = self._tail.find(_END, start), self._tail.find(_NUL, start)
        if nul >= 0 and (end < 0 or nul < end):
            return nul + 1
        if end < 0:
            self._looked = len(self._tail)
            return None
        return end + len(_END)


def documents(raw: bytes, name: str) -> list[bytes]:
    """Return the documents of a whole stream; a last one that is cut short after others is left out.

    Raises FormatError for a document that is too large, and where no document is whole.
    """
    splitter = Splitter()
    found = splitter.feed(raw)
    tail = splitter.tail.strip(b"\0 \t\r\n")
    if splitter.dropped:
        raise FormatError(name, f"a document is larger than {MOST_BYTES} bytes")
    if tail and not found:
        raise FormatError(
            name, "the document is cut short: it has no </plist>", offset=len(raw) - len(tail)
        )
    if not found:
        raise FormatError(name, "there is no document in it")
    return found


def load(document: bytes, name: str) -> Any:
    """Return what a document holds; raises FormatError for what is no XML property list, and for any entity."""
    try:
        return plistlib.loads(document, fmt=plistlib.FMT_XML)
    except ExpatError as error:
        raise FormatError(name, f"no XML: {error}") from error
    except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
        reason = "it declares an entity" if "entity" in str(error) else f"no property list: {error}"
        raise FormatError(name, reason[:200]) from error
