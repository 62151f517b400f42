# SPDX-License-Identifier: Apache-2.0
"""macOS' `sysctl` as text, `key: value` or `key = value`: chip, cores by kind, memory, its pressure, swap, the GPU's limit.

`hw.perflevel0` is always the fastest kind; its name is believed where there is one. `iogpu.wired_limit_mb` 0 is the default,
which sysctl does not tell, and no limit of 0. `kern.memorystatus_level` is the percentage of memory that is available.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlops.telemetry_agent.adapters.formats import apple
from mlops.telemetry_agent.adapters.formats.document import (
    Document,
    FormatError,
    number,
    text_of,
    whole,
    word,
)
from mlops.telemetry_agent.model.reading import FAILED, LEVEL, UNSUPPORTED, Partial, Value

NAME = "sysctl"

_LINE = re.compile(r"^([a-z_]\w*(?:\.\w+)+)(?::| =) ?(.*)$")
_UNKNOWN = re.compile(r"^sysctl: unknown oid '([\w.]{1,100})'")
_ROOTS = ("hw.", "kern.", "vm.", "machdep.", "iogpu.", "debug.", "user.", "sysctl.")
_SWAP = re.compile(r"\b(total|used) = (\d{1,15}(?:\.\d{1,6})?)([KMGT]?)")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_PRESSURES = {1: "normal", 2: "warn", 4: "critical"}
_PERFLEVELS = 8
_PRESSURE, _LIMIT = "memory.pressure", "memory.gpu_limit_bytes"
_FIELDS = {
    "kern.memorystatus_vm_pressure_level": _PRESSURE,
    "iogpu.wired_limit_mb": _LIMIT,
    "vm.swapusage": "memory.swap_used_bytes",
    "hw.memsize": "memory.total_bytes",
}


def parse(raw: bytes) -> list[Document]:
    """Return the one document; raises FormatError where no line is one of sysctl's."""
    said: dict[str, str] = {}
    unknown: list[str] = []
    for line in text_of(raw).split("\n"):
        if (found := _LINE.match(line)) and found[1].startswith(_ROOTS):
            said.setdefault(found[1], found[2].strip())
        elif found := _UNKNOWN.match(line):
            unknown.append(found[1])
    if not said and not unknown:
        raise FormatError(NAME, "no line such as 'hw.memsize: 17179869184'")
    values: dict[str, Value] = {**_chip(said), **_cores(said)}
    missing = {LEVEL: UNSUPPORTED}
    missing |= {_FIELDS[key]: UNSUPPORTED for key in unknown if key in _FIELDS}
    _memory(said, values, missing)
    return [Document(Partial(NAME, values, missing))]


def _chip(said: Mapping[str, str]) -> dict[str, Value]:
    values = apple.chip_values(word(said.get("machdep.cpu.brand_string")))
    if model := word(said.get("hw.model")):
        values["chip.model_id"] = model
    return values


def _cores(said: Mapping[str, str]) -> dict[str, Value]:
    counts = {
        level: count
        for level in range(_PERFLEVELS)
        if (count := whole(said.get(f"hw.perflevel{level}.physicalcpu")))
    }
    values = apple.core_values({_kind(said, level, counts): n for level, n in counts.items()})
    logical = next((n for key in ("hw.logicalcpu", "hw.ncpu") if (n := whole(said.get(key)))), None)
    if logical:
        values["chip.cores"] = logical
    elif "chip.cores" not in values and (physical := whole(said.get("hw.physicalcpu"))):
        values["chip.cores"] = physical
    return values


def _kind(said: Mapping[str, str], level: int, counts: Mapping[int, int]) -> str:
    name = word(said.get(f"hw.perflevel{level}.name"))
    if name:
        return re.sub(r"[^a-z]", "", name.lower())[:16] or "unknown"
    # Without names only the two kinds of the first four generations are certain.
    unnamed = ("performance", "efficiency")
    return (
        unnamed[level] if len(counts) <= len(unnamed) and level < len(unnamed) else f"level{level}"
    )


def _memory(said: Mapping[str, str], values: dict[str, Value], missing: dict[str, str]) -> None:
    total = whole(said.get("hw.memsize"))
    if total:
        values |= {"chip.memory_bytes": total, "memory.total_bytes": total}
    if (key := "kern.memorystatus_vm_pressure_level") in said:
        state = _PRESSURES.get(whole(said[key]) or 0)
        values |= {_PRESSURE: state} if state else {}
        missing |= {} if state else {_PRESSURE: FAILED}
    percent = number(said.get("kern.memorystatus_level"))
    if total and percent is not None and 0 <= percent <= 100:  # noqa: PLR2004 - percent
        values["memory.available_bytes"] = int(total * percent / 100)
    for which, amount, unit in _SWAP.findall(said.get("vm.swapusage", "")):
        values[f"memory.swap_{which}_bytes"] = int(float(amount) * _UNITS[unit])
    _limit(whole(said.get("iogpu.wired_limit_mb")), values, missing)


def _limit(mib: int | None, values: dict[str, Value], missing: dict[str, str]) -> None:
    if mib:
        values[_LIMIT] = mib * apple.MIB
    elif mib == 0:
        missing[_LIMIT] = UNSUPPORTED
