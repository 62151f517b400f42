# SPDX-License-Identifier: Apache-2.0
"""Any recording as a probe: one of ours at the pace in which it was read, another tool's document by document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlops.telemetry_agent.adapters.formats.document import Document
from mlops.telemetry_agent.adapters.formats.gzipped import unpacked
from mlops.telemetry_agent.adapters.parsing import recognise, recording
from mlops.telemetry_agent.adapters.recordings import ReplayProbe
from mlops.telemetry_agent.model.reading import LEVEL, STALE, Partial, Value
from mlops.telemetry_agent.ports import TelemetryProbe

_USUAL_S = 1.0
_ADDS_UP = ("_j", "_delta")


def open_recording(file: Path) -> TelemetryProbe:
    """Return a probe that plays the file; raises FormatError for what is no recording, ValueError for half of one."""
    raw = unpacked(file.read_bytes())
    found, documents = recognise.parse(raw, file.name)
    if found.name == recording.NAME:
        return ReplayProbe(raw.decode(errors="replace").splitlines())
    return DocumentsProbe(documents)


class DocumentsProbe:
    """Each document at its own time: its `at` where all have one, else after its window; then everything is stale."""

    name = "replay"

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents
        self._times_s = _times_of(documents)
        self._next = 0
        self._latest: Partial | None = None
        self._began_s: float | None = None

    def read(self, at_s: float) -> Partial:
        """Return the newest document up to now; joules and events of all since the last look."""
        self._began_s = at_s if self._began_s is None else self._began_s
        now_s = at_s - self._began_s
        if self._next >= len(self._documents):
            return Partial(self.name, missing={LEVEL: STALE})
        sums: dict[str, float] = {}
        while self._next < len(self._documents) and self._times_s[self._next] <= now_s:
            self._latest = self._documents[self._next].partial
            for name, value in self._latest.values.items():
                if name.endswith(_ADDS_UP):
                    sums[name] = sums.get(name, 0) + float(value)
            self._next += 1
        if self._latest is None:
            return Partial(self.name, missing={LEVEL: STALE})
        told: dict[str, Value] = {
            name: sums.get(name, 0.0) for name in self._latest.values if name.endswith(_ADDS_UP)
        }
        return replace(self._latest, probe=self.name, values={**self._latest.values, **told})

    def close(self) -> None:
        """Nothing is held open."""


def _times_of(documents: Sequence[Document]) -> list[float]:
    """Return when each document is due, in seconds after the first."""
    known = [document.at for document in documents if document.at is not None]
    if len(known) == len(documents) and known == sorted(known):
        return [(at - known[0]).total_seconds() for at in known]
    times, at_s = [], 0.0
    for place, document in enumerate(documents):
        at_s += (document.window_s or _USUAL_S) if place else 0.0
        times.append(at_s)
    return times
