# SPDX-License-Identifier: Apache-2.0
"""Which format a recording has: told by what is in it, never by its name alone; and what a known non-recording is.

Each format has a test that looks at the beginning (or, for small marks, at all) of the text; the first that says yes counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops.telemetry_agent.adapters.formats import (
    ioreg,
    macmon,
    mlx_device,
    notifyutil,
    nvidia_csv,
    nvidia_dmon,
    nvidia_text,
    nvidia_xml,
    pmset,
    powermetrics_plist,
    powermetrics_text,
    pumas,
    rocm_smi,
    sysctl,
    system_profiler,
    transcript,
    ttar,
)
from mlops.telemetry_agent.adapters.formats.document import (
    LIMIT_BYTES,
    Document,
    FormatError,
)
from mlops.telemetry_agent.adapters.formats.gzipped import unpacked
from mlops.telemetry_agent.adapters.parsing import recording, sys_tree
from mlops.telemetry_agent.adapters.parsing.no_samples import NO_SAMPLES
from mlops.telemetry_agent.adapters.parsing.seen import Seen, has, look

Parse = Callable[[bytes], list[Document]]


@dataclass(frozen=True)
class Format:
    """A format: its name, what people call it, and its parser."""

    name: str
    title: str
    parse: Parse


def recognise(raw: bytes, name: str) -> Format:
    """Return the format of a recording, packed with gzip or not; raises FormatError naming what it looks like instead."""
    raw = unpacked(raw)
    if len(raw) > LIMIT_BYTES:
        raise FormatError("unknown", f"{name} is larger than {LIMIT_BYTES} bytes")
    seen = look(raw)
    for format_, test in _TESTS:
        if test(seen):
            return format_
    known = next((what for what, test in NO_SAMPLES.items() if test(seen)), None)
    if known:
        raise FormatError("unknown", f"it is {known}, which holds no sample")
    tried = ", ".join(dict.fromkeys(format_.name for format_, _ in _TESTS))
    raise FormatError("unknown", f"none of the formats fits; tried {tried}")


def parse(raw: bytes, name: str) -> tuple[Format, list[Document]]:
    """Return the format of a recording and its documents; raises FormatError."""
    raw = unpacked(raw)
    found = recognise(raw, name)
    return found, found.parse(raw)


def formats() -> list[Format]:
    """Return all formats that are read."""
    return [format_ for format_, _ in _TESTS]


def _parse_transcript(raw: bytes) -> list[Document]:
    """Return the documents of all sections that have one; raises FormatError where no section has."""
    documents: list[Document] = []
    for command, body in transcript.sections(raw):
        try:
            inner = recognise(body, command)
        except FormatError:
            continue
        if inner.name != transcript.NAME:
            documents += inner.parse(body)
    if not documents:
        raise FormatError(transcript.NAME, "none of its sections holds a sample")
    return documents


def _is_plist(seen: Seen) -> bool:
    return "<plist" in seen.head[:1024] or (
        seen.head.startswith("<?xml") and "PropertyList" in seen.head[:1024]
    )


def _is_ioreg_plist(seen: Seen) -> bool:
    return _is_plist(seen) and (
        b"PerformanceStatistics" in seen.raw or b"IORegistryEntryName" in seen.raw
    )


def _is_nvidia_xml(seen: Seen) -> bool:
    return seen.head.startswith("<") and "nvidia_smi_log" in seen.head[:2048]


def _is_sys_tree(seen: Seen) -> bool:
    if ttar.is_tar(seen.raw) or ttar.is_ttar(seen.raw):
        return True
    keys = list(seen.object)[:200]
    return bool(keys) and all(re.match(r"(?:.*/)?(?:sys|proc)/", key) for key in keys)


def _is_json(test: Callable[[Mapping[str, Any]], bool]) -> Callable[[Seen], bool]:
    return lambda seen: test(seen.object)


def _is_rocm(seen: Seen) -> bool:
    if rocm_smi.looks(seen.object):
        return True
    begin = seen.head.find("{")
    return begin > 0 and re.match(r'\{\s*"card\d', seen.head[begin:]) is not None


# The order counts: a collection before what it holds, what is about everything after what is about one thing.
_TESTS: tuple[tuple[Format, Callable[[Seen], bool]], ...] = (
    (
        Format(recording.NAME, "our own recording", recording.parse),
        lambda seen: recording.looks(seen.first),
    ),
    (
        Format(transcript.NAME, "several commands' output", _parse_transcript),
        lambda seen: transcript.looks(seen.head),
    ),
    (Format(sys_tree.NAME, "a /sys tree", sys_tree.parse), _is_sys_tree),
    (Format(nvidia_xml.NAME, "nvidia-smi -q -x", nvidia_xml.parse), _is_nvidia_xml),
    (Format(ioreg.NAME, "ioreg -a", ioreg.parse), _is_ioreg_plist),
    (Format(powermetrics_plist.NAME, "powermetrics -f plist", powermetrics_plist.parse), _is_plist),
    (
        Format(powermetrics_text.NAME, "powermetrics as text", powermetrics_text.parse),
        has(r"^\*\*\* Sampled system activity \("),
    ),
    (
        Format(ioreg.NAME, "ioreg", ioreg.parse),
        has(r'"PerformanceStatistics" = \{|^\+-o .+<class '),
    ),
    (Format(nvidia_text.NAME, "nvidia-smi -q", nvidia_text.parse), has(r"^=+NVSMI LOG=+$")),
    (
        Format(nvidia_csv.NAME, "nvidia-smi --query-gpu", nvidia_csv.parse),
        lambda seen: nvidia_csv.is_header(seen.first),
    ),
    (
        Format(nvidia_dmon.NAME, "nvidia-smi dmon", nvidia_dmon.parse),
        lambda seen: nvidia_dmon.is_header(seen.first),
    ),
    (Format(rocm_smi.NAME, "rocm-smi --json", rocm_smi.parse), _is_rocm),
    (Format(pumas.NAME, "pumas run --json", pumas.parse), _is_json(pumas.looks)),
    (Format(macmon.NAME, "macmon pipe", macmon.parse), _is_json(macmon.looks)),
    (
        Format(system_profiler.NAME, "system_profiler -json", system_profiler.parse),
        _is_json(system_profiler.looks),
    ),
    (
        Format(mlx_device.NAME, "MLX's device_info()", mlx_device.parse),
        lambda seen: (
            mlx_device.looks(seen.object)
            or (
                seen.head.startswith(("{'", "[{'"))
                and "'max_recommended_working_set_size'" in seen.head
            )
        ),
    ),
    (
        Format(notifyutil.NAME, "notifyutil -g", notifyutil.parse),
        has(r"^(?:.{0,40} )?com\.apple\.system\.thermalpressurelevel\b"),
    ),
    (
        Format(system_profiler.NAME, "system_profiler as text", system_profiler.parse),
        has(r"^(?:Hardware|Graphics/Displays):$"),
    ),
    (
        Format(pmset.NAME, "pmset", pmset.parse),
        has(
            r"[Dd]rawing from '(?:AC|Battery|UPS) Power'|^Note: No .{1,60} has been recorded|CPU_Speed_Limit"
            r"|^(?:AC Power|Battery Power|Currently in use|System-wide power settings):"
        ),
    ),
    (
        Format(sysctl.NAME, "sysctl", sysctl.parse),
        has(r"^(?:hw|kern|vm|machdep|iogpu)\.[\w.]+(?::| =) |^sysctl: unknown oid"),
    ),
)
