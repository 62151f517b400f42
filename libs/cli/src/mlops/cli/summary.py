# SPDX-License-Identifier: Apache-2.0
"""Summary: what a message says, in one line: whom it is about, then its telling fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TELLING = (
    ("name", "model", "run_id", "dataset", "component", "title", "command_type", "kind"),
    ("version", "to_version", "previous_version", "champion_version", "phase", "alias", "severity"),
    ("metric", "value", "expected", "traffic_ratio", "error_ratio", "agreement_ratio"),
    ("share_drifted_ratio", "level"),
    ("latency_ms", "duration_s", "waited_s", "size_bytes", "step", "trigger_type", "refused_by"),
    ("ask", "from_node", "to_node"),
    ("why", "reason", "diagnosis", "suggestion"),
)
_MOST = 160


def summary(envelope: Mapping[str, Any]) -> str:
    """Return one line about an envelope."""
    data = envelope.get("data")
    fields = data if isinstance(data, dict) else {}
    about = str(envelope.get("subject") or "")
    parts = [about] if about else []
    for name in (name for group in _TELLING for name in group):
        value = fields.get(name)
        if value in (None, "") or str(value) == about:
            continue
        parts.append(f"{name}={_short(value)}")
    parts += _again(fields)
    parts += _counted(fields)
    line = " ".join(parts)
    return line if len(line) <= _MOST else f"{line[: _MOST - 1]}…"


def _again(fields: Mapping[str, Any]) -> list[str]:
    # Nearly everything is started once.
    attempt = fields.get("attempt")
    return [f"attempt={attempt}"] if isinstance(attempt, int) and attempt > 1 else []


def _counted(fields: Mapping[str, Any]) -> list[str]:
    return [f"{len(fields[name])} {name}" for name in ("predictions", "labels") if fields.get(name)]


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(str(value).split())
