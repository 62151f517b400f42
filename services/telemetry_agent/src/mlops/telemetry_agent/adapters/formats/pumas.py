# SPDX-License-Identifier: Apache-2.0
"""pumas' `run --json`: what it made of powermetrics; watts, MHz and bytes under its own keys.

Source: schema/ of github.com/graelo/pumas. Its `package_w` is CPU + GPU + ANE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mlops.telemetry_agent.adapters.formats import apple, powermetrics
from mlops.telemetry_agent.adapters.formats.document import (
    Document,
    FormatError,
    items,
    json_of,
    mapping,
    number,
    text_of,
    whole,
    word,
)
from mlops.telemetry_agent.adapters.formats.powermetrics import Core, Group, Said
from mlops.telemetry_agent.model.reading import Value

NAME = "pumas"

_MEMORY = {
    "ram_total": "memory.total_bytes",
    "ram_used": "memory.used_bytes",
    "swap_total": "memory.swap_total_bytes",
    "swap_used": "memory.swap_used_bytes",
}
_CORES = {
    "num_super_cores": "super",
    "num_performance_cores": "performance",
    "num_efficiency_cores": "efficiency",
}
_MHZ = 1e6


def parse(raw: bytes) -> list[Document]:
    """Return a document for each object, one a line or one in all; raises FormatError for anything else."""
    text = text_of(raw).strip()
    lines = text.split("\n")
    whole_lines = len(lines) > 1 and lines[0].rstrip().endswith("}")
    pieces = [line for line in lines if line.strip()] if whole_lines else [text]
    return [_document(mapping(json_of(piece, NAME))) for piece in pieces]


def looks(found: Mapping[str, Any]) -> bool:
    """Say whether an object is one of pumas'."""
    return "consumption" in mapping(found.get("metrics"))


def _document(said: Mapping[str, Any]) -> Document:
    if not looks(said):
        raise FormatError(NAME, "not one of pumas' objects: it has no metrics.consumption")
    metrics, soc = mapping(said.get("metrics")), mapping(said.get("soc"))
    consumption, gpu = mapping(metrics.get("consumption")), mapping(metrics.get("gpu"))
    watts = {
        part: number(consumption.get(f"{part}_w")) for part in ("cpu", "gpu", "ane", "package")
    }
    gpu_mhz = number(gpu.get("freq_mhz"))
    partial = powermetrics.partial(
        Said(
            probe=NAME,
            pressure=word(metrics.get("thermal_pressure")),
            groups=tuple(_groups(metrics)),
            has_gpu=bool(gpu),
            gpu_busy=powermetrics.share(number(gpu.get("active_ratio"))),
            gpu_freq_hz=gpu_mhz * _MHZ if gpu_mhz else None,
            watts={part: found for part, found in watts.items() if found is not None},
        )
    )
    return Document(replace(partial, values={**partial.values, **_machine(metrics, soc)}))


def _groups(metrics: Mapping[str, Any]) -> list[Group]:
    found = []
    for key, value in metrics.items():
        if key.endswith("_clusters"):
            found += [_group(cluster) for cluster in items(value)]
    return found


def _group(cluster: Mapping[str, Any]) -> Group:
    states = [number(one.get("active_ratio")) for one in items(cluster.get("dvfm_states"))]
    cores = tuple(
        Core(powermetrics.share(number(core.get("active_ratio"))), _hz(core))
        for core in items(cluster.get("cpus"))
    )
    busy = powermetrics.share(sum(one for one in states if one is not None)) if states else None
    return Group(word(cluster.get("name")) or "unnamed", busy, _hz(cluster), cores)


def _hz(part: Mapping[str, Any]) -> float | None:
    mhz = number(part.get("freq_mhz"))
    return mhz * _MHZ if mhz else None


def _machine(metrics: Mapping[str, Any], soc: Mapping[str, Any]) -> dict[str, Value]:
    values: dict[str, Value] = dict(apple.chip_values(word(soc.get("cpu_brand_name"))))
    values |= apple.core_values({kind: whole(soc.get(key)) or 0 for key, kind in _CORES.items()})
    if cores := whole(soc.get("num_gpu_cores")):
        values["chip.gpu_cores"] = cores
    memory = mapping(metrics.get("memory"))
    for key, field in _MEMORY.items():
        found = whole(memory.get(key))
        if found is not None:
            values[field] = found
    return values
