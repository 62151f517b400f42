# SPDX-License-Identifier: Apache-2.0
"""Reading what is named on a command line: a file, standard input, or a folder that holds a `/sys` tree; within bounds.

Of a folder only kernel files that the parsers know are read, and no link is followed out of it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mlops.telemetry_agent.adapters.formats.document import LIMIT_BYTES, FormatError

_LIMIT_FILE_BYTES, _MOST_FILES = 4096, 50_000
_SYS = (
    "class/thermal/thermal_zone*/*",
    "class/hwmon/hwmon*/*",
    "class/powercap/intel-rapl*/*",
    "class/drm/card*/device/*",
    "class/drm/card*/device/hwmon/hwmon*/*",
    "devices/system/cpu/cpu*/thermal_throttle/*",
    "devices/system/cpu/cpu*/topology/*_id",
    "devices/system/cpu/cpu*/cpufreq/*",
    "devices/system/cpu/cpufreq/policy*/*",
    "devices/cpu_*/cpus",
)
_PROC = ("meminfo", "cpuinfo", "pressure/memory")
_NAMES = ("hwmon", "thermal_zone", "intel-rapl")


def raw_of(name: str) -> bytes:
    """Return the bytes of a file, of standard input (`-`), or of a folder's files as JSON; raises OSError, FormatError."""
    if name == "-":
        return _bounded(sys.stdin.buffer.read(LIMIT_BYTES + 1), "standard input")
    path = Path(name)
    if path.is_dir():
        return _folder(path)
    with path.open("rb") as file:
        return _bounded(file.read(LIMIT_BYTES + 1), name)


def _bounded(raw: bytes, name: str) -> bytes:
    if len(raw) > LIMIT_BYTES:
        raise FormatError("unknown", f"{name} is larger than {LIMIT_BYTES} bytes")
    return raw


def _folder(root: Path) -> bytes:
    inner = root / "sys"
    tree, proc = (inner, root / "proc") if inner.is_dir() else (root, root.parent / "proc")
    if not ((tree / "class").is_dir() or (tree / "devices").is_dir()):
        raise FormatError(
            "sys_tree", f"the folder {root} is no /sys tree: no class/ and no devices/"
        )
    found: dict[str, str] = {}
    home = tree.resolve()
    for path in _paths(tree):
        if len(found) >= _MOST_FILES:
            raise FormatError("sys_tree", f"more than {_MOST_FILES} kernel files")
        if path.resolve().is_relative_to(home) and (text := _text(path)) is not None:
            found[f"sys/{path.relative_to(tree).as_posix()}"] = text
    if inner.is_dir():
        for name in _PROC:
            if (text := _text(proc / name)) is not None:
                found[f"proc/{name}"] = text
    return json.dumps(found).encode()


def _paths(tree: Path) -> Iterator[Path]:
    taken: set[Path] = set()
    for pattern in _SYS:
        for path in sorted(tree.glob(pattern)):
            taken.add(path.parent.resolve())
            yield path
    if tree.resolve() == Path("/sys"):
        return  # a live tree has its links
    for folder, _, names in os.walk(tree / "devices"):  # without following links
        place = Path(folder)
        if place.name.startswith(_NAMES) and place.resolve() not in taken:
            yield from (place / name for name in sorted(names))


def _text(path: Path) -> str | None:
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(_LIMIT_FILE_BYTES).decode(errors="replace").strip()
    except OSError:  # denied, or a sensor that cannot be read right now
        return None
