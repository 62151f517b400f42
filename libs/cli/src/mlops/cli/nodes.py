# SPDX-License-Identifier: Apache-2.0
"""Nodes: a node's newest sample as a row that people read; what a machine cannot tell is a dash, never 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from mlops.cli import output

COLUMNS = (
    "node",
    "chip",
    "heat",
    "cpu",
    "gpu",
    "power",
    "temp",
    "memory",
    "fans",
    "age",
    "episode",
    "forecast",
)
SPARE = ("forecast", "fans", "chip", "temp", "episode")
NONE = "no node has told anything yet; `mlops status` says whether the telemetry agent runs"
LEVELS = ("nominal", "elevated", "throttled", "critical", "emergency")
_STYLES = ("green", "yellow", "red", "bold red", "bold red")
_SILENT_WINDOWS, _SHORTEST_S = 3.0, 30.0
_GIB = 2**30
_GAP = 2


def row_of(node: Mapping[str, Any]) -> list[object]:
    """Return the cells of one node, in the order of COLUMNS."""
    sample = _inner(node, "sample")
    thermal, memory = _inner(sample, "thermal"), _inner(sample, "memory")
    gpus = [gpu for gpu in sample.get("gpus") or () if isinstance(gpu, Mapping)]
    busy = [gpu["busy_ratio"] for gpu in gpus if _number(gpu.get("busy_ratio")) is not None]
    return [
        str(node.get("node", "")),
        _chip(_inner(sample, "chip"), sample),
        _heat(node.get("level"), thermal),
        _percent(sample.get("cpu_busy_ratio")),
        _percent(max(busy) if busy else None),
        _watts(_inner(sample, "power")),
        _hottest(thermal, gpus),
        _memory(memory),
        _fans(sample.get("fans") or ()),
        _age(node.get("age_s"), sample.get("window_s")),
        str(node.get("episode_id") or node.get("reason") or ""),
        _forecast(_inner(node, "forecast")),
    ]


def fitting(rows: Sequence[Sequence[Text]], width: int) -> list[int]:
    """Return the places of the columns that fit; those of SPARE go first, in their order."""
    wide = [max(len(name), *(row[at].cell_len for row in rows)) for at, name in enumerate(COLUMNS)]
    kept = list(range(len(COLUMNS)))
    for name in SPARE:
        if sum(wide[at] + _GAP for at in kept) - _GAP <= width:
            break
        kept.remove(COLUMNS.index(name))
    return kept


def _chip(chip: Mapping[str, Any], sample: Mapping[str, Any]) -> str:
    name = str(chip.get("name") or "")
    source = str(sample.get("source") or "real")
    return name if source == "real" else f"{name} ({source})"


def _heat(level: object, thermal: Mapping[str, Any]) -> Text:
    if not isinstance(level, int) or not 0 <= level < len(LEVELS):
        return Text("unknown", style="dim")
    derived = " *" if thermal.get("derived_throttle") else ""
    return Text(f"{level} {LEVELS[level]}{derived}", style=_STYLES[level])


def _watts(power: Mapping[str, Any]) -> str | None:
    for name in ("system_w", "package_w"):
        if (whole := _number(power.get(name))) is not None:
            return f"{whole:.1f} W"
    parts = [
        part
        for name in ("cpu_w", "gpu_w", "ane_w")
        if (part := _number(power.get(name))) is not None
    ]
    return f"{sum(parts):.1f} W" if parts else None


def _hottest(thermal: Mapping[str, Any], gpus: Sequence[Mapping[str, Any]]) -> str | None:
    told = [
        thermal.get("cpu_temp_c"),
        thermal.get("gpu_temp_c"),
        *(gpu.get("temp_c") for gpu in gpus),
    ]
    known = [temp for one in told if (temp := _number(one)) is not None]
    return f"{max(known):.0f} °C" if known else None


def _memory(memory: Mapping[str, Any]) -> str | None:
    total, available = _number(memory.get("total_bytes")), _number(memory.get("available_bytes"))
    if total is None or available is None:
        return None
    pressure = str(memory.get("pressure") or "")
    told = f" {pressure}" if pressure in ("warn", "critical") else ""
    return f"{(total - available) / _GIB:.1f}/{total / _GIB:.0f} GiB{told}"


def _fans(fans: Sequence[Any]) -> str | None:
    turns = [
        rpm
        for fan in fans
        if isinstance(fan, Mapping) and (rpm := _number(fan.get("rpm"))) is not None
    ]
    return f"{max(turns):.0f} rpm" if turns else None


def _age(age: object, window: object) -> Text:
    seconds = _number(age)
    if seconds is None:
        return output.cell_of(None)
    patience = max(_SILENT_WINDOWS * (_number(window) or 0.0), _SHORTEST_S)
    silent = seconds > patience
    return Text(f"{seconds:.0f} s{' silent' if silent else ''}", style="red" if silent else "")


def _forecast(forecast: Mapping[str, Any]) -> str | None:
    for name, said in (("throttle_s", "throttles in"), ("cool_s", "cool in")):
        if (seconds := _number(forecast.get(name))) is not None:
            return f"{said} {seconds:.0f} s"
    return None


def _percent(ratio: object) -> str | None:
    share = _number(ratio)
    return None if share is None else f"{share * 100:.0f} %"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _inner(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}
