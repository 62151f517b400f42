# SPDX-License-Identifier: Apache-2.0
"""ParsedProbe: a thin reader of raw bytes and a pure parser; recordings hold the bytes, so replay runs the parser."""

from __future__ import annotations

from collections.abc import Callable

from mlops.telemetry_agent.model.reading import FAILED, LEVEL, Partial

Reader = Callable[[], bytes]
Parser = Callable[[bytes, float], Partial]


class ParsedProbe:
    """Read, then parse; what the parser does not expect is missing, with a reason."""

    def __init__(self, name: str, reader: Reader, parser: Parser) -> None:
        self.name = name
        self.raw = b""
        self._reader = reader
        self._parser = parser

    def read(self, at_s: float) -> Partial:
        """Look once."""
        try:
            self.raw = self._reader()
            return self._parser(self.raw, at_s)
        except (OSError, ValueError, KeyError):
            return Partial(self.name, missing={LEVEL: FAILED})

    def close(self) -> None:
        """Nothing is held open."""
