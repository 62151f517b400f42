# SPDX-License-Identifier: Apache-2.0
"""What kernels and programs print, as plain values; serial numbers and names of people are not looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping

_LONGEST = 64
_NVIDIA_SMI = re.compile(r"^GPU \d+: (.+?)(?: \(UUID: [^)]*\))?$", re.MULTILINE)


def fields(text: str) -> dict[str, str]:
    """Return `key: value` lines, the first of each key."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and value.strip():
            found.setdefault(key.strip(), value.strip())
    return found


def mac_cores(sysctl: Mapping[str, str]) -> str | None:
    """Return `8 (4 performance, 4 efficiency)`; a chip with one kind of cores has no parentheses."""
    total = sysctl.get("hw.physicalcpu") or sysctl.get("hw.ncpu")
    fast, slow = (sysctl.get(f"hw.perflevel{level}.physicalcpu") for level in (0, 1))
    if fast and slow:
        total = total or str(int(fast) + int(slow))
        return f"{total} ({fast} performance, {slow} efficiency)"
    return total or fast


def linux_chip(cpuinfo: str) -> str | None:
    """Return the model of `/proc/cpuinfo`; ARM's has none."""
    found = fields(cpuinfo)
    name = found.get("model name") or found.get("Model")
    return name[:_LONGEST] if name else None


def lscpu_chip(text: str) -> str | None:
    """Return `Neoverse-N1` (and the vendor before it) of `lscpu`."""
    found = fields(text)
    name = found.get("Model name")
    if not name or name == "-":
        return None
    vendor = found.get("Vendor ID", "")
    return (name if name.startswith(vendor) else f"{vendor} {name}")[:_LONGEST]


def nvidia_name(information: str) -> str | None:
    """Return the model that `/proc/driver/nvidia/gpus/*/information` or `nvidia-smi -L` names first."""
    found = fields(information).get("Model")
    if found:
        return found
    listed = _NVIDIA_SMI.search(information)
    return listed[1].strip() if listed else None


def gib(size_bytes: float) -> str:
    """Return gibibytes with one decimal at most: `16`, `23.4`."""
    return f"{round(size_bytes / 2**30, 1):g}"
