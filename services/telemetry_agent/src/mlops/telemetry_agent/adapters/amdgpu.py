# SPDX-License-Identifier: Apache-2.0
"""AMD GPUs from the kernel's own files: no library, no root. Written from the kernel's amdgpu documentation.

NOT VERIFIED ON REAL HARDWARE: run so far against trees made by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mlops.telemetry_agent.adapters.files import FileReader, parse_files, whole
from mlops.telemetry_agent.adapters.parsed import ParsedProbe
from mlops.telemetry_agent.model import ladder
from mlops.telemetry_agent.model.ladder import Sensor
from mlops.telemetry_agent.model.reading import LEVEL, UNSUPPORTED, GpuReading, Partial, Value

AMDGPU = "amdgpu"
_AMD = "0x1002"
_CARD = re.compile(r"(sys/class/drm/card\d+)/device/vendor")
_SENSOR = re.compile(r".*/hwmon\d+/(temp\d+)_input")
_MOVING = (
    "gpu_busy_percent",
    "mem_info_vram_used",
    "hwmon/hwmon*/power1_average",
    "hwmon/hwmon*/power1_input",
    "hwmon/hwmon*/temp*_input",
    "hwmon/hwmon*/freq1_input",
    "hwmon/hwmon*/fan1_input",
)
_STEADY = (
    "vendor",
    "product_name",
    "mem_info_vram_total",
    "hwmon/hwmon*/temp*_label",
    "hwmon/hwmon*/temp*_crit",
    "hwmon/hwmon*/temp*_emergency",
)

_Files = Mapping[str, str | None]


def amdgpu_probe(root: Path) -> ParsedProbe:
    """Return the probe of the AMD GPUs below *root*."""
    cards = [
        path.parent.relative_to(root).as_posix()
        for path in sorted(root.glob("sys/class/drm/card*/device/vendor"))
        if path.parent.parent.name.removeprefix("card").isdecimal() and _is_amd(path)
    ]
    reader = FileReader(
        root,
        moving=[f"{card}/{name}" for card in cards for name in _MOVING],
        steady=[f"{card}/{name}" for card in cards for name in _STEADY],
    )
    return ParsedProbe(AMDGPU, reader, parse_amdgpu, gives=("gpus", "power.gpu_w"))


def parse_amdgpu(raw: bytes, at_s: float) -> Partial:  # noqa: ARG001 - a parser; this one needs no time
    """Return each GPU: percent, bytes, µW, m°C and Hz in the files; ratios, bytes, W, °C and Hz in the reading."""
    files = parse_files(raw)
    cards = [
        found[1]
        for path, text in sorted(files.items())
        if (found := _CARD.fullmatch(path)) and text == _AMD
    ]
    if not cards:
        return Partial(AMDGPU, missing={"gpus": UNSUPPORTED})
    sensors = {card: _sensors(files, card) for card in cards}
    gpus = tuple(_gpu(files, card, sensors[card]) for card in cards)
    values: dict[str, Value] = {}
    watts = [gpu.power_w for gpu in gpus if gpu.power_w is not None]
    temps = [gpu.temp_c for gpu in gpus if gpu.temp_c is not None]
    if watts:
        values["power.gpu_w"] = sum(watts)
    if temps:
        values["thermal.gpu_temp_c"] = max(temps)
    if gpus[0].name:
        values["chip.gpu_name"] = gpus[0].name
    rungs = [rung for found in sensors.values() for one in found if (rung := ladder.sensor(one))]
    missing = {} if watts else {"power.gpu_w": UNSUPPORTED}
    if rungs:
        hottest = max(rungs, key=lambda rung: rung.level)
        values |= {LEVEL: hottest.level, "thermal.native": hottest.native}
    else:
        missing[LEVEL] = UNSUPPORTED
    return Partial(AMDGPU, values, missing, gpus)


def _gpu(files: _Files, card: str, sensors: list[Sensor]) -> GpuReading:
    device = f"{card}/device"
    busy = whole(files.get(f"{device}/gpu_busy_percent"))
    microwatts = _first(files, device, "power1_average") or _first(files, device, "power1_input")
    hertz = _first(files, device, "freq1_input")
    return GpuReading(
        id=card.rpartition("/")[2],
        busy_ratio=None if busy is None else busy / 100,
        memory_used_bytes=whole(files.get(f"{device}/mem_info_vram_used")),
        memory_total_bytes=whole(files.get(f"{device}/mem_info_vram_total")),
        temp_c=max((sensor.temp_c for sensor in sensors), default=None),
        power_w=None if microwatts is None else microwatts / 1e6,
        name=(files.get(f"{device}/product_name") or "")[:128],
        freq_hz=None if hertz is None else float(hertz),
    )


def _sensors(files: _Files, card: str) -> list[Sensor]:
    found = []
    for path, text in sorted(files.items()):
        sensor = _SENSOR.fullmatch(path) if path.startswith(f"{card}/device/hwmon/") else None
        temp = whole(text)
        if sensor and temp is not None:
            stem = path.removesuffix("_input")
            found.append(
                Sensor(
                    label=f"{card.rpartition('/')[2]} {files.get(f'{stem}_label') or sensor[1]}",
                    temp_c=temp / 1000,
                    limit_c=_celsius(files.get(f"{stem}_crit")),
                    critical_c=_celsius(files.get(f"{stem}_emergency")),
                )
            )
    return found


def _celsius(text: str | None) -> float | None:
    value = whole(text)
    return value / 1000 if value and value > 0 else None


def _first(files: _Files, device: str, name: str) -> int | None:
    for path, text in sorted(files.items()):
        if path.startswith(f"{device}/hwmon/") and path.endswith(f"/{name}"):
            return whole(text)
    return None


def _is_amd(vendor: Path) -> bool:
    try:
        return vendor.read_text(errors="replace").strip() == _AMD
    except OSError:
        return False
