# SPDX-License-Identifier: Apache-2.0
"""A report in a few sentences: what a person should know who reads nothing else."""

from __future__ import annotations

from mlops.monitoring.model.reports import Report
from mlops.monitoring.model.reports_entries import Lane

_HOUR_S, _MINUTE_S = 3600.0, 60.0
_WH_J = 3600.0
_NAMED = 3


def headline(report: Report) -> tuple[str, ...]:
    """Return the sentences, the most important first."""
    if report.empty:
        return ("Nothing was recorded in this period.",)
    return tuple(
        sentence
        for sentence in (
            _quality(report),
            _answers(report),
            _before(report),
            _changes(report),
            _alerts(report),
        )
        if sentence
    ) + _heat(report)


def figure_name(figure: str, metric: str) -> str:
    """Return what a figure that is compared is called."""
    names = {
        "predictions": "predictions",
        "failed_ratio": "requests failed",
        "p95_ms": "95 % of answers within",
        "joules_per_1000": "energy per 1000 predictions",
        "drift": "drift warnings",
        "energy": "energy of answers and trainings",
    }
    return names.get(figure, metric)


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
    promised = [one for _, found in measured for one in found.windows if one.expected is not None]
    if not bad and not promised:
        windows = sum(len(found.windows) for _, found in measured)
        return f"{_some(windows, 'window')} measured, against no promise."
    if not bad:
        kept = "The one" if len(promised) == 1 else f"All {len(promised)}"
        return f"{kept} measured {'window' if len(promised) == 1 else 'windows'} did as well as promised."
    bad.sort(key=lambda one: -one[1].degraded_windows / len(one[1].windows))
    named = ", ".join(
        f"{model.model} in {found.degraded_windows} of {len(found.windows)}"
        for model, found in bad[:_NAMED]
    )
    more = f", and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    return f"Worse than promised: {named} measured windows{more}."


def _answers(report: Report) -> str:
    done = report.traffic
    if not done.predictions:
        return ""
    failed = (
        "" if not done.failed else f", {done.failed:,} of {done.requests or 0:,} requests failed"
    )
    took = "" if done.joules is None else f", for {energy(done.joules)}"
    return f"{done.predictions:,} predictions{failed}{took}."


def _before(report: Report) -> str:
    """Return what changed by more than noise; of one model, not of it and of everything."""
    found = [one for one in report.changes if one.beyond_noise]
    of_models = [one for one in found if one.model is not None]
    if not of_models and not found:
        return ""
    named = [
        f"{figure_name(one.figure, one.metric)} of {one.model or 'everything'}"
        for one in (of_models or found)
    ]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    kind = report.period.name
    return (
        f"Changed by more than noise against the {kind} before: {', '.join(named[:_NAMED])}{more}."
    )


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
