# SPDX-License-Identifier: Apache-2.0
"""Clocks of Linux's processors: cpufreq's policies, grouped into clusters that share a kind."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from mlops.telemetry_agent.adapters.files import FileReader, parse_files, whole
from mlops.telemetry_agent.adapters.parsed import ParsedProbe
from mlops.telemetry_agent.model.reading import UNSUPPORTED, ClusterReading, Partial, Value

CLOCKS = "linux_clocks"
_POLICY = re.compile(r".*/cpufreq/(policy\d+)/([a-z_]+)")
_MOST_POLICIES = 16
# Kinds of hybrid Intel processors; elsewhere the policies themselves are the clusters.
_KINDS = {"sys/devices/cpu_core/cpus": "performance", "sys/devices/cpu_atom/cpus": "efficiency"}

_Files = Mapping[str, str | None]


def clocks_probe(root: Path) -> ParsedProbe:
    """Return the probe of clocks below *root*; of very many processors it looks at some, spread evenly."""
    policies = sorted(
        (
            path.relative_to(root).as_posix()
            for path in root.glob("sys/devices/system/cpu/cpufreq/policy*")
        ),
        key=lambda path: int(path.rpartition("policy")[2] or 0),
    )
    step = -(-len(policies) // _MOST_POLICIES) or 1
    chosen = policies[::step]
    return ParsedProbe(
        CLOCKS,
        FileReader(
            root,
            moving=[f"{policy}/scaling_cur_freq" for policy in chosen],
            steady=[
                *(
                    f"{policy}/{name}"
                    for policy in chosen
                    for name in ("related_cpus", "cpuinfo_max_freq")
                ),
                *_KINDS,
            ],
        ),
        parse_clocks,
        gives=("clusters",),
    )


def parse_clocks(raw: bytes, at_s: float) -> Partial:  # noqa: ARG001 - a parser; this one needs no time
    """Return clusters with their mean clock; kHz in the files, Hz in the reading."""
    files = parse_files(raw)
    policies: dict[str, dict[str, str]] = defaultdict(dict)
    for path, text in files.items():
        if (found := _POLICY.fullmatch(path)) and text:
            policies[found[1]][found[2]] = text
    groups: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for name, policy in policies.items():
        khz = whole(policy.get("scaling_cur_freq"))
        if khz is not None:
            cpus = processors(policy.get("related_cpus", ""))
            groups[_group(files, name, cpus)].append((khz, max(1, len(cpus))))
    clusters = tuple(
        ClusterReading(
            name, kind, sum(n for _, n in seen), None, fmean(khz for khz, _ in seen) * 1000.0
        )
        for (name, kind), seen in sorted(groups.items())
    )
    values: dict[str, Value] = {}
    return Partial(CLOCKS, values, {} if clusters else {"clusters": UNSUPPORTED}, clusters=clusters)


def processors(text: str) -> frozenset[int]:
    """Return the numbers in a kernel list such as `0-3,8` or `0 1 2`; what is no number is left out."""
    found: set[int] = set()
    for part in re.split(r"[\s,]+", text.strip()):
        if ends := re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part):
            found.update(range(int(ends[1]), int(ends[2] or ends[1]) + 1))
    return frozenset(found)


def _group(files: _Files, policy: str, cpus: frozenset[int]) -> tuple[str, str]:
    for place, kind in _KINDS.items():
        if cpus & processors(files.get(place) or ""):
            return kind, kind
    # One policy for each processor says nothing about clusters; one for several is a cluster.
    return (policy, "unknown") if len(cpus) > 1 else ("cpu", "unknown")
