# SPDX-License-Identifier: Apache-2.0
"""A report in a few sentences: what a person should know who reads nothing else."""

from __future__ import annotations

from mlops.monitoring.model.reports import Report
from mlops.monitoring.model.reports_entries import Lane

_HOUR_S, _MINUTE_S = 3600.0, 60.0
_WH_J = 3600.0


def headline(report: Report) -> tuple[str, ...]:
    """Return the sentences, the most important first."""
    if report.empty:
        return ("Nothing was recorded in this period.",)
    return tuple(
        sentence
        for sentence in (_quality(report), _answers(report), _changes(report), _alerts(report))
        if sentence
    ) + _heat(report)


def energy(joules: float | None) -> str:
    """Return an energy in the unit that suits it."""
    if joules is None:
        return "not known"
    for least, size, unit in ((3.6e6, 3.6e6, "kWh"), (1000.0, _WH_J, "Wh")):
        if joules >= least:
            return f"{joules / size:.3g} {unit}"
    return f"{joules:.3g} J"


def span(seconds: float) -> str:
    """Return a length of time in the unit that suits it."""
    if seconds >= _HOUR_S:
        return f"{seconds / _HOUR_S:.1f} h"
    return f"{seconds / _MINUTE_S:.0f} min" if seconds >= _MINUTE_S else f"{seconds:.0f} s"


def _quality(report: Report) -> str:
    measured = [(model, found) for model in report.models for found in model.quality]
    bad = [(model, found) for model, found in measured if found.degraded_windows]
    if not measured:
        return (
            "No labels came, so nothing says how right the answers were." if report.models else ""
        )
    if not bad:
        windows = sum(len(found.windows) for _, found in measured)
        kept = "The one measured window" if windows == 1 else f"All {windows} measured windows"
        return f"{kept} did as well as promised."
    named = ", ".join(
        f"{model.model} in {found.degraded_windows} of {len(found.windows)}"
        for model, found in bad[:3]
    )
    return f"Worse than promised: {named} measured windows."


def _answers(report: Report) -> str:
    done = report.traffic
    if not done.predictions:
        return ""
    failed = (
        "" if not done.failed else f", {done.failed:,} of {done.requests or 0:,} requests failed"
    )
    took = "" if done.joules is None else f", for {energy(done.joules)}"
    return f"{done.predictions:,} predictions{failed}{took}."


def _changes(report: Report) -> str:
    lanes = [one.lane for one in report.moments]
    told = (
        (sum(one.kind == "retrain" for one in report.trainings), "retraining"),
        (lanes.count(Lane.ROLLOUT), "rollout"),
        (lanes.count(Lane.REVERTED), "way back"),
        (lanes.count(Lane.DRIFT), "drift warning"),
    )
    found = [_some(number, what) for number, what in told if number]
    return f"{', '.join(found)}.".capitalize() if found else "No version changed."


def _alerts(report: Report) -> str:
    if not report.alerts:
        return ""
    still = sum(one.closed is None for one in report.alerts)
    rest = "none is open" if not still else f"{still} still open"
    return f"{_some(len(report.alerts), 'alert')}, {rest}."


def _heat(report: Report) -> tuple[str, ...]:
    hot = [one for one in report.machines if one.throttled_s > 0]
    return tuple(
        f"{one.node} was throttled by heat for {span(one.throttled_s)}." for one in hot[:3]
    )


def _some(number: int, what: str) -> str:
    plural = "ways back" if what == "way back" else f"{what}s"
    return f"{number} {what if number == 1 else plural}"
