# SPDX-License-Identifier: Apache-2.0
"""A `/sys` tree of a Linux machine, with `/proc` where it is there: as a tar, as a ttar, or as the JSON of a folder's files.

The parsers are those of the live probes. A tree is one look, so what counters tell between two looks is `stale`: watts of
RAPL, throttle events. Copies without the links of `/sys/class` are read from `/sys/devices`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from mlops.telemetry_agent.adapters.amdgpu import parse_amdgpu
from mlops.telemetry_agent.adapters.formats import ttar
from mlops.telemetry_agent.adapters.formats.document import Document, FormatError, text_of, whole
from mlops.telemetry_agent.adapters.linux_clocks import parse_clocks
from mlops.telemetry_agent.adapters.linux_hwmon import parse_hwmon
from mlops.telemetry_agent.adapters.linux_text import HeatParser, PowerParser, PressureParser
from mlops.telemetry_agent.model.reading import GpuReading, Partial, Value, compose

NAME = "sys_tree"

_WANTED = re.compile(
    r"^proc/|^sys/class/(?:hwmon|thermal|powercap|drm)/|^sys/devices/(?:system/cpu|cpu_)"
)
_MOST_FILES = 20_000
_ROOT = re.compile(r"(?:^|.*/)((?:sys|proc)/.*)")
_LINK = re.compile(r"sys/class/(?:hwmon|thermal|powercap|drm)/[^/]+")
_DEVICE = re.compile(r"sys/class/drm/card\d+/device")
_ENTRY = re.compile(
    r"(sys/devices/.*/(hwmon\d+|thermal_zone\d+|intel-rapl(?:-mmio)?:[^/]+))/([^/]+)"
)
_CLASS = re.compile(r"sys/class/[^/]+/([^/]+)/")
_CPU = re.compile(r"sys/devices/system/cpu/(cpu\d+)/")
_GPU_CHIPS = ("amdgpu", "radeon", "nouveau", "i915", "xe")
_MEMINFO = re.compile(r"^(\w+):\s{0,20}(\d{1,15}) kB", re.MULTILINE)
_MODEL = re.compile(r"^model name\s{0,10}: (.{1,100})$", re.MULTILINE)
# Numbers for sensors whose own is taken by another one's.
_SPARE = 1000


def parse(raw: bytes) -> list[Document]:
    """Return the one document; raises FormatError for damaged archives, and where no file of a kernel is in it."""
    files = {path: text for path, text in complete(_tree(raw)).items() if _WANTED.search(path)}
    if len(files) > _MOST_FILES:
        raise FormatError(NAME, f"more than {_MOST_FILES} files of sensors and processors")
    if not any(path.startswith(("sys/", "proc/")) for path in files):
        raise FormatError(NAME, "no file below sys/ or proc/ is in it")
    reading = json.dumps(files).encode()
    try:
        partials = [
            HeatParser()(reading, 0.0),
            PowerParser()(reading, 0.0),
            parse_hwmon(reading, 0.0),
            PressureParser()(reading, 0.0),
            parse_clocks(reading, 0.0),
            parse_amdgpu(reading, 0.0),
            _rest(files),
        ]
    except (ValueError, KeyError, OverflowError, IndexError, TypeError) as error:
        raise FormatError(NAME, f"a file holds what no kernel writes: {error}"[:200]) from error
    found = compose(partials)
    gpus = found.gpus or _gpus(files)
    missing = {name: why for name, why in found.missing.items() if name != "gpus" or not gpus}
    partial = Partial(NAME, found.values, missing, gpus, found.clusters, found.fans)
    return [Document(partial)]


def complete(tree: ttar.Tree) -> dict[str, str]:
    """Return the files under the paths of `/sys/class`, whether the tree has its links or not."""
    tree = ttar.Tree(_rooted(tree.files), _rooted(tree.links))
    files = dict(tree.files)
    linked = [link for link in tree.links if _LINK.fullmatch(link)]
    bases = {ttar.resolved(tree.links, link) for link in linked}
    for link in linked:
        files |= dict(ttar.below(tree, link))
    for device in (f"{link}/device" for link in linked):
        if _DEVICE.fullmatch(device):
            files |= dict(ttar.below(tree, device))
    return files | _unlinked(tree.files, files, bases)


def _tree(raw: bytes) -> ttar.Tree:
    if ttar.is_tar(raw):
        return ttar.of_tar(raw, NAME)
    if ttar.is_ttar(raw):
        return ttar.of_ttar(text_of(raw), NAME)
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise FormatError(NAME, "neither tar nor ttar nor the files of a folder") from error
    if not isinstance(found, dict):
        raise FormatError(NAME, "neither tar nor ttar nor the files of a folder")
    return ttar.Tree({str(path): text for path, text in found.items() if isinstance(text, str)})


def _rooted(paths: Mapping[str, str]) -> dict[str, str]:
    return {
        (found[1] if (found := _ROOT.fullmatch(path)) else path): text
        for path, text in paths.items()
    }


def _unlinked(own: Mapping[str, str], files: Mapping[str, str], bases: set[str]) -> dict[str, str]:
    taken = {entry[1] for path in files if (entry := _CLASS.match(path))}
    names: dict[str, str] = {}
    found: dict[str, str] = {}
    for path in sorted(own):
        place = _ENTRY.fullmatch(path)
        if not place or place[1] in bases:
            continue
        base, name, file = place.groups()
        if base not in names:
            free = (
                name if name not in taken else f"{name.rstrip('0123456789')}{_SPARE + len(names)}"
            )
            names[base] = free
            taken.add(free)
        kind = (
            "hwmon"
            if name.startswith("hwmon")
            else "thermal"
            if name.startswith("thermal")
            else "powercap"
        )
        found[f"sys/class/{kind}/{names[base]}/{file}"] = own[path]
    return found


def _rest(files: Mapping[str, str]) -> Partial:
    values: dict[str, Value] = {}
    cpus = {found[1] for path in files if (found := _CPU.match(path))}
    if cpus:
        values["chip.cores"] = len(cpus)
    model = _MODEL.search(files.get("proc/cpuinfo", ""))
    if model:
        values["chip.name"] = model[1].strip()
    kib = {key: int(amount) for key, amount in _MEMINFO.findall(files.get("proc/meminfo", ""))}
    for key, name in (
        ("MemTotal", "total"),
        ("MemAvailable", "available"),
        ("SwapTotal", "swap_total"),
    ):
        if key in kib:
            values[f"memory.{name}_bytes"] = kib[key] * 1024
    if {"SwapTotal", "SwapFree"} <= kib.keys():
        values["memory.swap_used_bytes"] = max(0, kib["SwapTotal"] - kib["SwapFree"]) * 1024
    gpus = _gpus(files)
    watts = [gpu.power_w for gpu in gpus if gpu.power_w is not None]
    temps = [gpu.temp_c for gpu in gpus if gpu.temp_c is not None]
    values |= {"power.gpu_w": sum(watts)} if watts else {}
    values |= {"thermal.gpu_temp_c": max(temps)} if temps else {}
    return Partial(NAME, values)


def _gpus(files: Mapping[str, str]) -> tuple[GpuReading, ...]:
    """Return the GPUs that hwmon knows, for a tree without `/sys/class/drm`."""
    places = sorted(
        path.removesuffix("/name")
        for path, text in files.items()
        if path.startswith("sys/class/hwmon/") and path.endswith("/name") and text in _GPU_CHIPS
    )
    return tuple(_gpu(files, number, place) for number, place in enumerate(places))


def _gpu(files: Mapping[str, str], place: int, folder: str) -> GpuReading:
    microwatts = whole(files.get(f"{folder}/power1_average", files.get(f"{folder}/power1_input")))
    temps = [
        celsius / 1000
        for path, text in files.items()
        if re.fullmatch(re.escape(folder) + r"/temp\d+_input", path)
        and (celsius := whole(text)) is not None
    ]
    hertz = whole(files.get(f"{folder}/freq1_input"))
    return GpuReading(
        f"gpu{place}",
        temp_c=max(temps, default=None),
        power_w=None if microwatts is None else microwatts / 1e6,
        name=files.get(f"{folder}/name", ""),
        freq_hz=None if hertz is None else float(hertz),
    )
