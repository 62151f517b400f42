# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.telemetry_agent record FILE SECONDS`: a capture of every probe that works here.

It needs no bus and no installation. Each second one line of JSON on standard output says how far it is, the last one
what each probe gave; the file is a recording that the agent replays. Serial numbers, ids and names are taken out.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mlops.telemetry_agent.adapters.machine import probes_here
from mlops.telemetry_agent.adapters.recordings import Recording, RecordingProbe
from mlops.telemetry_agent.adapters.watched import Chosen, WatchedProbe
from mlops.telemetry_agent.model.reading import LEVEL, Reading, compose

_EVERY_S = 1.0
_SHOWN = (
    LEVEL,
    "thermal.cpu_temp_c",
    "power.package_w",
    "power.cpu_w",
    "power.gpu_w",
    "cpu_busy_ratio",
)

Tell = Callable[[dict[str, object]], None]


def record(
    chosen: Sequence[Chosen],
    recording: Recording,
    seconds: float,
    tell: Tell,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Read every probe once a second, or as often as it is worth, and tell how far it is."""
    probes = [
        WatchedProbe(RecordingProbe(one.probe, recording), every_s=one.every_s, gives=one.gives)
        for one in chosen
    ]
    began_s, fields = monotonic(), dict[str, str]()
    try:
        while (at_s := monotonic()) - began_s < seconds:
            reading = compose([probe.read(at_s) for probe in probes])
            fields |= reading.provenance
            tell(_progress(reading, at_s - began_s, recording))
            sleep(max(0.0, _EVERY_S - (monotonic() - at_s)))
    finally:
        for probe in probes:
            probe.close()
    tell({"done": True, "lines": dict(recording.lines), "fields": _by_probe(fields)})


def main(arguments: Sequence[str]) -> int:
    """Record what the arguments say; return the exit code."""
    try:
        file, seconds = Path(arguments[0]), float(arguments[1])
    except (IndexError, ValueError):
        sys.stderr.write("record takes a FILE and a number of SECONDS\n")
        return 2
    recording = Recording(file)
    try:
        record(probes_here(lambda: True, None, lambda _: None), recording, seconds, _say)
    except KeyboardInterrupt:
        _say({"done": True, "lines": dict(recording.lines), "fields": {}})
    return 0


def _progress(reading: Reading, seconds: float, recording: Recording) -> dict[str, object]:
    shown = {name: reading.values[name] for name in _SHOWN if name in reading.values}
    return {"seconds": round(seconds, 1), "lines": sum(recording.lines.values()), "values": shown}


def _by_probe(fields: dict[str, str]) -> dict[str, list[str]]:
    return {
        probe: sorted(name for name, by in fields.items() if by == probe)
        for probe in sorted(set(fields.values()))
    }


def _say(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()
