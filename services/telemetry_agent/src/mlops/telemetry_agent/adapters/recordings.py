# SPDX-License-Identifier: Apache-2.0
"""Recordings: JSON lines `{t_mono, probe, kind, bytes_b64 | value}`; raw bytes where there is a parser, else values.

RecordingProbe writes one while it reads; ReplayProbe plays one back through the same parsers.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlops.telemetry_agent.adapters.linux_text import (
    HEAT,
    POWER,
    PRESSURE,
    HeatParser,
    PowerParser,
    parse_pressure,
)
from mlops.telemetry_agent.adapters.parsed import ParsedProbe, Parser
from mlops.telemetry_agent.model.reading import LEVEL, STALE, GpuReading, Partial, compose
from mlops.telemetry_agent.ports import TelemetryProbe

PARSERS: Mapping[str, Callable[[], Parser]] = {
    HEAT: HeatParser,
    POWER: PowerParser,
    PRESSURE: lambda: parse_pressure,
}


class RecordingProbe:
    """Read through another probe and write down what it saw."""

    def __init__(self, probe: TelemetryProbe, file: Path) -> None:
        self.name = probe.name
        self._probe = probe
        self._file = file

    def read(self, at_s: float) -> Partial:
        """Look once, and append a line."""
        partial = self._probe.read(at_s)
        line: dict[str, Any] = {"t_mono": round(at_s, 3), "probe": self.name}
        if isinstance(self._probe, ParsedProbe):
            raw = base64.b64encode(self._probe.raw).decode()
            line |= {"kind": "files", "bytes_b64": raw}
        else:
            line |= {"kind": "value", "value": asdict(partial)}
        with self._file.open("a") as recording:
            recording.write(json.dumps(line) + "\n")
        return partial

    def close(self) -> None:
        """Close the other probe."""
        self._probe.close()


class ReplayProbe:
    """Play a recording at its own pace; after its end everything is stale."""

    name = "replay"

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = [_line(number, text) for number, text in enumerate(lines, 1) if text.strip()]
        self._first_s = float(self._lines[0]["t_mono"]) if self._lines else 0.0
        self._parsers = {name: make() for name, make in PARSERS.items()}
        self._latest: dict[str, Partial] = {}
        self._began_s: float | None = None

    def read(self, at_s: float) -> Partial:
        """Return what stands in the recording up to now, the latest of each probe."""
        self._began_s = at_s if self._began_s is None else self._began_s
        if not self._lines:
            return Partial(self.name, missing={LEVEL: STALE})
        now_s = at_s - self._began_s + self._first_s
        while self._lines and float(self._lines[0]["t_mono"]) <= now_s:
            line = self._lines.pop(0)
            self._latest[str(line["probe"])] = self._partial(line)
        merged = compose(list(self._latest.values()))
        return Partial(self.name, merged.values, merged.missing, merged.gpus)

    def close(self) -> None:
        """Nothing is held open."""

    def _partial(self, line: Mapping[str, Any]) -> Partial:
        probe = str(line["probe"])
        if line["kind"] == "value":
            value = line["value"]
            gpus = tuple(
                GpuReading(**{**gpu, "event_reasons": tuple(gpu.get("event_reasons", ()))})
                for gpu in value.get("gpus", ())
            )
            return Partial(probe, value.get("values", {}), value.get("missing", {}), gpus)
        raw = base64.b64decode(line["bytes_b64"])
        return self._parsers[probe](raw, float(line["t_mono"]))


def _line(number: int, text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
        float(line["t_mono"])
        known = line["kind"] == "value" or line["probe"] in PARSERS
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"line {number} of the recording is not one: {error!r}") from error
    if not known:
        raise ValueError(f"line {number} of the recording: no parser for probe {line['probe']!r}")
    return dict(line)
