# SPDX-License-Identifier: Apache-2.0
"""`pmset -g`, `-g custom`, `-g batt` and `-g therm`: power mode, power source, and Intel's speed limit.

Source: pmset(1). `powermode` 0, 1, 2 is automatic, low, high; older systems have `lowpowermode` and `highpowermode`, 0 or 1.
Where each power source has its own settings, those of the source in use count, or those on which all agree. On Apple
silicon `-g therm` never says anything but "No … has been recorded", so the level of heat is missing and not nominal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlops.telemetry_agent.adapters.formats.document import Document, FormatError, text_of, whole
from mlops.telemetry_agent.model import ladder
from mlops.telemetry_agent.model.reading import LEVEL, UNSUPPORTED, Partial, Value

NAME = "pmset"

_SECTION = re.compile(
    r"^(AC Power|Battery Power|UPS Power|Currently in use|System-wide power settings):"
)
_SETTING = re.compile(r"^\s+([a-z]+)\s+(\d{1,10})\b")
_DRAWN = re.compile(r"\b[Dd]rawing from '(AC|Battery|UPS) Power'")
_LIMIT = re.compile(
    r"^\s*(CPU_Speed_Limit|CPU_Scheduler_Limit|CPU_Available_CPUs)\s*=\s*(\d{1,6})", re.MULTILINE
)
_NOTE = re.compile(r"^Note: No .{1,60} has been recorded", re.MULTILINE)
_SOURCES = {"AC": "ac", "Battery": "battery", "UPS": "battery"}
_MODES = ("automatic", "low", "high")
_KNOWN = (
    "powermode",
    "lowpowermode",
    "highpowermode",
    "sleep",
    "displaysleep",
    "standby",
    "hibernatemode",
)
_FULL_PERCENT = 100


def parse(raw: bytes) -> list[Document]:
    """Return the one document; raises FormatError where nothing in it is pmset's."""
    text = text_of(raw)
    drawn, limits = _DRAWN.search(text), dict(_LIMIT.findall(text))
    sections = _sections(text)
    if not (drawn or limits or sections or _NOTE.search(text)):
        raise FormatError(NAME, "neither settings nor a power source nor a thermal note of pmset")
    values: dict[str, Value] = {}
    missing: dict[str, str] = {LEVEL: UNSUPPORTED}
    source = drawn[1] if drawn else None
    if source:
        values["power.source"] = _SOURCES[source]
    mode = _mode(sections, source)
    if mode:
        values["power.mode"] = mode
    elif sections:
        missing["power.mode"] = UNSUPPORTED
    if mode == "low":
        values["thermal.reasons"] = "low_power_mode"
    percent = whole(limits.get("CPU_Speed_Limit"))
    if percent is not None:
        slowed = percent < _FULL_PERCENT
        values[LEVEL] = ladder.THROTTLED if slowed else ladder.NOMINAL
        values["thermal.native"] = f"CPU_Speed_Limit {percent} %"
    return [Document(Partial(NAME, values, missing))]


def _sections(text: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    section = ""
    for line in text.split("\n"):
        if head := _SECTION.match(line):
            section = head[1]
        elif setting := _SETTING.match(line):
            found.setdefault(section, {})[setting[1]] = int(setting[2])
    return {name: said for name, said in found.items() if any(key in said for key in _KNOWN)}


def _mode(sections: Mapping[str, Mapping[str, int]], source: str | None) -> str | None:
    in_use = [said for name, said in sections.items() if source and name == f"{source} Power"]
    modes = {_of(said) for said in in_use or sections.values()} - {None}
    return modes.pop() if len(modes) == 1 else None


def _of(said: Mapping[str, int]) -> str | None:
    if "powermode" in said:
        return _MODES[said["powermode"]] if said["powermode"] < len(_MODES) else None
    if said.get("lowpowermode"):
        return "low"
    if said.get("highpowermode"):
        return "high"
    return "automatic" if "lowpowermode" in said or "highpowermode" in said else None
