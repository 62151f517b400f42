# SPDX-License-Identifier: Apache-2.0
"""Runs: which run a person means, and how a run's figures are written in a few words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mlops.cli.errors import InputError
from mlops.cli.gateway import Gateway

Run = Mapping[str, Any]

ENDED = ("FINISHED", "FAILED", "KILLED")
_WHOLE = re.compile(r"[0-9a-f]{32}")
_NEWEST = 200
_SHOWN = 5


def resolve(gateway: Gateway, meant: str) -> str:
    """Return the id of the run that is meant: by its id, the beginning of it, or its name.

    Raises InputError when none, or more than one, of the newest runs is called so.
    """
    if _WHOLE.fullmatch(meant):
        return meant
    if not meant:
        raise InputError("which run?", "`mlops run list` shows them")
    runs = gateway.query("tracking", "runs", limit=_NEWEST).get("runs", [])
    named = [run for run in runs if run.get("name") == meant]
    found = named or [run for run in runs if str(run["run_id"]).startswith(meant)]
    if len(found) == 1:
        return str(found[0]["run_id"])
    if not found:
        raise InputError(
            f"no run {meant!r} among the newest {len(runs)}",
            "`mlops run list` shows them; an older one is found by its whole id",
        )
    which = "; ".join(
        f"{run['run_id']} of {run['project']}, {day(run.get('started_at'))}"
        for run in found[:_SHOWN]
    )
    raise InputError(f"{len(found)} runs are called {meant!r}: {which}", "give the id of one")


def day(moment: str | None) -> str:
    """Return a time as people of this place read it."""
    if not moment:
        return ""
    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return moment


def length(seconds: float | None) -> str:
    """Return a duration in the unit that suits it."""
    if seconds is None:
        return ""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def size(bytes_: float | None) -> str:
    """Return a size in the unit that suits it."""
    if bytes_ is None:
        return ""
    for step, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if bytes_ >= step:
            return f"{bytes_ / step:.1f} {unit}"
    return f"{bytes_:.0f} B"


def figures(values: Mapping[str, object], most: int = 3) -> str:
    """Return the first figures in a few words."""
    shown = [f"{name}={short(value)}" for name, value in list(values.items())[:most]]
    return " ".join(shown) + (" …" if len(values) > most else "")


def short(value: object) -> str:
    """Return a value without needless digits."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def datasets(run: Run) -> str:
    """Return the dataset versions a run has read."""
    return ", ".join(
        one["name"] if one.get("version") is None else f"{one['name']} v{one['version']}"
        for one in run.get("datasets") or ()
    )


def models(run: Run) -> str:
    """Return the model versions that came of a run."""
    return ", ".join(f"{one['name']}:{one['version']}" for one in run.get("models") or ())


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """Return the course of a figure as small bars: the lowest is the lowest of these values."""
    bars = "▁▂▃▄▅▆▇█"
    if not values:
        return ""
    step = max(1.0, len(values) / width)
    ends = [min(len(values), round((at + 1) * step)) - 1 for at in range(min(width, len(values)))]
    shown = [values[end] for end in ends]
    low, high = min(shown), max(shown)
    if high == low:
        return bars[0] * len(shown)
    return "".join(bars[round((value - low) / (high - low) * (len(bars) - 1))] for value in shown)
