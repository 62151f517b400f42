# SPDX-License-Identifier: Apache-2.0
"""Compare: runs side by side, a row for everything that any of them says, and which of them is best in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlops.tracking.model.facts import LONGEST_VALUE, Dataset, is_number
from mlops.tracking.model.records import (
    FINISHED,
    HARDWARE,
    SYSTEM_METRICS,
    THROUGHPUT,
    RunRecord,
    best,
    direction,
)

Value = str | float | None

_DURATION = "duration_s"
_SMALLER_HARDWARE = dict.fromkeys((*HARDWARE, _DURATION), "min")
# A run that broke off took less of these, and is not better for it.
_OF_THE_WHOLE_RUN = (*(name for name in HARDWARE if name != "mean_power_w"), _DURATION)
_UNITS = {
    "_per_second": "1/s",
    "_ms": "ms",
    "_s": "s",
    "_j": "J",
    "_w": "W",
    "_gb": "GB",
    "_percent": "%",
}


@dataclass(frozen=True)
class Row:
    """One thing, with the value of each run in their order; None where a run says nothing of it."""

    name: str
    kind: str
    unit: str
    values: tuple[Value, ...]
    best: int | None = None

    @property
    def same(self) -> bool:
        """Say whether all runs say the same."""
        return len(set(self.values)) == 1


def compare(runs: Sequence[RunRecord], goals: Sequence[Mapping[str, str]]) -> list[Row]:
    """Return the rows; *goals* is, for each run, what its project says of its metrics ("max", "min")."""
    agreed = _agreed(goals)
    return [
        *_metrics(runs, agreed),
        *_hardware(runs),
        *_texts(runs, "param", lambda run: run.params),
        *_texts(runs, "dataset", lambda run: {it.name: _version(it) for it in run.datasets}),
        *_texts(runs, "system", lambda run: run.system),
        *_texts(runs, "tag", _tags),
    ]


def _metrics(runs: Sequence[RunRecord], goals: Mapping[str, str]) -> list[Row]:
    names = sorted(
        {name for run in runs for name in run.metrics if not name.startswith(SYSTEM_METRICS)},
        key=lambda name: (name not in goals, name not in THROUGHPUT, name),
    )
    return [
        _judged(
            name,
            "metric",
            [_finite(run.metrics.get(name)) for run in runs],
            direction(name, goals),
        )
        for name in names
    ]


def _hardware(runs: Sequence[RunRecord]) -> list[Row]:
    found = [{**run.hardware, _DURATION: run.duration_s} for run in runs]
    rows = []
    for name in (_DURATION, *HARDWARE):
        values = [each[name] for each in found]
        if all(value is None for value in values):
            continue
        compete = [name not in _OF_THE_WHOLE_RUN or run.status == FINISHED for run in runs]
        rows.append(_judged(name, "hardware", values, _SMALLER_HARDWARE[name], compete))
    return rows


def _judged(
    name: str,
    kind: str,
    values: Sequence[float | None],
    goal: str | None,
    compete: Sequence[bool] = (),
) -> Row:
    takes_part = compete or [True] * len(values)
    known = {str(index): value if takes_part[index] else None for index, value in enumerate(values)}
    winner = best(known, goal)
    unit = HARDWARE.get(name, _unit(name))
    return Row(name, kind, unit, tuple(values), int(winner) if winner is not None else None)


def _texts(
    runs: Sequence[RunRecord], kind: str, read: Callable[[RunRecord], Mapping[str, str]]
) -> list[Row]:
    found = [read(run) for run in runs]
    names = sorted({name for each in found for name in each})
    return [Row(name, kind, "", tuple(_short(each.get(name)) for each in found)) for name in names]


def _tags(run: RunRecord) -> dict[str, str]:
    said = {"technique": run.technique, "source_commit": run.source_commit}
    return {**run.own_tags, **{name: value for name, value in said.items() if value}}


def _agreed(goals: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the goals of metrics that no two projects see differently."""
    seen: dict[str, set[str]] = {}
    for each in goals:
        for name, goal in each.items():
            seen.setdefault(name, set()).add(goal)
    return {name: found.pop() if len(found) == 1 else "" for name, found in seen.items()}


def _unit(name: str) -> str:
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")


def _finite(value: float | None) -> float | None:
    return value if value is not None and is_number(value) else None


def _short(value: str | None) -> str | None:
    return None if value is None else value[:LONGEST_VALUE]


def _version(dataset: Dataset) -> str:
    version = "" if dataset.version is None else str(dataset.version)
    return f"{version}@{dataset.hash}" if dataset.hash else version
