# SPDX-License-Identifier: Apache-2.0
"""powermetrics as a property list (`powermetrics -f plist`), one document or a NUL-separated stream of them.

Source: powermetrics(1); keys as macOS 11 to 27 print them. Power is in mW and energy in mJ; a part's watts are its energy
over `elapsed_ns`, the window that was measured, never over the interval that was asked for. A cluster's `freq_hz` is in Hz;
the GPU's, of the same name, is in MHz. `combined_power` (CPU + GPU + ANE) stands for the package, which newer systems no
longer print.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mlops.telemetry_agent.adapters.formats import plists, powermetrics, powermetrics_intel
from mlops.telemetry_agent.adapters.formats.document import (
    Document,
    FormatError,
    items,
    mapping,
    number,
    word,
)
from mlops.telemetry_agent.adapters.formats.powermetrics import Core, Group, Said
from mlops.telemetry_agent.adapters.formats.powermetrics_intel import Cores

NAME = "powermetrics"

_KEYS = ("elapsed_ns", "hw_model", "kern_osversion", "is_delta")
_PARTS = ("cpu", "gpu", "ane", "dram", "package")
# The lists of frequency states are most of a document, and all that is used of one is the sum of its shares. What matches is
# well-formed in itself, so a document is valid with its lists summed up exactly if it was before.
_VALUE = rb"<(?:integer|real|string)>[^<>&]{0,64}</(?:integer|real|string)>"
_STATE = rb"<dict>(?:\s*<key>\w{1,32}</key>\s*" + _VALUE + rb")*\s*</dict>"
_STATES = re.compile(
    rb"<key>(dvfm_states|requested_freq|sw_requested_state|sw_state)</key>\s*<array>(?:\s*"
    + _STATE
    + rb")*\s*</array>"
)
_SHARE = re.compile(rb"<key>used_ratio</key>\s*<(?:real|integer)>([^<]*)<")
# A clock below this cannot be in Hz.
_LOWEST_HZ = 1e5
_NS, _MILLI, _MHZ = 1e9, 1e3, 1e6


def parse(raw: bytes) -> list[Document]:
    """Return a document for each sample; raises FormatError at the first that is not one."""
    return [parse_document(one) for one in plists.documents(raw, NAME)]


def parse_document(raw: bytes) -> Document:
    """Return the document of one property list, as `plists.Splitter` cuts them out of a stream."""
    plist = mapping(plists.load(_STATES.sub(_summed, raw), NAME))
    if not any(key in plist for key in _KEYS):
        raise FormatError(NAME, f"it has none of the keys {', '.join(_KEYS)}")
    window_s = _window_s(plist)
    at = plist.get("timestamp")
    return Document(
        powermetrics.partial(_said(plist, window_s)),
        at=at.replace(tzinfo=UTC) if isinstance(at, datetime) else None,
        window_s=window_s,
    )


def _summed(found: re.Match[bytes]) -> bytes:
    total = 0.0
    if found[1] == b"dvfm_states":
        shares = (number(share.decode(errors="replace")) for share in _SHARE.findall(found[0]))
        total = sum(share for share in shares if share is not None)
    state = b"<dict><key>used_ratio</key><real>%r</real></dict>" % total
    return b"<key>%s</key><array>%s</array>" % (found[1], state)


def _window_s(plist: Mapping[str, Any]) -> float | None:
    elapsed_ns = number(plist.get("elapsed_ns"))
    return elapsed_ns / _NS if elapsed_ns is not None and elapsed_ns > 0 else None


def _said(plist: Mapping[str, Any], window_s: float | None) -> Said:
    processor, gpu = mapping(plist.get("processor")), mapping(plist.get("gpu"))
    cores = powermetrics_intel.cores(processor)
    if cores:
        return _said_of_intel(plist, processor, cores, window_s)
    joules = _joules(processor, gpu)
    return Said(
        probe=NAME,
        model_id=word(plist.get("hw_model")),
        pressure=word(plist.get("thermal_pressure")),
        groups=tuple(_group(cluster) for cluster in items(processor.get("clusters"))),
        has_gpu=bool(gpu),
        gpu_busy=_busy(gpu, of_window=True),
        gpu_freq_hz=_gpu_hz(gpu),
        watts=_watts(processor, gpu, joules, window_s),
        joules=joules,
    )


def _said_of_intel(
    plist: Mapping[str, Any], processor: Mapping[str, Any], cores: Cores, window_s: float | None
) -> Said:
    smc, gpu = mapping(plist.get("smc")), powermetrics_intel.gpu(plist)
    return Said(
        probe=NAME,
        model_id=word(plist.get("hw_model")),
        pressure=word(plist.get("thermal_pressure")),
        has_gpu=bool(gpu),
        gpu_busy=powermetrics_intel.gpu_busy(gpu),
        gpu_freq_hz=_cpu_hz(gpu),
        watts=powermetrics_intel.watts(processor, window_s),
        joules=powermetrics_intel.joules(processor),
        temps=powermetrics_intel.temps(smc),
        fans=tuple(powermetrics_intel.fans(smc)),
        intel=cores,
        slowed=powermetrics_intel.slowed(smc),
    )


def _joules(processor: Mapping[str, Any], gpu: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for part in _PARTS:
        key = f"{part}_energy"
        millijoules = number(processor.get(key))
        if millijoules is None and part == "gpu":
            millijoules = number(gpu.get(key))
        if millijoules is not None:
            found[part] = millijoules / _MILLI
    return found


def _watts(
    processor: Mapping[str, Any],
    gpu: Mapping[str, Any],
    joules: Mapping[str, float],
    window_s: float | None,
) -> dict[str, float]:
    found = {}
    for part in _PARTS:
        key = f"{part}_power"
        milliwatts = number(processor.get(key, gpu.get(key) if part == "gpu" else None))
        if part in joules and window_s:
            found[part] = joules[part] / window_s
        elif milliwatts is not None:
            found[part] = milliwatts / _MILLI
    combined = number(processor.get("combined_power"))
    if combined is not None:
        found.setdefault("package", combined / _MILLI)
    return found


def _group(cluster: Mapping[str, Any]) -> Group:
    cores = tuple(
        Core(_busy(core, of_window=True), _cpu_hz(core)) for core in items(cluster.get("cpus"))
    )
    name = word(cluster.get("name")) or "unnamed"
    return Group(name, _busy(cluster, of_window=False), _cpu_hz(cluster), cores)


def _busy(part: Mapping[str, Any], *, of_window: bool) -> float | None:
    states = [number(state.get("used_ratio")) for state in items(part.get("dvfm_states"))]
    return powermetrics.residency(
        number(part.get("idle_ratio")),
        number(part.get("down_ratio")),
        [state for state in states if state is not None],
        of_window=of_window,
    )


def _cpu_hz(part: Mapping[str, Any]) -> float | None:
    clock = number(part.get("freq_hz"))
    return clock * _MHZ if clock is not None and clock < _LOWEST_HZ else clock


def _gpu_hz(gpu: Mapping[str, Any]) -> float | None:
    # In MHz, whatever its name says; a system that keeps the promise of the name is believed, too.
    return _cpu_hz(gpu)
