# SPDX-License-Identifier: Apache-2.0
"""MLX's `mx.device_info()`, as JSON or as Python prints it: the chip, its memory, and what the GPU may take of it.

The limit is read, never computed: it is between 75 and 95 % of the memory, depending on machine and settings.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from mlops.telemetry_agent.adapters.formats import apple
from mlops.telemetry_agent.adapters.formats.document import (
    Document,
    FormatError,
    items,
    json_of,
    mapping,
    text_of,
    whole,
    word,
)
from mlops.telemetry_agent.model.reading import LEVEL, UNSUPPORTED, Partial, Value

NAME = "mlx_device_info"

_LIMIT = "max_recommended_working_set_size"
_LONGEST = 64 * 1024


def parse(raw: bytes) -> list[Document]:
    """Return a document for each device; raises FormatError for anything else."""
    text = text_of(raw).strip()
    found = _python(text) if text.startswith(("{'", "[{'")) else json_of(text, NAME)
    devices = items(found) or [mapping(found)]
    return [_document(device) for device in devices]


def looks(found: Mapping[str, Any]) -> bool:
    """Say whether an object is a device's."""
    return _LIMIT in found or {"device_name", "memory_size"} <= found.keys()


def _python(text: str) -> object:
    if len(text) > _LONGEST:
        raise FormatError(NAME, "too long for what Python prints of a device")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise FormatError(NAME, "neither JSON nor what Python prints") from error


def _document(device: Mapping[str, Any]) -> Document:
    if not looks(device):
        raise FormatError(NAME, f"a device without {_LIMIT}")
    name = word(device.get("device_name"))
    values = apple.chip_values(name)
    if name:
        values["chip.gpu_name"] = name
    if total := whole(device.get("memory_size")):
        values |= {"chip.memory_bytes": total, "memory.total_bytes": total}
    missing: dict[str, str] = {LEVEL: UNSUPPORTED}
    _limit(whole(device.get(_LIMIT)), values, missing)
    return Document(Partial(NAME, values, missing))


def _limit(limit: int | None, values: dict[str, Value], missing: dict[str, str]) -> None:
    if limit:
        values["memory.gpu_limit_bytes"] = limit
    else:
        missing["memory.gpu_limit_bytes"] = UNSUPPORTED
