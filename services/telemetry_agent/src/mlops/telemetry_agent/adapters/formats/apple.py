# SPDX-License-Identifier: Apache-2.0
"""What all formats of a Mac share: chips and their cores by name, thermal pressure by word, bogus zeros of power.

Clusters are told by the letter that their name begins with, never by a list of names: an M1 has `E-Cluster` and
`P-Cluster`, an M2 Ultra `E0-` to `P3-Cluster`, an M5 `S-Cluster` or `M0-Cluster` as well. What is not known is `unknown`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping

from mlops.telemetry_agent.model import ladder
from mlops.telemetry_agent.model.reading import FAILED, LEVEL, ClusterReading, Value
from mlops.telemetry_agent.model.sample import joined_kinds

MIB = 2**20
GIB = 2**30

_CHIP = re.compile(r"Apple (M\d+)(?: (Pro|Max|Ultra))?\b", re.IGNORECASE)
_CLUSTER = re.compile(r"([A-Z])\d*-?(?:Cluster|CPU)?\d*$", re.IGNORECASE)
_KINDS = {"S": "super", "P": "performance", "M": "medium", "E": "efficiency"}
# Fastest first.
_ORDER = (*_KINDS.values(), "unknown")
_BUSY = 0.5


def chip_values(name: str | None) -> dict[str, Value]:
    """Return the chip's fields from its marketing name, such as `Apple M4 Max` or `Intel(R) Core(TM) i7`."""
    if not name:
        return {}
    values: dict[str, Value] = {"chip.name": name}
    if name.startswith("Apple"):
        values["chip.vendor"] = "apple"
    elif "Intel" in name:
        values["chip.vendor"] = "intel"
    if found := _CHIP.match(name):
        family, variant = found.groups()
        values |= {
            "chip.family": family.lower(),
            "chip.variant": (variant or "base").lower(),
            # Each of these chips has both; a virtual machine's is called "Apple processor".
            "chip.mps_available": True,
            "chip.ane_available": True,
        }
    return values


def cluster_kind(name: str) -> str:
    """Return the kind of a cluster by its first letter: E, P, M or S; `unknown` for other names."""
    found = _CLUSTER.fullmatch(name.strip())
    return _KINDS.get(found[1].upper(), "unknown") if found else "unknown"


def core_values(kinds: Mapping[str, int]) -> dict[str, Value]:
    """Return the chip's fields from a number of cores by kind."""
    known = {kind: count for kind, count in kinds.items() if count > 0}
    if not known:
        return {}
    places = {kind: place for place, kind in enumerate(_ORDER)}
    order = sorted(known, key=lambda kind: places.get(kind, len(places)))
    return {
        "chip.cores": sum(known.values()),
        "chip.core_kinds": joined_kinds({kind: known[kind] for kind in order}),
    }


def kinds_of(clusters: Iterable[ClusterReading]) -> dict[str, int]:
    """Return the cores of clusters by kind."""
    kinds: dict[str, int] = {}
    for cluster in clusters:
        if cluster.cores:
            kinds[cluster.kind] = kinds.get(cluster.kind, 0) + cluster.cores
    return kinds


def pressure_values(said: str | None, values: MutableMapping[str, Value]) -> dict[str, str]:
    """Put the level of a thermal pressure such as `Heavy` into *values*; return what is missing instead."""
    if said is None:
        return {}
    names = [name.lower() for name in ladder.DARWIN_NAMES]
    if said.lower() not in names:
        return {LEVEL: FAILED}
    rung = ladder.darwin(names.index(said.lower()))
    if rung is None:
        return {LEVEL: FAILED}
    values.update({LEVEL: rung.level, "thermal.native": rung.native})
    return {}


def without_bogus_zeros(
    values: MutableMapping[str, Value], cpu_busy: float | None, gpu_busy: float | None
) -> dict[str, str]:
    """Take away power and energy of 0 where the part was busy, as some macOS 27 builds print it; return what is missing.

    A total that was summed up from such a zero goes, too.
    """
    missing: dict[str, str] = {}
    for part, busy in (("cpu", cpu_busy), ("gpu", gpu_busy)):
        fields = (f"power.{part}_w", f"energy.{part}_j")
        if busy is None or busy <= _BUSY or all(values.get(field) != 0 for field in fields):
            continue
        for field in (*fields, "power.package_w", "energy.package_j"):
            if values.pop(field, None) is not None:
                missing[field] = FAILED
    return missing
