# SPDX-License-Identifier: Apache-2.0
"""Fans and the power of the whole machine from Linux's hwmon; what a rail feeds is not guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mlops.telemetry_agent.adapters.files import FileReader, parse_files, whole
from mlops.telemetry_agent.adapters.parsed import ParsedProbe
from mlops.telemetry_agent.model.reading import DENIED, UNSUPPORTED, FanReading, Partial, Value

HWMON = "linux_hwmon"
_FAN = re.compile(r"(sys/class/hwmon/hwmon\d+)/(fan\d+)_input")
_POWER = re.compile(r"(sys/class/hwmon/hwmon\d+)/(power\d+)_(average|input)")
# A chip, or a label of one, that is documented to stand for the whole machine.
_WHOLE_CHIPS = ("power_meter",)
_WHOLE_LABELS = ("total system power", "psys")
_FIELD = "power.system_w"

_Files = Mapping[str, str | None]


def hwmon_probe(root: Path) -> ParsedProbe:
    """Return the probe of fans and system power below *root*."""
    place = "sys/class/hwmon/hwmon*/"
    return ParsedProbe(
        HWMON,
        FileReader(
            root,
            moving=[f"{place}fan*_input", f"{place}power*_average", f"{place}power*_input"],
            steady=[
                f"{place}{name}" for name in ("name", "fan*_label", "fan*_max", "power*_label")
            ],
        ),
        parse_hwmon,
        gives=("fans", _FIELD),
    )


def parse_hwmon(raw: bytes, at_s: float) -> Partial:  # noqa: ARG001 - a parser; this one needs no time
    """Return fans in turns per minute, and watts from µW where a chip measures the whole machine."""
    files = parse_files(raw)
    fans, values, missing = [], dict[str, Value](), dict[str, str]()
    for path, text in sorted(files.items()):
        if found := _FAN.fullmatch(path):
            fan = _fan(files, found[1], found[2], whole(text))
            fans += [fan] if fan else []
        elif (found := _POWER.fullmatch(path)) and _is_whole(files, found[1], found[2]):
            _take(values, missing, found[3], text)
    if _FIELD not in values:
        missing.setdefault(_FIELD, UNSUPPORTED)
    if not fans:
        missing["fans"] = UNSUPPORTED
    return Partial(HWMON, values, missing, fans=tuple(fans))


def _take(values: dict[str, Value], missing: dict[str, str], kind: str, text: str | None) -> None:
    microwatts = whole(text)
    if text is None:
        missing[_FIELD] = DENIED
    elif microwatts is not None and (kind == "average" or _FIELD not in values):
        values[_FIELD] = microwatts / 1e6


def _fan(files: _Files, chip: str, fan: str, rpm: int | None) -> FanReading | None:
    if rpm is None or rpm < 0:
        return None
    named = files.get(f"{chip}/{fan}_label") or f"{files.get(f'{chip}/name') or 'fan'} {fan}"
    most = whole(files.get(f"{chip}/{fan}_max"))
    return FanReading(named.strip()[:64], float(rpm), float(most) if most else None)


def _is_whole(files: _Files, chip: str, power: str) -> bool:
    label = (files.get(f"{chip}/{power}_label") or "").strip().lower()
    return files.get(f"{chip}/name") in _WHOLE_CHIPS or label in _WHOLE_LABELS
