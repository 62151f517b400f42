# SPDX-License-Identifier: Apache-2.0
"""`ioreg -r -d 1 -w 0 -c IOAccelerator`, as text or as a property list (`-a`): the GPU's busy share, memory and cores.

Keys are matched in full, with their quotes: `"In use system memory (driver)"` comes before `"In use system memory"`, and the
report legends repeat both. Utilisation is in percent, memory in bytes. What names processes is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mlops.telemetry_agent.adapters.formats import apple, plists
from mlops.telemetry_agent.adapters.formats.document import (
    Document,
    FormatError,
    mapping,
    number,
    text_of,
    whole,
    word,
)
from mlops.telemetry_agent.model.reading import LEVEL, UNSUPPORTED, GpuReading, Partial, Value

NAME = "ioreg"

_DEVICE = re.compile(r"^[ |]*\+-o [^\n]{1,200}$", re.MULTILINE)
_ID = re.compile(r"\bid (0x[0-9a-f]{1,16})")
_STATISTICS = re.compile(r'"PerformanceStatistics" = \{([^{}\n]*)(\}?)')
_PAIR = re.compile(r'"([^"\n]{1,80})"=(\d{1,20})(?=[,}]|$)')
_CORES = re.compile(r'"gpu-core-count" = (\d{1,6})\b')
_MODEL = re.compile(r'"model" = (?:<)?"([^"\n]{1,100})"')
_BUSY, _USED = "Device Utilization %", "In use system memory"
_VRAM_USED, _VRAM_FREE = "vramUsedBytes", "vramFreeBytes"

_Device = tuple[str, Mapping[str, Any], int | None, str | None]


def parse(raw: bytes) -> list[Document]:
    """Return a document for each time that ioreg looked; raises FormatError where no accelerator is in it."""
    devices = list(_of_plists(raw) if b"<plist" in raw[:1024] else _of_text(text_of(raw)))
    if not devices:
        raise FormatError(NAME, 'no accelerator in it: no whole "PerformanceStatistics"')
    looks: list[list[_Device]] = []
    for device in devices:
        # A device that is there again was looked at again; one without an id is a look of its own.
        if not looks or not device[0] or any(device[0] == known[0] for known in looks[-1]):
            looks.append([])
        looks[-1].append(device)
    return [_document(look) for look in looks]


def _of_text(text: str) -> Iterator[_Device]:
    marks = list(_DEVICE.finditer(text))
    spans = [(mark[0], mark.end()) for mark in marks]
    if not spans or _STATISTICS.search(text, 0, marks[0].start()):
        spans.insert(0, ("", 0))
    ends = [mark.start() for mark in marks]
    for head, start in spans:
        end = next((place for place in ends if place >= start and place > 0), len(text))
        body = text[start:end]
        found = [one[1] for one in _STATISTICS.finditer(body) if one[2]]
        identity = _ID.search(head)
        cores, model = _CORES.search(body), _MODEL.search(body)
        for statistics in found if not head else found[:1]:
            yield (
                identity[1] if identity else "",
                dict(_PAIR.findall(statistics)),
                int(cores[1]) if cores else None,
                word(model[1]) if model else None,
            )


def _of_plists(raw: bytes) -> Iterator[_Device]:
    for place, document in enumerate(plists.documents(raw, NAME)):
        waiting = [plists.load(document, NAME)]
        while waiting:
            found = waiting.pop()
            if isinstance(found, list):
                waiting += reversed(found)
                continue
            entry = mapping(found)
            if statistics := mapping(entry.get("PerformanceStatistics")):
                identity = f"{entry.get('IORegistryEntryID', place)}"
                model = entry.get("model")
                name = model.decode(errors="replace") if isinstance(model, bytes) else model
                yield identity, statistics, whole(entry.get("gpu-core-count")), word(name)
            if children := entry.get("IORegistryEntryChildren"):
                waiting.append(children)


def _document(devices: list[_Device]) -> Document:
    gpus = tuple(_gpu(place, device) for place, device in enumerate(devices))
    values: dict[str, Value] = {}
    _, _, cores, model = devices[0]
    if cores:
        values["chip.gpu_cores"] = cores
    if model:
        values["chip.gpu_name"] = model
        if model.startswith("Apple"):
            values |= apple.chip_values(model)
    return Document(Partial(NAME, values, {LEVEL: UNSUPPORTED}, gpus))


def _gpu(place: int, device: _Device) -> GpuReading:
    _, statistics, _, model = device
    busy, used = number(statistics.get(_BUSY)), whole(statistics.get(_USED))
    total = None
    if used is None:  # a card with memory of its own
        used, free = whole(statistics.get(_VRAM_USED)), whole(statistics.get(_VRAM_FREE))
        total = used + free if used is not None and free is not None else None
    return GpuReading(
        f"gpu{place}",
        busy_ratio=None if busy is None else busy / 100,
        memory_used_bytes=used,
        memory_total_bytes=total,
        name=model or "",
    )
