# SPDX-License-Identifier: Apache-2.0
"""Predictions and labels go into the ledger; full windows come out judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlops.chassis.bus import Documents
from mlops.contracts.gateway import LabelRecorded
from mlops.contracts.message import Message
from mlops.contracts.serving import Prediction, PredictionLogged
from mlops.monitoring.handlers import candidates
from mlops.monitoring.handlers.judging import Judge
from mlops.monitoring.handlers.turn import Turn, checked_version
from mlops.monitoring.model.windows import (
    ModelKey,
    Phase,
    Row,
    Truth,
    Window,
    reference_windows,
)
from mlops.monitoring.ports import Ledger, Page, WatchedProject

_SUMMARIES = 1000
_DROPPED_AT_ONCE = 20


class RowHandlers:
    """What happens when a model has answered, and when the truth is known."""

    def __init__(
        self, projects: Documents[WatchedProject], ledger: Ledger, judge: Judge, keep_windows: int
    ) -> None:
        self._projects = projects
        self._ledger = ledger
        self._judge = judge
        self._keep = keep_windows

    async def on_prediction_logged(self, event: PredictionLogged) -> Sequence[Message]:
        """Fill windows with a batch of predictions; a project that is not known yet has the defaults."""
        project = await self._projects.get(event.project) or WatchedProject()
        if project.archived:
            return []
        key, version = ModelKey(event.project, event.model), checked_version(event.version)

        def change(page: Page) -> Sequence[Message]:
            turn = Turn(page, event, key, project)
            if self._fill(turn, version, _fresh(turn, event.predictions)):
                self._judge.advance(turn)
                self._tidy(turn)
            candidates.compare(turn)
            return turn.told

        return await self._ledger.apply(event.id, change)

    async def on_label_recorded(self, event: LabelRecorded) -> Sequence[Message]:
        """Keep labels, also those whose prediction is not here yet, and measure what is now due."""
        project = await self._projects.get(event.project) or WatchedProject()
        if project.archived:
            return []
        key = ModelKey(event.project, event.model)
        truths = [Truth(label.request_id, label.label, label.at) for label in event.labels]

        def change(page: Page) -> Sequence[Message]:
            turn = Turn(page, event, key, project)
            newly = page.rows.label(key, truths)
            for window in page.windows.unfinished(key):
                if window.number in newly:
                    labelled = window.labelled + newly[window.number]
                    page.windows.put(key, replace(window, labelled=labelled))
            self._judge.advance(turn)
            candidates.compare(turn)
            return turn.told

        return await self._ledger.apply(event.id, change)

    def _fill(self, turn: Turn, version: int, rows: Sequence[Row]) -> bool:
        """Put rows into windows; return whether one is full now."""
        filled = False
        while rows:
            window = _open_window(turn, version)
            taken, rows = rows[: window.room], rows[window.room :]
            labelled = turn.page.rows.add(turn.key, window.number, taken)
            window = window.grown(taken, labelled)
            if window.room == 0:
                filled = True
                model = turn.model
                window = replace(window, phase=Phase.FULL, index=model.windows_full)
                turn.page.models.put(replace(model, windows_full=model.windows_full + 1))
            turn.page.windows.put(turn.key, window)
        return filled

    def _tidy(self, turn: Turn) -> None:
        """Forget the rows of old windows, give up the unlabelled ones, drop very old summaries."""
        model, page = turn.model, turn.page
        keep = max(self._keep, reference_windows(turn.project.monitor.window))
        recent = page.windows.latest(turn.key, 4 * keep)
        old = [
            w
            for w in recent
            if w.stored and _is_old(w, model.windows_full, model.windows_made, keep)
        ]
        page.rows.clear(turn.key, [window.number for window in old])
        for window in old:
            phase = Phase.MEASURED if window.phase is Phase.MEASURED else Phase.EXPIRED
            page.windows.put(turn.key, replace(window, phase=phase, stored=False))
        ended = model.windows_made - _SUMMARIES
        page.windows.drop(turn.key, range(max(0, ended - _DROPPED_AT_ONCE), ended))


def _is_old(window: Window, full: int, made: int, keep: int) -> bool:
    if window.index is None:
        return window.number < made - 2 * keep
    return window.index < full - keep


def _open_window(turn: Turn, version: int) -> Window:
    for window in turn.page.windows.unfinished(turn.key):
        if window.phase is Phase.OPEN and window.version == version:
            return window
    model = turn.model
    turn.page.models.put(replace(model, windows_made=model.windows_made + 1))
    return Window(model.windows_made, version, turn.project.monitor.window)


def _fresh(turn: Turn, predictions: Sequence[Prediction]) -> list[Row]:
    # A retried request is logged twice under one id; it was one question and counts once.
    once = {prediction.request_id: prediction for prediction in reversed(predictions)}
    unknown = turn.page.rows.unknown(turn.key, once.keys())
    return [
        Row(prediction.request_id, prediction.at, prediction.features, prediction.prediction)
        for prediction in predictions
        if prediction.request_id in unknown and once[prediction.request_id] is prediction
    ]
