# SPDX-License-Identifier: Apache-2.0
"""macmon's `pipe`: one JSON object a line, watts, °C, MHz and bytes; v0.7 tuples, v0.8 keys and its development names.

Source: the readme of macmon (github.com/vladkens/macmon). `*_active_ratio` is the share of time that cores ran,
`*_scaled_ratio` (earlier `*_usage_ratio`, and the second of v0.7's tuples) the same weighted by the clock; the first is preferred.
`all_power` is CPU + GPU + ANE. A `sys_power` or a temperature of 0.0 could not be read. A last line that is cut off is
left out: only a line with its end is whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mlops.telemetry_agent.adapters.formats import apple
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
from mlops.telemetry_agent.model.reading import (
    FAILED,
    LEVEL,
    UNSUPPORTED,
    ClusterReading,
    FanReading,
    GpuReading,
    Partial,
    Value,
)

NAME = "macmon"

_POWERS = {
    "cpu_power": "power.cpu_w",
    "gpu_power": "power.gpu_w",
    "ane_power": "power.ane_w",
    "ram_power": "power.dram_w",
    "all_power": "power.package_w",
}
_MEMORY = {
    "ram_total": "memory.total_bytes",
    "ram_usage": "memory.used_bytes",
    "swap_total": "memory.swap_total_bytes",
    "swap_usage": "memory.swap_used_bytes",
}
_TEMPS = {"cpu_temp_avg": "thermal.cpu_temp_c", "gpu_temp_avg": "thermal.gpu_temp_c"}
_CLUSTERS = {"scpu": "S-Cluster", "pcpu": "P-Cluster", "mcpu": "M-Cluster", "ecpu": "E-Cluster"}
_SHARES = ("_active_ratio", "_scaled_ratio", "_usage_ratio")
_KEYS = (
    "cpu_power",
    "all_power",
    "sys_power",
    "gpu_power",
    "ecpu_usage",
    "pcpu_usage",
    "gpu_usage",
)
_MHZ = 1e6


def parse(raw: bytes) -> list[Document]:
    """Return a document for each line; raises FormatError for a line that is none, but for a cut-off last one."""
    text = text_of(raw)
    lines = text.split("\n")
    if lines[0].strip() in ("{", "["):  # one pretty-printed answer of `macmon serve`
        found = json_of(text, NAME)
        return [_document(one) for one in (items(found) or [mapping(found)])]
    documents = [
        _line(line, place)
        for place, line in enumerate(lines, 1)
        if line.strip() and not (place == len(lines) and _is_cut(line))
    ]
    if not documents:
        raise FormatError(NAME, "there is no whole line in it")
    return documents


def looks(found: Mapping[str, Any]) -> bool:
    """Say whether an object is one of macmon's."""
    return sum(key in found for key in _KEYS) > 1


def _is_cut(line: str) -> bool:
    # The only place where a line need not have an end is the end of the file.
    try:
        return not mapping(json_of(line, NAME))
    except FormatError:
        return True


def _line(line: str, place: int) -> Document:
    try:
        return _document(mapping(json_of(line, NAME)))
    except FormatError as error:
        raise FormatError(NAME, error.reason, line=place) from error


def _document(said: Mapping[str, Any]) -> Document:
    if not looks(said):
        raise FormatError(NAME, "not one of macmon's objects: it has no power and no usage")
    values: dict[str, Value] = {}
    missing = {LEVEL: UNSUPPORTED}
    soc = mapping(said.get("soc"))
    clusters = tuple(_cluster(said, soc, prefix) for prefix in _CLUSTERS if _has(said, prefix))
    values |= _chip(soc, clusters)
    _take(said, _POWERS, values, missing)
    _take(mapping(said.get("memory")), _MEMORY, values, missing)
    _take_positive(mapping(said.get("temp")), _TEMPS, values, missing)
    _take_positive(said, {"sys_power": "power.system_w"}, values, missing)
    busy = _cpu_busy(said, clusters)
    if busy is not None:
        values["cpu_busy_ratio"] = busy
    gpu_busy, gpu_hz = _of(said, "gpu")
    missing |= apple.without_bogus_zeros(values, busy, gpu_busy)
    watts = number(values.get("power.gpu_w"))
    temp = number(values.get("thermal.gpu_temp_c"))
    gpu = GpuReading("gpu0", busy_ratio=gpu_busy, power_w=watts, temp_c=temp, freq_hz=gpu_hz)
    partial = Partial(NAME, values, missing, (gpu,), clusters, _fans(said))
    return Document(partial, at=_time(said.get("timestamp")))


def _take(
    said: Mapping[str, Any],
    fields: Mapping[str, str],
    values: dict[str, Value],
    missing: dict[str, str],
) -> None:
    for key, field in fields.items():
        found = number(said.get(key))
        if found is not None:
            values[field] = int(found) if field.endswith("_bytes") else found
        elif key in said:
            missing[field] = FAILED


def _take_positive(
    said: Mapping[str, Any],
    fields: Mapping[str, str],
    values: dict[str, Value],
    missing: dict[str, str],
) -> None:
    # macmon writes 0.0 where it could not read.
    readable = {key: value for key, value in said.items() if number(value) != 0}
    _take(readable, fields, values, missing)
    missing |= {
        field: FAILED for key, field in fields.items() if key in said.keys() - readable.keys()
    }


def _has(said: Mapping[str, Any], prefix: str) -> bool:
    return any(f"{prefix}{end}" in said for end in (*_SHARES, "_usage", "_freq_mhz", "_cores"))


def _of(said: Mapping[str, Any], prefix: str) -> tuple[float | None, float | None]:
    """Return the busy share and the clock in Hz of `ecpu`, `pcpu` or `gpu`."""
    busy = next(
        (found for end in _SHARES if (found := number(said.get(prefix + end))) is not None), None
    )
    mhz = number(said.get(f"{prefix}_freq_mhz"))
    pair = said.get(f"{prefix}_usage")
    if isinstance(pair, list) and len(pair) > 1:
        mhz = number(pair[0]) if mhz is None else mhz
        busy = number(pair[1]) if busy is None else busy
    return busy, mhz * _MHZ if mhz else None


def _cluster(said: Mapping[str, Any], soc: Mapping[str, Any], prefix: str) -> ClusterReading:
    busy, hz = _of(said, prefix)
    name = _CLUSTERS[prefix]
    cores = whole(soc.get(f"{prefix}_cores")) or len(items(said.get(f"{prefix}_cores")))
    return ClusterReading(name, apple.cluster_kind(name), cores or None, busy, hz)


def _cpu_busy(said: Mapping[str, Any], clusters: tuple[ClusterReading, ...]) -> float | None:
    busy = _of(said, "cpu")[0]
    if busy is None:
        busy = number(said.get("cpu_usage_pct"))  # a ratio, despite its name
    if (
        busy is None
        and clusters
        and all(one.cores and one.busy_ratio is not None for one in clusters)
    ):
        ran = sum((one.cores or 0) * (one.busy_ratio or 0.0) for one in clusters)
        return ran / sum(one.cores or 0 for one in clusters)
    return busy


def _chip(soc: Mapping[str, Any], clusters: tuple[ClusterReading, ...]) -> dict[str, Value]:
    # macmon reads Apple's own chips only.
    values: dict[str, Value] = {"chip.vendor": "apple", "chip.mps_available": True}
    values |= {"chip.ane_available": True} | apple.chip_values(word(soc.get("chip_name")))
    if soc:
        values |= apple.core_values(apple.kinds_of(clusters))
    if model := word(soc.get("mac_model")):
        values["chip.model_id"] = model
    if cores := whole(soc.get("gpu_cores")):
        values["chip.gpu_cores"] = cores
    if gib := whole(soc.get("memory_gb")):
        values["chip.memory_bytes"] = gib * apple.GIB
    return values


def _fans(said: Mapping[str, Any]) -> tuple[FanReading, ...]:
    return tuple(
        FanReading(word(fan.get("name")) or f"fan{place}", rpm, number(fan.get("max_rpm")))
        for place, fan in enumerate(items(said.get("fans")))
        if (rpm := number(fan.get("rpm"))) is not None
    )


def _time(said: object) -> datetime | None:
    if not isinstance(said, str):
        return None
    try:
        at = datetime.fromisoformat(said)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
