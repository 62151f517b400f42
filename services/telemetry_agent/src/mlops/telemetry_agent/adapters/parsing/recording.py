# SPDX-License-Identifier: Apache-2.0
"""Our own recordings (`mlops telemetry record`): JSON lines of `t_mono`, `probe` and raw bytes, through the probes' own parsers."""

from __future__ import annotations

import json
import math

from mlops.telemetry_agent.adapters.formats.document import Document, FormatError, text_of
from mlops.telemetry_agent.adapters.recordings import ReplayProbe

NAME = "recording"

# Times are rounded to the millisecond where they are written.
_ROUNDING_S = 1e-4


def parse(raw: bytes) -> list[Document]:
    """Return a document for each look at the machine; raises FormatError at the first line that is not one."""
    lines = text_of(raw).split("\n")
    try:
        replay = ReplayProbe(lines)
        times = sorted({float(json.loads(line)["t_mono"]) for line in lines if line.strip()})
        if not all(map(math.isfinite, times)):
            raise FormatError(NAME, "a time that is none")
        documents: list[Document] = []
        before: float | None = None
        for time_s in times:
            seen = replay.read(time_s + _ROUNDING_S if documents else time_s)
            documents.append(Document(seen, window_s=None if before is None else time_s - before))
            before = time_s
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise FormatError(NAME, str(error)[:300]) from error
    if not documents:
        raise FormatError(NAME, "there is no line in it")
    return documents


def looks(line: str) -> bool:
    """Say whether a line is one of a recording."""
    return '"t_mono"' in line and '"probe"' in line and '"kind"' in line
