# SPDX-License-Identifier: Apache-2.0
"""`nvidia-smi --query-gpu=… --format=csv`, with or without units: a row for each GPU, a document for each time.

Source: `nvidia-smi --help-query-gpu`. The units stand in the header, `memory.used [MiB]`, also with `nounits`; without a header
nobody can tell the columns.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence

from mlops.telemetry_agent.adapters.formats import nvidia
from mlops.telemetry_agent.adapters.formats.document import Document, FormatError, text_of, whole

NAME = "nvidia_smi_csv"

_COLUMNS: Mapping[str, Sequence[str]] = {
    "name": ("name", "gpu_name"),
    "busy": ("utilization.gpu",),
    "memory_used": ("memory.used",),
    "memory_total": ("memory.total",),
    "temp": ("temperature.gpu",),
    "power": ("power.draw.average", "power.draw", "power.draw.instant"),
    "clock": ("clocks.current.graphics", "clocks.gr", "clocks.current.sm", "clocks.sm"),
    "margin": ("temperature.gpu.tlimit",),
}
_UNITS = {"busy": "%", "memory_used": "MiB", "memory_total": "MiB", "temp": "C", "power": "W"}
_UNITS |= {"clock": "MHz", "margin": "C"}
_TELLING: tuple[str, ...] = (
    "utilization.gpu",
    "memory.used",
    "memory.total",
    "temperature.gpu",
    "power.draw",
)
_TELLING += ("clocks.gr", "clocks.current.graphics", "power.draw.average", "power.draw.instant")
_REASON_PREFIXES = ("clocks_event_reasons.", "clocks_throttle_reasons.")
_BITS = {
    0x1: "gpu_idle",
    0x2: "applications_clocks_setting",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}
_HEX = re.compile(r"0x[0-9A-Fa-f]{1,16}")
_LONGEST_ROW = 64 * 1024


def parse(raw: bytes) -> list[Document]:
    """Return a document for each time; raises FormatError where the header is not one of a query of GPUs."""
    lines = [line for line in text_of(raw).split("\n") if line.strip()]
    if not lines or not is_header(lines[0]):
        raise FormatError(NAME, "its first line is no header with columns of --query-gpu", line=1)
    header = [name.partition(" [")[0] for name in _cells(lines[0], 1)]
    logs: list[tuple[str, list[nvidia.Gpu]]] = []
    for place, line in enumerate(lines[1:], 2):
        if line == lines[0]:
            continue
        row = dict(zip(header, _cells(line, place), strict=False))
        if len(row) < len(header) and place == len(lines) and logs and not raw.endswith(b"\n"):
            break  # a loop that was stopped while it wrote
        if len(row) < len(header):
            raise FormatError(NAME, f"a row has {len(row)} of {len(header)} cells", line=place)
        at, gpu = row.get("timestamp", ""), _gpu(row)
        same = logs and at and logs[-1][0][:19] == at[:19]
        if not same or any(gpu.id and gpu.id == known.id for known in logs[-1][1]):
            logs.append((at, []))
        logs[-1][1].append(gpu)
    if not logs:
        raise FormatError(NAME, "there is a header and no row")
    return nvidia.documents([nvidia.Log(tuple(gpus), at) for at, gpus in logs], NAME)


def is_header(line: str) -> bool:
    """Say whether a line names columns of a query of GPUs, and one at least that says what a GPU does."""
    names = [name.strip().partition(" [")[0] for name in line[:_LONGEST_ROW].split(",")]
    return any(name in _TELLING for name in names)


def _cells(line: str, place: int) -> list[str]:
    if len(line) > _LONGEST_ROW:
        raise FormatError(NAME, "a row is too long", line=place)
    try:
        return [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]
    except (csv.Error, StopIteration) as error:
        raise FormatError(NAME, f"no row of cells: {error}", line=place) from error


def _gpu(row: Mapping[str, str]) -> nvidia.Gpu:
    said = {}
    for name, columns in _COLUMNS.items():
        texts = [_with_unit(row[column], name) for column in columns if row.get(column)]
        told = [text for text in texts if nvidia.amount(text) is not None]
        if texts:
            said[name] = (told or texts)[0]
    index = whole(row.get("index"))
    return nvidia.Gpu(
        said, _reasons(row), _counters(row), f"gpu{index}" if index is not None else ""
    )


def _with_unit(text: str, name: str) -> str:
    bare = text.lstrip("-").replace(".", "", 1).isdecimal()
    return f"{text} {_UNITS[name]}" if bare and name in _UNITS else text


def _reasons(row: Mapping[str, str]) -> tuple[str, ...] | None:
    told: dict[str, bool] = {}
    for name, text in row.items():
        reason = next((name.removeprefix(p) for p in _REASON_PREFIXES if name.startswith(p)), "")
        if reason == "active":
            bits = int(text, 16) if _HEX.fullmatch(text) else None
            told |= (
                {} if bits is None else {known: bool(bits & bit) for bit, known in _BITS.items()}
            )
        elif reason and text in ("Active", "Not Active"):
            told[reason] = told.get(reason, False) or text == "Active"
    return tuple(reason for reason, active in told.items() if active) if told else None


def _counters(row: Mapping[str, str]) -> dict[str, str]:
    return {
        reason: _with_us(row[name])
        for reason in nvidia.THERMAL
        for name in (f"clocks_event_reasons_counters.{reason}",)
        if name in row
    }


def _with_us(text: str) -> str:
    return f"{text} us" if text.isdecimal() else text
