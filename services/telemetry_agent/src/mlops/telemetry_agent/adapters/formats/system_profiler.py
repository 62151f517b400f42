# SPDX-License-Identifier: Apache-2.0
"""`system_profiler SPHardwareDataType SPDisplaysDataType`, `-json` or text: what the machine is.

Serial numbers, UUIDs and part numbers in it are never looked at. `number_processors` is `proc 16:12:4` (all, performance,
efficiency), with a fourth field on newer systems, and a plain number on Intel. The four fields are printed in two ways:
`proc 24:16:8:0` (an M2 Ultra) and `proc 12:0:8:4` (an M2 Pro); so up to the M4 the counts that are not 0 are, in their
order, the fast and the slow cores, and from the M5 on they are super, performance and efficiency cores.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mlops.telemetry_agent.adapters.formats import apple
from mlops.telemetry_agent.adapters.formats.document import (
    Document,
    FormatError,
    items,
    json_of,
    mapping,
    text_of,
    whole,
    word,
)
from mlops.telemetry_agent.model.reading import LEVEL, UNSUPPORTED, Partial, Value

NAME = "system_profiler"

_MEMORY = re.compile(r"(\d{1,6}) ?(MB|GB|TB)")
_UNITS = {"MB": 2**20, "GB": 2**30, "TB": 2**40}
_PROC = re.compile(r"proc (\d{1,4}(?::\d{1,4}){1,3})")
_LINE = re.compile(r"^ {4,}([A-Z][\w ()/]{1,60}): (.{1,200})$")
_TEXT_CORES = re.compile(r"(\d{1,4}) (super|performance|efficiency)", re.IGNORECASE)
_TWO_KINDS, _TWO_KINDS_UP_TO = ("performance", "efficiency"), 4
_THREE_KINDS = ("super", "performance", "efficiency")


def parse(raw: bytes) -> list[Document]:
    """Return the one document; raises FormatError where neither hardware nor displays are in it."""
    text = text_of(raw)
    values = _of_json(text) if text.lstrip().startswith("{") else _of_text(text)
    if not values:
        raise FormatError(NAME, "neither SPHardwareDataType nor SPDisplaysDataType is in it")
    return [Document(Partial(NAME, values, {LEVEL: UNSUPPORTED}))]


def looks(found: Mapping[str, Any]) -> bool:
    """Say whether an object is system_profiler's, about what we read."""
    return "SPHardwareDataType" in found or "SPDisplaysDataType" in found


def _of_json(text: str) -> dict[str, Value]:
    found = mapping(json_of(text, NAME))
    values: dict[str, Value] = {}
    for hardware in items(found.get("SPHardwareDataType"))[:1]:
        name = word(hardware.get("chip_type")) or word(hardware.get("cpu_type"))
        values |= apple.chip_values(name)
        if model := word(hardware.get("machine_model")):
            values["chip.model_id"] = model
        values |= _memory(word(hardware.get("physical_memory")))
        values |= _processors(hardware.get("number_processors"), name or "")
    for display in items(found.get("SPDisplaysDataType"))[:1]:
        values |= _gpu(word(display.get("sppci_model")), whole(display.get("sppci_cores")))
    return values


def _of_text(text: str) -> dict[str, Value]:
    said: dict[str, str] = {}
    gpu: dict[str, str] = {}
    into = said
    for line in text.split("\n"):
        if line.startswith("Graphics/Displays:"):
            into = gpu
        elif line.startswith("Hardware:"):
            into = said
        elif found := _LINE.match(line):
            into.setdefault(found[1], found[2].strip())
    values = apple.chip_values(word(said.get("Chip") or said.get("Processor Name")))
    if model := word(said.get("Model Identifier")):
        values["chip.model_id"] = model
    values |= _memory(word(said.get("Memory")))
    cores = said.get("Total Number of Cores", "")
    values |= apple.core_values({kind.lower(): int(n) for n, kind in _TEXT_CORES.findall(cores)})
    if count := whole(cores.partition(" ")[0]):
        values["chip.cores"] = count
    return values | _gpu(word(gpu.get("Chipset Model")), whole(gpu.get("Total Number of Cores")))


def _gpu(name: str | None, cores: int | None) -> dict[str, Value]:
    values: dict[str, Value] = {}
    if name:
        values["chip.gpu_name"] = name
        values |= apple.chip_values(name) if name.startswith("Apple") else {}
    if cores:
        values["chip.gpu_cores"] = cores
    return values


def _memory(said: str | None) -> dict[str, Value]:
    found = _MEMORY.match(said or "")
    if not found:
        return {}
    total = int(found[1]) * _UNITS[found[2]]
    return {"chip.memory_bytes": total, "memory.total_bytes": total}


def _processors(said: object, chip: str) -> dict[str, Value]:
    found = _PROC.match(said) if isinstance(said, str) else None
    if not found:
        count = whole(said)
        return {"chip.cores": count} if count else {}
    total, *counts = (int(field) for field in found[1].split(":"))
    generation = re.match(r"Apple M(\d{1,4})\b", chip)
    two_kinds = generation is None or int(generation[1]) <= _TWO_KINDS_UP_TO
    if len(counts) < len(_THREE_KINDS):
        kinds = dict(zip(_TWO_KINDS, counts, strict=False))
    elif two_kinds and counts.count(0):
        kinds = dict(zip(_TWO_KINDS, filter(None, counts), strict=False))
    else:
        kinds = dict(zip(_THREE_KINDS, counts, strict=True))
    values = apple.core_values(kinds) if sum(kinds.values()) == total else {}
    return values | ({"chip.cores": total} if total else {})
