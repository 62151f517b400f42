# SPDX-License-Identifier: Apache-2.0
"""A new version answers, or a person wants a look at the open window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlops.chassis.bus import Documents
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.monitoring import EvaluateWindow, ReportPublished
from mlops.contracts.serving import (
    DeploymentCompleted,
    DeploymentFailed,
    DeploymentRemoved,
    DeploymentReverted,
    DeploymentStarted,
)
from mlops.monitoring.handlers import labels, telling
from mlops.monitoring.handlers.judging import Judge, promise_of
from mlops.monitoring.handlers.tables import TableHandlers, version_of
from mlops.monitoring.handlers.troubles import Meaning, of_removed
from mlops.monitoring.handlers.turn import Turn, checked_version
from mlops.monitoring.model.candidates import Candidate
from mlops.monitoring.model.metrics import measure_rows
from mlops.monitoring.model.windows import ModelKey, Phase, Watched, Window
from mlops.monitoring.ports import EVALUATION, Ledger, Page, WatchedProject

Ended = DeploymentFailed | DeploymentReverted


class DeploymentHandlers:
    """What happens when a version or a judgement is asked for."""

    def __init__(
        self,
        projects: Documents[WatchedProject],
        ledger: Ledger,
        judge: Judge,
        tables: TableHandlers,
    ) -> None:
        self._projects = projects
        self._ledger = ledger
        self._judge = judge
        self._tables = tables

    async def on_deployment_started(self, event: DeploymentStarted) -> Sequence[Message]:
        """Hold the new version against the one that answers, for as long as both do."""
        against = event.previous_version
        if against is None or against == event.version:
            return []
        version = checked_version(event.version)
        candidate = Candidate(version, checked_version(against), event.time)

        def change(page: Page) -> Sequence[Message]:
            turn = Turn(page, event, ModelKey(event.project, event.model), WatchedProject())
            page.models.put(turn.model.rolling_out(candidate))
            return []

        return await self._ledger.apply(event.id, change)

    async def on_deployment_ended(self, event: Ended) -> Sequence[Message]:
        """Compare no longer: the version was taken back, or failed."""

        def change(page: Page) -> Sequence[Message]:
            turn = Turn(page, event, ModelKey(event.project, event.model), WatchedProject())
            page.models.put(turn.model.rolled_out(event.version, event.time))
            return []

        return await self._ledger.apply(event.id, change)

    async def on_deployment_removed(self, event: DeploymentRemoved) -> Sequence[Message]:
        """Judge the model no longer, if this was the version that answers; what was wrong with it is over."""

        def change(page: Page) -> Sequence[Message]:
            turn = Turn(page, event, ModelKey(event.project, event.model), WatchedProject())
            model = turn.model.rolled_out(event.version, event.time)
            page.models.put(model)
            if model.answered(event.version, event.time):
                self._judge.clear_alarms(turn)
                page.models.put(replace(turn.model, degraded=False, gone=True))
            return turn.told

        return await self._ledger.apply(event.id, change)

    async def meaning_of_removed(self, event: DeploymentRemoved) -> Meaning:
        """Return what is over for people: everything that was wrong with a version that answered."""
        key = ModelKey(event.project, event.model)
        model = await self._ledger.look(lambda page: page.models.get(key) or Watched(key))
        return of_removed(event, answered=model.answered(event.version, event.time))

    async def on_deployment_completed(self, event: DeploymentCompleted) -> Sequence[Message]:
        """Watch the new version: its promise, its own windows, its own reference."""
        project = await self._projects.get(event.project) or WatchedProject()
        version, key = checked_version(event.version), ModelKey(event.project, event.model)
        known = await self._ledger.look(lambda page: page.models.get(key) or Watched(key))
        # One that answers again has its own reference; the file is of a later training by now.
        is_new = version not in known.expected
        brought = await self._tables.of_project(project) if is_new else None

        def change(page: Page) -> Sequence[Message]:
            turn = Turn(page, event, key, project)
            before = turn.model
            after = before.deployed(version, event.time, event.metrics)
            if after.version != before.version:
                self._judge.clear_alarms(turn)
                _end_other_windows(turn, version)
                after = replace(after, alarms={})
            page.models.put(after.rolled_out(version, event.time))
            for forgotten in before.expected.keys() - after.expected.keys():
                page.baselines.drop(turn.key, forgotten)
            if brought is not None and version in after.expected.keys() - before.expected.keys():
                self._tables.take(turn, version, brought)
            self._judge.catch_up(turn)
            self._judge.advance(turn)
            return turn.told

        return await self._ledger.apply(event.id, change)

    async def do_evaluate_window(self, command: EvaluateWindow) -> Sequence[Message]:
        """Measure the open window as far as it is labelled, and promise a full report of it."""
        project = await self._projects.get(command.project) or WatchedProject()

        def change(page: Page) -> Sequence[Message]:
            turn = Turn(page, command, ModelKey(command.project, command.model), project)
            window = _open_window(turn)
            self._evaluate(turn, window)
            return turn.told

        return await self._ledger.apply(command.id, change)

    def _evaluate(self, turn: Turn, window: Window) -> None:
        promise = promise_of(turn.project, turn.model, window.version)
        found = measure_rows(promise.metric, labels.rows_of(turn, window, promise.metric))
        if found is not None:
            judged = replace(window, degraded=promise.broken_by(found, ()))
            index = turn.model.windows_full
            turn.tell(telling.measured(turn.key, judged, promise, found, index))
        if turn.page.baselines.made(turn.key, window.version) is not None:
            # Made from the command's id, not of it: whoever sends one may call it anything, "../.." too.
            place = follow_up_id(turn.cause.id, ReportPublished.type, 0)[:13]
            name = f"v{window.version}-evaluation-{place.replace('-', '')}"
            turn.promise_report(window, EVALUATION, name, turn.cause.id)
        elif found is None:
            raise RejectedError(
                f"model {turn.key.model!r}: nothing can be said about its open window of {window.rows} rows: "
                f"the reference of version {window.version} is still being collected and no label is known; "
                "send labels, or set a reference with cmd.monitor.reference"
            )


def _open_window(turn: Turn) -> Window:
    version = version_of(turn)
    for window in turn.page.windows.unfinished(turn.key):
        if window.phase is Phase.OPEN and window.version == version and window.rows:
            return window
    raise RejectedError(
        f"model {turn.key.model!r} version {version} has no predictions in its open window; "
        "send some requests first"
    )


def _end_other_windows(turn: Turn, version: int) -> None:
    # No window straddles versions; the rows that the new version has answered so far stay.
    ended = [
        window.number
        for window in turn.page.windows.unfinished(turn.key)
        if window.phase is Phase.OPEN and window.version != version
    ]
    turn.page.windows.drop(turn.key, ended)
