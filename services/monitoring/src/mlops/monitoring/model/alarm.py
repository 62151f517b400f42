# SPDX-License-Identifier: Apache-2.0
"""When an alarm begins, grows and ends: persistence over windows, so that each thing is told once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from mlops.monitoring.model.drift import WindowVerdict

CRITICAL_MISSING = 0.2
_QUIET_WINDOWS = 2
_COLUMNS_AT_ONCE = 3


class Kind(StrEnum):
    """What can drift."""

    DATA = "data"
    PREDICTION = "prediction"
    LABEL = "label"
    CONCEPT = "concept"
    MISSING = "missing"


class Edge(StrEnum):
    """What is worth telling about an alarm after a window."""

    BEGAN = "began"
    GREW = "grew"
    CLEARED = "cleared"


@dataclass(frozen=True)
class Sign:
    """What one window says about one kind of drift."""

    seen: bool
    at_once: bool = False
    columns: tuple[str, ...] = ()
    critical: bool = False


@dataclass(frozen=True)
class Alarm:
    """The memory of one kind of drift of one model; `recent` holds the newest windows last."""

    recent: tuple[bool, ...] = ()
    on: bool = False
    told: tuple[str, ...] = ()
    critical: bool = False
    quiet: int = 0


def signs(verdict: WindowVerdict, share: float) -> dict[Kind, Sign]:
    """Return what a judged window says about each kind; *share* is the share of columns that is told at once."""
    moved, gone = verdict.moved, verdict.gone
    many = len(moved) >= _COLUMNS_AT_ONCE and len(moved) >= share * len(verdict.columns)
    own = verdict.prediction
    return {
        Kind.DATA: Sign(
            seen=bool(moved) or verdict.together or bool(verdict.pairs),
            at_once=many or any(column.big for column in moved),
            columns=tuple(column.name for column in moved),
        ),
        Kind.PREDICTION: Sign(
            seen=own is not None and (own.moved or own.missing_moved),
            at_once=own is not None and own.big,
            columns=("prediction",),
        ),
        Kind.MISSING: Sign(
            seen=bool(gone),
            at_once=any(column.big for column in gone),
            columns=tuple(column.name for column in gone),
            critical=any(column.missing_ratio > CRITICAL_MISSING for column in gone),
        ),
    }


def step(alarm: Alarm, kind: Kind, sign: Sign, persist: int) -> tuple[Alarm, Edge | None]:
    """Return the alarm after one more judged window, and what is to be told.

    It begins when *persist* of the newest *persist* + 1 windows, this one among them, saw drift, or at once when the
    sign says so. It grows with a new column or when it becomes critical, and ends after two quiet windows.
    """
    recent = (*alarm.recent, sign.seen)[-(persist + 1) :]
    lasting = sign.seen and sum(recent) >= persist
    critical = sign.critical or (kind is Kind.PREDICTION and lasting)
    alarm = replace(alarm, recent=recent, quiet=0 if sign.seen else alarm.quiet + 1)
    if not alarm.on:
        if not (lasting or (sign.seen and sign.at_once)):
            return alarm, None
        return replace(alarm, on=True, told=sign.columns, critical=critical), Edge.BEGAN
    if alarm.quiet >= _QUIET_WINDOWS:
        return Alarm(recent=recent, quiet=alarm.quiet), Edge.CLEARED
    new = tuple(name for name in sign.columns if sign.seen and name not in alarm.told)
    worse = critical and not alarm.critical
    grown = replace(alarm, told=(*alarm.told, *new), critical=alarm.critical or critical)
    return grown, Edge.GREW if new or worse else None
