# SPDX-License-Identifier: Apache-2.0
"""ParsedProbe: a thin reader of raw bytes and a pure parser; recordings hold the bytes, so replay runs the parser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from mlops.telemetry_agent.adapters.formats.document import Document, FormatError
from mlops.telemetry_agent.model.reading import DENIED, FAILED, LEVEL, Partial, Value

Reader = Callable[[], bytes]
Parser = Callable[[bytes, float], Partial]


class ParsedProbe:
    """Read, then parse; what the parser does not expect is missing, with a reason."""

    def __init__(
        self, name: str, reader: Reader, parser: Parser, gives: Iterable[str] = (LEVEL,)
    ) -> None:
        self.name = name
        self.raw = b""
        self._gives = tuple(gives)
        self._reader = reader
        self._parser = parser

    def read(self, at_s: float) -> Partial:
        """Look once."""
        try:
            self.raw = self._reader()
            return self._parser(self.raw, at_s)
        except PermissionError:
            return self._without(DENIED)
        except (OSError, ValueError, KeyError, FormatError):
            return self._without(FAILED)

    def close(self) -> None:
        """Let go of what the reader holds open."""
        close = getattr(self._reader, "close", None)
        if close is not None:
            close()

    def _without(self, reason: str) -> Partial:
        return Partial(self.name, missing=dict.fromkeys(self._gives, reason))


def newest_of(name: str, parse: Callable[[bytes], list[Document]]) -> Parser:
    """Return a parser that takes the newest of a format's documents, and the joules of all of them."""

    def newest(raw: bytes, at_s: float) -> Partial:  # noqa: ARG001 - the documents know their time
        documents = parse(raw)
        if not documents:
            return Partial(name)
        last = documents[-1].partial
        values = dict(last.values)
        values |= {field: _sum_of(documents, field) for field in values if field.endswith("_j")}
        return replace(last, probe=name, values=values)

    return newest


def _sum_of(documents: Sequence[Document], field: str) -> Value:
    return sum(float(document.partial.values.get(field, 0.0)) for document in documents)
