# SPDX-License-Identifier: Apache-2.0
"""A new version answers, or a person wants another reference or a look at the open window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlops.chassis.bus import Documents
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.monitoring import EvaluateWindow, ReportPublished, SetReference
from mlops.contracts.serving import DeploymentCompleted
from mlops.monitoring.handlers import telling
from mlops.monitoring.handlers.judging import Judge, baseline_of, promise_of
from mlops.monitoring.handlers.turn import Turn, checked_version
from mlops.monitoring.model.performance import measure
from mlops.monitoring.model.reference import MIN_ROWS
from mlops.monitoring.model.windows import ModelKey, Phase, Row, Window
from mlops.monitoring.ports import EVALUATION, Columns, Ledger, Page, Tables, WatchedProject

_PREDICTION = "prediction"


class DeploymentHandlers:
    """What happens when a version, a reference or a judgement is asked for."""

    def __init__(
        self, projects: Documents[WatchedProject], ledger: Ledger, judge: Judge, tables: Tables
    ) -> None:
        self._projects = projects
        self._ledger = ledger
        self._judge = judge
        self._tables = tables

    async def on_deployment_completed(self, event: DeploymentCompleted) -> Sequence[Message]:
        """Watch the new version: its promise, its own windows, its own reference."""
        project = await self._projects.get(event.project) or WatchedProject()
        version = checked_version(event.version)

        def change(page: Page) -> Sequence[Message]:
            turn = Turn(page, event, ModelKey(event.project, event.model), project)
            before = turn.model
            after = before.deployed(version, event.time, event.metrics)
            if after.version != before.version:
                self._judge.clear_alarms(turn)
                _end_other_windows(turn, version)
                after = replace(after, alarms={})
            page.models.put(after)
            for forgotten in before.expected.keys() - after.expected.keys():
                page.baselines.drop(turn.key, forgotten)
            self._judge.catch_up(turn)
            self._judge.advance(turn)
            return turn.told

        return await self._ledger.apply(event.id, change)

    async def do_set_reference(self, command: SetReference) -> Sequence[Message]:
        """Take the next windows, or the rows of a file, as the reference of the version that answers."""
        project = await self._projects.get(command.project) or WatchedProject()
        columns = None if command.uri is None else await self._read(command, command.uri, project)

        def change(page: Page) -> Sequence[Message]:
            turn = Turn(page, command, ModelKey(command.project, command.model), project)
            version = _version(turn)
            self._judge.clear_alarms(turn)
            if columns is None:
                page.baselines.drop(turn.key, version)
                page.models.put(replace(turn.model, reference_from=turn.model.windows_full))
                turn.tell(telling.reference_to_come(turn.key, version, project.monitor.window))
            else:
                rows = _rows_of(turn, command.uri or "", columns)
                baseline = baseline_of(
                    turn, version, rows, project.monitor.window, command.uri or ""
                )
                page.baselines.put(turn.key, baseline)
                turn.tell(telling.reference_chosen(turn.key, baseline))
            return turn.told

        return await self._ledger.apply(command.id, change)

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
        rows = [row for row in turn.page.rows.of(turn.key, window.number) if row.labelled]
        promise = promise_of(turn.project, turn.model, window.version)
        found = measure(promise.metric, [(row.prediction, row.label) for row in rows])
        if found is not None:
            judged = replace(window, degraded=promise.broken_by(found, ()))
            index = turn.model.windows_full
            turn.tell(telling.measured(turn.key, judged, promise, found.value, index))
        if turn.page.baselines.get(turn.key, window.version) is not None:
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

    async def _read(self, command: SetReference, uri: str, project: WatchedProject) -> Columns:
        if project.path is None:
            raise RejectedError(
                f"project {command.project!r} has no folder, so {uri!r} cannot be read; "
                "register it with its path, or leave the uri out to take the next windows"
            )
        return await self._tables.read(uri, project.path)


def _version(turn: Turn) -> int:
    if turn.model.version is not None:
        return turn.model.version
    latest = turn.page.windows.latest(turn.key, 1)
    if not latest:
        raise _unknown(turn)
    return latest[0].version


def _unknown(turn: Turn) -> RejectedError:
    known = [m.key.model for m in turn.page.models.all() if m.key.project == turn.key.project]
    return RejectedError(
        f"project {turn.key.project!r} has no model {turn.key.model!r} with a deployment or predictions; "
        f"known here: {', '.join(known) or 'none yet'}"
    )


def _open_window(turn: Turn) -> Window:
    version = _version(turn)
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


def _rows_of(turn: Turn, uri: str, columns: Columns) -> list[Row]:
    """Return the file's rows, with the columns the model is known to get; a label or a date is none of them."""
    seen = _features_seen(turn)
    names = sorted(seen & columns.keys())
    length = len(next(iter(columns.values()), ()))
    if not names:
        raise RejectedError(
            f"{uri!r} has no column that model {turn.key.model!r} gets: the file has {sorted(columns)[:20]}, "
            f"the newest requests have {sorted(seen)[:20] or 'not come yet'}"
        )
    if length < MIN_ROWS:
        raise RejectedError(
            f"{uri!r} has {length} rows; a reference needs {MIN_ROWS}, in time order"
        )
    answers = columns.get(_PREDICTION, [None] * length)
    return [
        Row(str(i), turn.cause.time, {name: columns[name][i] for name in names}, answers[i])
        for i in range(length)
    ]


def _features_seen(turn: Turn) -> set[str]:
    newest: Sequence[Window] = [
        w for w in turn.page.windows.latest(turn.key, 5) if w.rows and w.stored
    ]
    if not newest:
        return set()
    return {name for row in turn.page.rows.of(turn.key, newest[-1].number) for name in row.features}
