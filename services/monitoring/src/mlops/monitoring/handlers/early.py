# SPDX-License-Identifier: Apache-2.0
"""Tell `change.suspected` when the level of answers, errors or truths of the version that answers has changed."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.monitoring.handlers import telling
from mlops.monitoring.handlers.turn import Turn
from mlops.monitoring.model import early
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.early import Watch
from mlops.monitoring.model.windows import Row


def of_answers(turn: Turn, version: int, rows: Sequence[Row]) -> None:
    """Watch new answers, and the errors of those whose truth was known before."""
    _watch(turn, version, early.ANSWER, early.answers(row.prediction for row in rows))


def of_labels(turn: Turn, version: int, pairs: Sequence[tuple[Value, Value]]) -> None:
    """Watch answers whose truth is known now."""
    metric = turn.project.evaluate.metric
    _watch(turn, version, early.ERROR, early.errors(metric, pairs))
    _watch(turn, version, early.LABEL, early.truths(pairs))


def _watch(turn: Turn, version: int, series: str, numbers: Sequence[float]) -> None:
    if not numbers or not turn.model.judges(version):
        return
    watch = turn.page.watches.get(turn.key)
    if watch is None or watch.version != version:
        watch = Watch(version)
    watch, change = watch.after(series, numbers)
    turn.page.watches.put(turn.key, watch)
    if change is not None:
        turn.tell(telling.change_suspected(turn.key, version, series, change, turn.model))
