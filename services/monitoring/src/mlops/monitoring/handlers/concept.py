# SPDX-License-Identifier: Apache-2.0
"""Tell concept drift: by its labels a model does worse, and neither its inputs nor its answers have drifted.

What the inputs mean has changed, then. `performance.degraded` is what acts and alerts; this says why.
"""

from __future__ import annotations

from dataclasses import replace

from mlops.contracts.monitoring import ColumnDrift, DriftDetected, DriftKind, Severity
from mlops.monitoring.handlers import telling
from mlops.monitoring.handlers.turn import Turn
from mlops.monitoring.model.alarm import Alarm, Kind
from mlops.monitoring.model.performance import Promise
from mlops.monitoring.model.windows import Window

_OTHERS = {Kind.DATA.value, Kind.PREDICTION.value, Kind.MISSING.value}
_ADVICE = (
    "The model does worse though inputs and answers look as in the reference: what they mean has changed. "
    "Retrain on rows that were labelled since then; older ones teach what no longer holds."
)


def inspect(turn: Turn, window: Window, promise: Promise, value: float) -> None:
    """Tell that it began, once, or that it is over because the model does as promised again."""
    on = turn.model.alarms.get(Kind.CONCEPT.value, Alarm()).on
    if window.degraded and not on and _is_all_else_quiet(turn, window):
        _put(turn, Alarm(on=True, told=(promise.metric,)))
        turn.tell(_detected(turn, window, promise, value))
    elif on and not window.missed:
        _put(turn, Alarm())
        turn.tell(telling.drift_cleared(turn.key, window, Kind.CONCEPT))


def _is_all_else_quiet(turn: Turn, window: Window) -> bool:
    inputs, alarms = window.inputs, turn.model.alarms
    if inputs is None or inputs.unjudged is not None or _OTHERS & set(inputs.kinds):
        return False
    return not any(alarm.on for kind, alarm in alarms.items() if kind in _OTHERS)


def _put(turn: Turn, alarm: Alarm) -> None:
    model = turn.model
    turn.page.models.put(replace(model, alarms={**model.alarms, Kind.CONCEPT.value: alarm}))


def _detected(turn: Turn, window: Window, promise: Promise, value: float) -> DriftDetected:
    threshold = value if promise.threshold is None else promise.threshold
    column = ColumnDrift(
        name=promise.metric, test="metric", score=value, threshold=threshold, drifted=True
    )
    return DriftDetected(
        project=turn.key.project,
        model=turn.key.model,
        version=window.version,
        kind=DriftKind.CONCEPT,
        severity=Severity.WARNING,
        columns=(column,),
        share_drifted_ratio=0.0,
        window=telling.window_of(window),
        suggestion=_ADVICE,
    )
