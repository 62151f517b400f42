# SPDX-License-Identifier: Apache-2.0
"""A Reading as the fields of a HardwareSample: sections, tuples and lengths as the message has them; still plain data.

`thermal.reasons` is comma-joined in a reading and a tuple here; `chip.core_kinds` is `name:count,name:count` and a
mapping here. What a reading promises and does not say is in `missing`, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from mlops.telemetry_agent.model.reading import (
    LEVEL,
    UNSUPPORTED,
    ClusterReading,
    FanReading,
    GpuReading,
    Reading,
    Value,
)

_SECTIONS = ("chip", "thermal", "power", "memory", "disk", "energy")
_LENGTHS = {"name": 128, "gpu_name": 128, "native": 64, "level_source": 32, "vendor": 64}
_LENGTHS |= {"model_id": 64, "family": 16, "variant": 16, "source": 16, "mode": 16, "pressure": 16}
_MOST_REASONS = 16
# What every sample answers for: with a value, or with the reason why there is none.
PROMISED = (
    LEVEL,
    "thermal.cpu_temp_c",
    "thermal.gpu_temp_c",
    "power.cpu_w",
    "power.gpu_w",
    "power.package_w",
    "cpu_busy_ratio",
    "memory.available_bytes",
    "memory.pressure",
)


def sample_fields(
    reading: Reading, level: int | None, seq: int, boot_id: str, at: datetime, window_s: float = 0.0
) -> dict[str, object]:
    """Return the message's fields of a reading; *level* is the one that is held true, where any was read."""
    sections: dict[str, dict[str, object]] = {section: {} for section in _SECTIONS}
    plain: dict[str, object] = {}
    for name, value in reading.values.items():
        section, _, part = name.partition(".")
        place = sections.setdefault(section, {}) if part else plain
        place[part or section] = _field(name, part, value)
    if LEVEL in reading.values:
        sections["thermal"]["level"] = level
    silent = {name: UNSUPPORTED for name in PROMISED if name not in reading.values}
    return {
        **sections,
        **plain,
        "seq": seq,
        "boot_id": boot_id,
        "observed_at": at,
        "window_s": window_s,
        "gpus": [_gpu(gpu) for gpu in reading.gpus],
        "clusters": [_cluster(cluster) for cluster in reading.clusters],
        "fans": [_fan(fan) for fan in reading.fans],
        "provenance": dict(reading.provenance),
        "missing": {**silent, **reading.missing},
    }


def joined_kinds(kinds: Mapping[str, int]) -> str:
    """Return `chip.core_kinds` as a reading carries it, in the order given."""
    return ",".join(f"{name}:{count}" for name, count in kinds.items())


def joined_reasons(reasons: Iterable[str]) -> str:
    """Return `thermal.reasons` as a reading carries it, each once."""
    return ",".join(dict.fromkeys(reasons))


def _field(name: str, part: str, value: Value) -> object:
    if not isinstance(value, str):
        return value
    if name == "thermal.reasons":
        return tuple(reason for reason in value.split(",") if reason)[:_MOST_REASONS]
    if name == "chip.core_kinds":
        return _kinds(value)
    return value[: _LENGTHS.get(part, 64)]


def _kinds(text: str) -> dict[str, int]:
    pairs = (piece.rpartition(":") for piece in text.split(","))
    return {name: int(count) for name, _, count in pairs if name and count.isdecimal()}


def _gpu(gpu: GpuReading) -> dict[str, object]:
    return {**vars(gpu), "id": gpu.id[:64], "name": gpu.name[:128]}


def _cluster(cluster: ClusterReading) -> dict[str, object]:
    return {**vars(cluster), "name": cluster.name[:32], "kind": cluster.kind[:16]}


def _fan(fan: FanReading) -> dict[str, object]:
    return {**vars(fan), "name": fan.name[:64]}
