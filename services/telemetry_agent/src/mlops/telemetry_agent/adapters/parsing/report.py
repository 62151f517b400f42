# SPDX-License-Identifier: Apache-2.0
"""What a person wants to know of a recording, in a few lines: what it is, of which machine, how hot, how busy, what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from mlops.contracts.telemetry_agent import LADDER, HardwareSample
from mlops.telemetry_agent.adapters.parsing.samples import Parsed

_WIDTH = 10
_POWERS = ("system_w", "package_w", "cpu_w", "gpu_w", "ane_w", "dram_w")


def lines_of(name: str, parsed: Parsed) -> list[str]:
    """Return the lines about one recording."""
    samples = parsed.samples
    count = f"{len(samples)} sample{'s' if len(samples) != 1 else ''}"
    rows = (
        ("machine", _machine(samples[0])),
        ("time", _time(samples)),
        ("heat", _heat(samples)),
        ("power", _power(samples)),
        ("cpu busy", _ratio([sample.cpu_busy_ratio for sample in samples])),
        ("gpu busy", _ratio([_gpu_busy(sample) for sample in samples])),
        ("missing", _missing(samples)),
    )
    told = [f"  {title:<{_WIDTH}}{text}" for title, text in rows if text]
    return [f"{name}: {parsed.format.name} ({parsed.format.title}), {count}", *told]


def _machine(sample: HardwareSample) -> str:
    chip = sample.chip
    memory = chip.memory_bytes or sample.memory.total_bytes
    kinds = ", ".join(f"{count} {kind}" for kind, count in chip.core_kinds.items())
    parts = (
        "" if chip.name == "unknown" else chip.name,
        chip.model_id,
        f"{chip.cores} cores{f' ({kinds})' if kinds else ''}" if chip.cores else "",
        _gpus(sample),
        f"{chip.gpu_cores} GPU cores" if chip.gpu_cores else "",
        f"{memory / 2**30:.0f} GiB" if memory else "",
    )
    return ", ".join(dict.fromkeys(part for part in parts if part)) or "not told"


def _gpus(sample: HardwareSample) -> str:
    names = Counter(gpu.name for gpu in sample.gpus if gpu.name)
    told = [f"{count} x {name}" if count > 1 else name for name, count in names.items()]
    name = sample.chip.gpu_name or ""
    return ", ".join(told) or ("" if name == sample.chip.name else name)


def _time(samples: Sequence[HardwareSample]) -> str:
    times = [one.observed_at for one in samples if "observed_at" not in one.missing]
    if not times:
        return "not told"
    first, last = min(times), max(times)
    if first == last:
        return f"{first:%Y-%m-%d %H:%M:%S} UTC"
    seconds = (last - first).total_seconds()
    return f"{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC, {seconds:.0f} s"


def _heat(samples: Sequence[HardwareSample]) -> str:
    levels = Counter(sample.thermal.level for sample in samples)
    known = {level: count for level, count in sorted(levels.items(), key=str) if level is not None}
    told = ", ".join(f"{LADDER[level]} in {count}" for level, count in known.items())
    temps = [
        temp
        for sample in samples
        for temp in (sample.thermal.cpu_temp_c, sample.thermal.gpu_temp_c)
        if temp is not None
    ]
    hottest = f"hottest {max(temps):.0f} °C" if temps else ""
    reasons = dict.fromkeys(reason for sample in samples for reason in sample.thermal.reasons)
    held = f"held back by {', '.join(reasons)}" if reasons else ""
    return "; ".join(part for part in (told or "level not told", hottest, held) if part)


def _power(samples: Sequence[HardwareSample]) -> str:
    told = []
    for field in _POWERS:
        watts = [w for sample in samples if (w := getattr(sample.power, field)) is not None]
        if watts:
            mean = f"{field.removesuffix('_w')} {fmean(watts):.3g} W"
            told.append(mean if len(watts) == 1 else f"{mean} (most {max(watts):.3g})")
    return ", ".join(told)


def _ratio(shares: Sequence[float | None]) -> str:
    known = [share for share in shares if share is not None]
    if not known:
        return ""
    return f"mean {fmean(known):.1%}" + (f", most {max(known):.1%}" if len(known) > 1 else "")


def _gpu_busy(sample: HardwareSample) -> float | None:
    return max((gpu.busy_ratio for gpu in sample.gpus if gpu.busy_ratio is not None), default=None)


def _missing(samples: Sequence[HardwareSample]) -> str:
    fields: dict[str, str] = {}
    for sample in samples:
        for field, reason in sample.missing.items():
            fields.setdefault(field, reason)
    reasons = sorted(set(fields.values()))
    return "; ".join(f"{reason}: {', '.join(_with(fields, reason))}" for reason in reasons)


def _with(fields: Mapping[str, str], reason: str) -> list[str]:
    return sorted(field for field, why in fields.items() if why == reason)
