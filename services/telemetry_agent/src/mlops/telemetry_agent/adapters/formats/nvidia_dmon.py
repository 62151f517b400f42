# SPDX-License-Identifier: Apache-2.0
"""`nvidia-smi dmon`: a table whose `# gpu` line names the columns and whose `# Idx` line has their units; `-` is missing."""

from __future__ import annotations

from collections.abc import Mapping

from mlops.telemetry_agent.adapters.formats import nvidia
from mlops.telemetry_agent.adapters.formats.document import Document, FormatError, text_of, whole

NAME = "nvidia_smi_dmon"

_COLUMNS = {
    "pwr": "power",
    "gtemp": "temp",
    "temp": "temp",
    "sm": "busy",
    "pclk": "clock",
    "fb": "memory_used",
}
_UNITS = {"power": "W", "temp": "C", "busy": "%", "clock": "MHz", "memory_used": "MiB"}


def parse(raw: bytes) -> list[Document]:
    """Return a document for each round over the GPUs; raises FormatError where there is no such table."""
    header: list[str] = []
    rounds: list[dict[str, nvidia.Gpu]] = []
    lines = text_of(raw).split("\n")
    for place, line in enumerate(lines, 1):
        cells = line.split()
        if line.startswith("#"):
            header = _named(line) if is_header(line) else header
        elif cells and header:
            if len(cells) < len(header) and rounds and place == len(lines):
                break  # a loop that was stopped while it wrote
            if len(cells) != len(header):
                raise FormatError(
                    NAME, f"{len(cells)} cells below {len(header)} columns", line=place
                )
            gpu = _gpu(dict(zip(header, cells, strict=True)))
            if not rounds or gpu.id in rounds[-1]:
                rounds.append({})
            rounds[-1][gpu.id] = gpu
    if not rounds:
        raise FormatError(NAME, "no table below a line '# gpu pwr gtemp …'")
    return nvidia.documents([nvidia.Log(tuple(one.values())) for one in rounds], NAME)


def is_header(line: str) -> bool:
    """Say whether a line names dmon's columns; pmon's, which are about processes, are others."""
    named = _named(line)
    return (
        line.startswith("#")
        and "gpu" in named
        and "pid" not in named
        and any(name in _COLUMNS for name in named)
    )


def _named(line: str) -> list[str]:
    return line.lower().lstrip("# ").split()


def _gpu(row: Mapping[str, str]) -> nvidia.Gpu:
    said = {
        name: f"{row[column]} {_UNITS[name]}"
        for column, name in _COLUMNS.items()
        if row.get(column, "-") != "-"
    }
    index = whole(row.get("gpu"))
    return nvidia.Gpu(said, id=f"gpu{index if index is not None else row.get('gpu', '')}"[:64])
