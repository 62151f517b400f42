# SPDX-License-Identifier: Apache-2.0
"""What powermetrics prints on a Mac with an Intel processor only: watts by RAPL, active cores, SMC sensors, a list of GPUs.

Source: powermetrics(1) of macOS 10.15 to 14. There `*_watts` are W and `*_joules` are J (Apple's chips: mW and mJ), the
clock is in Hz, `average_num_cores` is the mean number of cores that ran, and a GPU's counters have names that end with blanks
and a colon. Cores are told by package; a "Core" has one `cpus` entry for each of its threads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlops.telemetry_agent.adapters.formats.document import items, mapping, number
from mlops.telemetry_agent.model.reading import FanReading

_PARTS = {"package": "package", "cpu": "cpu", "igpu": "gpu", "gpu": "gpu", "dram": "dram"}
_DIES = {"cpu_die": "cpu", "gpu_die": "gpu"}
_FAN = re.compile(r"fan(?:_(\d{1,2}))?")
_BUSY = "GPU Busy"
_PERCENT = re.compile(r"\s*(\d{1,3}(?:\.\d{1,6})?)\s*%?\s*")


@dataclass(frozen=True)
class Cores:
    """All cores together: how many of them ran on average, how many there are, and their threads."""

    active: float | None = None
    cores: int = 0
    threads: int = 0

    @property
    def busy(self) -> float | None:
        """Return the mean busy share of a core, None where their number or their work is not known."""
        if self.active is None or not self.cores or not 0 <= self.active <= self.cores:
            return None
        return self.active / self.cores


def cores(processor: Mapping[str, Any]) -> Cores | None:
    """Return the cores of all packages; None for a chip of Apple's, which has clusters."""
    packages = items(processor.get("packages"))
    if not packages:
        return None
    all_cores = [core for package in packages for core in items(package.get("cores"))]
    active = [number(package.get("average_num_cores")) for package in packages]
    known = [one for one in active if one is not None]
    threads = sum(len(items(core.get("cpus"))) for core in all_cores)
    return Cores(
        active=sum(known) if len(known) == len(packages) else None,
        cores=len(all_cores),
        threads=threads,
    )


def watts(processor: Mapping[str, Any], window_s: float | None) -> dict[str, float]:
    """Return the power of each part in W: its joules over the window where both are told."""
    found: dict[str, float] = {}
    for name, part in _PARTS.items():
        used, said = number(processor.get(f"{name}_joules")), number(processor.get(f"{name}_watts"))
        if used is not None and window_s:
            found.setdefault(part, used / window_s)
        elif said is not None:
            found.setdefault(part, said)
    return found


def joules(processor: Mapping[str, Any]) -> dict[str, float]:
    """Return the energy of each part in J."""
    found: dict[str, float] = {}
    for name, part in _PARTS.items():
        used = number(processor.get(f"{name}_joules"))
        if used is not None:
            found.setdefault(part, used)
    return found


def temps(smc: Mapping[str, Any]) -> dict[str, float]:
    """Return the temperatures of the dies in °C; a sensor that is not there says 0."""
    known = {part: number(smc.get(key)) for key, part in _DIES.items()}
    return {part: celsius for part, celsius in known.items() if celsius}


def fans(smc: Mapping[str, Any]) -> Iterator[FanReading]:
    """Yield each fan, in turns per minute."""
    for key, value in smc.items():
        found, rpm = _FAN.fullmatch(key), number(value)
        if found and rpm is not None:
            yield FanReading(f"fan{found[1] or 0}", rpm)


def slowed(smc: Mapping[str, Any]) -> bool | None:
    """Return whether the processor was told to slow down at once (PROCHOT); None where nothing says so."""
    found = smc.get("cpu_prochot")
    return found if isinstance(found, bool) else None


def gpu(plist: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first of the GPUs."""
    return next(iter(items(plist.get("GPU"))), {})


def gpu_busy(found: Mapping[str, Any]) -> float | None:
    """Return the busy share of a GPU, from the counter that says it, as a number or as `18.5%`."""
    for name, value in mapping(found.get("misc_counters")).items():
        if name.startswith(_BUSY):
            return _share(value)
    return None


def _share(value: object) -> float | None:
    if isinstance(value, str):
        percent = _PERCENT.fullmatch(value)
        return float(percent[1]) / 100 if percent else None
    ratio = number(value)
    # A number is a ratio there, as everywhere in the property list.
    return ratio if ratio is not None and 0 <= ratio <= 1 else None
