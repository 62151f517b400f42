# SPDX-License-Identifier: Apache-2.0
"""Energy of a run: what its own tags say, or what tracking has found out for it; and the tags that show it to people."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from mlops.tracking.model.records import number

NODE = "mlops.system.node"
_JOULES, _MACHINE, _SOURCE = "hw.energy_j", "hw.machine_energy_j", "hw.energy_source"
_KNOWN, _HOW = "hw.energy_known", "hw.energy_how"
_MEASURED, _ESTIMATED = "measured", "estimated"
_BEFORE = "the whole machine's, by a client that knew no shares"
_LONGEST_NODE = 63
_LONGEST_HOW = 300


@dataclass(frozen=True)
class Present:
    """A run that is RUNNING; `node` where it says on which machine."""

    run_id: str
    started_ms: int | None
    node: str | None = None


@dataclass(frozen=True)
class Used:
    """What a run took; the fields are those of the message's EnergyUse."""

    joules: float
    measured: bool = False
    node: str | None = None
    machine_j: float | None = None
    share_ratio: float | None = None
    known_ratio: float = 1.0
    how: str = ""


def told(tags: Mapping[str, str]) -> Used | None:
    """Return what the tags of a run say of its energy; None where they say nothing that can be true."""
    joules, machine_j = number(tags.get(_JOULES)), number(tags.get(_MACHINE))
    if joules is None or joules < 0:
        return None
    if machine_j is not None and machine_j < joules:
        machine_j = None
    known = number(tags.get(_KNOWN))
    return Used(
        joules=joules,
        measured=tags.get(_SOURCE) == _MEASURED,
        node=(tags.get(NODE) or "")[:_LONGEST_NODE] or None,
        machine_j=machine_j,
        share_ratio=joules / machine_j if machine_j else None,
        known_ratio=1.0 if known is None else min(1.0, max(0.0, known)),
        how=tags.get(_HOW, "" if _SOURCE in tags else _BEFORE)[:_LONGEST_HOW],
    )


def tags_of(used: Used) -> dict[str, str]:
    """Return the tags by which people see it in MLflow; `told` reads them again."""
    shown = {
        _JOULES: _text(used.joules),
        _SOURCE: _MEASURED if used.measured else _ESTIMATED,
        _KNOWN: _text(used.known_ratio),
        _HOW: used.how,
    }
    return shown if used.machine_j is None else {**shown, _MACHINE: _text(used.machine_j)}


def where(node: str | None, known: Collection[str]) -> str | None:
    """Return the machine of a run: the one it names, or the only one that there is; None where nobody can tell."""
    if node:
        return node
    return next(iter(known)) if len(known) == 1 else None


def within(used: Used, known_s: float, lasted_s: float) -> Used:
    """Return what a run took in the time that it lasted, where more was counted: its end was told late."""
    if known_s <= lasted_s or known_s <= 0:
        return used
    part = max(0.0, lasted_s) / known_s
    machine_j = None if used.machine_j is None else used.machine_j * part
    return replace(used, joules=used.joules * part, machine_j=machine_j)


def _text(value: float) -> str:
    return f"{round(value, 3):.12g}"
