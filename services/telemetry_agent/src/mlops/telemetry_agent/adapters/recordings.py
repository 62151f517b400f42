# SPDX-License-Identifier: Apache-2.0
"""Recordings: JSON lines `{t_mono, probe, kind, bytes_b64 | value}`; raw bytes where there is a parser, else values.

RecordingProbe writes one while it reads; ReplayProbe plays one back through the same parsers. Serial numbers, ids and
the names of the user and the host are taken out before anything is written.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from mlops.telemetry_agent.adapters.amdgpu import AMDGPU, parse_amdgpu
from mlops.telemetry_agent.adapters.darwin_probes import PARSES
from mlops.telemetry_agent.adapters.formats import rocm_smi
from mlops.telemetry_agent.adapters.formats.document import FormatError
from mlops.telemetry_agent.adapters.linux_clocks import CLOCKS, parse_clocks
from mlops.telemetry_agent.adapters.linux_hwmon import HWMON, parse_hwmon
from mlops.telemetry_agent.adapters.linux_limits import LIMITS, LimitsParser
from mlops.telemetry_agent.adapters.linux_text import (
    HEAT,
    POWER,
    PRESSURE,
    HeatParser,
    PowerParser,
    PressureParser,
)
from mlops.telemetry_agent.adapters.machine import ROCM
from mlops.telemetry_agent.adapters.parsed import ParsedProbe, Parser, newest_of
from mlops.telemetry_agent.adapters.scrubbing import scrubber_of_this_machine
from mlops.telemetry_agent.model.reading import (
    FAILED,
    LEVEL,
    STALE,
    ClusterReading,
    FanReading,
    GpuReading,
    Partial,
    compose,
)
from mlops.telemetry_agent.ports import TelemetryProbe

PARSERS: dict[str, Callable[[], Parser]] = {
    HEAT: HeatParser,
    POWER: PowerParser,
    PRESSURE: PressureParser,
    LIMITS: LimitsParser,
    CLOCKS: lambda: parse_clocks,
    HWMON: lambda: parse_hwmon,
    AMDGPU: lambda: parse_amdgpu,
    ROCM: lambda: newest_of(ROCM, rocm_smi.parse),
    **{name: partial(newest_of, name, parse) for name, parse in PARSES.items()},
}


class Recording:
    """A file to which several probes append, each from its own thread; a line is written whole."""

    def __init__(self, file: Path, scrub: Callable[[bytes], bytes] | None = None) -> None:
        self._file = file
        self._scrub = scrub or scrubber_of_this_machine()
        self._turn = threading.Lock()
        self.lines: dict[str, int] = {}

    def add(self, at_s: float, probe: str, raw: bytes | None, seen: Partial) -> None:
        """Append what a probe saw: its raw bytes, or its values where it has none."""
        line: dict[str, Any] = {"t_mono": round(at_s, 3), "probe": probe}
        if raw is None:
            said = json.dumps({"kind": "value", "value": asdict(seen)}).encode()
            line |= json.loads(self._scrub(said))
        else:
            encoded = base64.b64encode(self._scrub(raw)).decode()
            line |= {"kind": "bytes", "bytes_b64": encoded}
        with self._turn:
            self.lines[probe] = self.lines.get(probe, 0) + 1
            with self._file.open("a") as recording:
                recording.write(json.dumps(line) + "\n")


class RecordingProbe:
    """Read through another probe and write down what it saw."""

    def __init__(self, probe: TelemetryProbe, recording: Recording) -> None:
        self.name = probe.name
        self._probe = probe
        self._recording = recording

    def read(self, at_s: float) -> Partial:
        """Look once, and append a line."""
        seen = self._probe.read(at_s)
        raw = self._probe.raw if isinstance(self._probe, ParsedProbe) else None
        self._recording.add(at_s, self.name, raw, seen)
        return seen

    def close(self) -> None:
        """Close the other probe."""
        self._probe.close()


class ReplayProbe:
    """Play a recording at its own pace; after its end everything is stale."""

    name = "replay"

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = deque(
            _line(number, text) for number, text in enumerate(lines, 1) if text.strip()
        )
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
        fresh: dict[str, Partial] = {}
        while self._lines and float(self._lines[0]["t_mono"]) <= now_s:
            line = self._lines.popleft()
            probe = str(line["probe"])
            fresh[probe] = _after(fresh.get(probe), self._partial(line))
        held = {name: seen for name, seen in self._latest.items() if name not in fresh}
        # In the order in which the probes were first seen: it is that of their priority.
        names = [*self._latest, *(name for name in fresh if name not in self._latest)]
        merged = compose([fresh.get(name) or held[name] for name in names])
        self._latest = {name: _spent(fresh.get(name) or held[name]) for name in names}
        return Partial(
            self.name, merged.values, merged.missing, merged.gpus, merged.clusters, merged.fans
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _partial(self, line: Mapping[str, Any]) -> Partial:
        probe = str(line["probe"])
        try:
            if line["kind"] == "value":
                return _partial_of(probe, line["value"])
            raw = base64.b64decode(line["bytes_b64"])
            return self._parsers[probe](raw, float(line["t_mono"]))
        except (ValueError, KeyError, TypeError, AttributeError, FormatError):
            return Partial(probe, missing={LEVEL: FAILED})


def _after(before: Partial | None, now: Partial) -> Partial:
    """Return the newer of two partials of one look; what adds up is the sum of both."""
    if before is None:
        return now
    sums = {
        name: value + before.values[name]  # type: ignore[operator]  # both are numbers
        for name, value in now.values.items()
        if name.endswith(("_j", "_delta")) and name in before.values
    }
    return replace(now, values={**now.values, **sums})


def _spent(seen: Partial) -> Partial:
    told = {name: 0 for name in seen.values if name.endswith(("_j", "_delta"))}
    return replace(seen, values={**seen.values, **told})


def _partial_of(probe: str, value: Mapping[str, Any]) -> Partial:
    gpus = [
        {**gpu, "event_reasons": tuple(gpu.get("event_reasons", ()))}
        for gpu in value.get("gpus", ())
    ]
    return Partial(
        probe,
        value.get("values", {}),
        value.get("missing", {}),
        tuple(GpuReading(**gpu) for gpu in gpus),
        tuple(ClusterReading(**cluster) for cluster in value.get("clusters", ())),
        tuple(FanReading(**fan) for fan in value.get("fans", ())),
    )


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
