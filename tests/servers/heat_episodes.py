# SPDX-License-Identifier: Apache-2.0
"""Recordings of heat for the replay probe: one made here in the agent's own format, one from what was seen on a laptop."""

from __future__ import annotations

import base64
import csv
import json
import os
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

NOMINAL, MODERATE, HEAVY = 0, 1, 2
# Seconds at a pressure. Two episodes come first: from them it is known how long such heat lasts. The scheduler keeps a
# sample that tells no other level every ten seconds: a shorter episode would teach it nothing.
THREE_EPISODES = (
    (4, NOMINAL),
    (2, MODERATE),
    (24, HEAVY),
    (14, NOMINAL),
    (24, HEAVY),
    (18, NOMINAL),
    (2, MODERATE),
    (40, HEAVY),
    (240, NOMINAL),
)
_EVERY_S = 0.5
_FIRST_S = 1000.0
_ROOT = Path(__file__).parents[2]
_SOURCE, _TEMPLATE = (
    "m4air-thermal-vs-throughput-2026-09-16.csv",
    "powermetrics-thermal-m4air-macos26.txt",
)
_PRESSURES = {"Nominal": NOMINAL, "Mod": MODERATE, "Heavy": HEAVY}
_COUNTED = re.compile(r"(Nominal|Mod|Heavy)(?: x)?(\d+)")
_NAMES = ("Nominal", "Moderate", "Heavy")
# Of so many samples one is played, so that a test does not last as long as the laptop was hot.
_ONE_OF = 6


def self_made(file: Path, stretches: Iterable[tuple[int, int]] = THREE_EPISODES) -> Path:
    """Write raw answers of `notifyutil`, two a second, as `mlops telemetry record` writes them."""
    at_s, lines = _FIRST_S, []
    for seconds, level in stretches:
        for _ in range(int(seconds / _EVERY_S)):
            raw = f"com.apple.system.thermalpressurelevel {level}\n".encode()
            line = {
                "t_mono": at_s,
                "probe": "darwin_notify",
                "kind": "bytes",
                "bytes_b64": base64.b64encode(raw).decode(),
            }
            lines.append(json.dumps(line))
            at_s += _EVERY_S
    file.write_text("\n".join(lines) + "\n")
    return file


def captured(file: Path) -> Path:
    """Write a session in which a fanless laptop got hot, as the powermetrics text that told it; one sample in six.

    Skips where there are no captures. The recording ends hot; rest is added to it.
    """
    folder = Path(os.environ.get("MLOPS_CAPTURES") or _ROOT / ".." / "shared" / "captures")
    source, template = folder / "transcribed" / _SOURCE, folder / "transcribed" / _TEMPLATE
    if not (source.is_file() and template.is_file()):
        pytest.skip(f"no captures of a heat episode at {folder}; set MLOPS_CAPTURES to replay one")
    pressures = [*_published(source), *[NOMINAL] * 60]
    file.write_text("".join(_documents(template.read_text(), pressures)))
    return file


def _published(source: Path) -> list[int]:
    """Return the pressures of the first session that got hot, in the order in which it must have gone through them."""
    lines = [line for line in source.read_text().splitlines() if not line.startswith("#")]
    found: list[int] = []
    for row in csv.DictReader(lines):
        if row["source"] == "powermetrics_0908":
            block = [
                (_PRESSURES[name], int(count))
                for name, count in _COUNTED.findall(row["pressure_note"])
            ]
            for level, count in sorted(block):
                found += [level] * (count // _ONE_OF)
    return found


def _documents(template: str, pressures: Sequence[int]) -> Iterable[str]:
    at = datetime.fromisoformat("2026-07-16T19:35:57+05:30")
    for level in pressures:
        stamp = at.strftime("%a %b %d %H:%M:%S %Y %z")
        dated = re.sub(r"activity \(.*?\)", f"activity ({stamp})", template)
        yield re.sub(r"pressure level: \w+", f"pressure level: {_NAMES[level]}", dated)
        at += timedelta(seconds=1)
