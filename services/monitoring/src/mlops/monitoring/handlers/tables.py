# SPDX-License-Identifier: Apache-2.0
"""Tables that people bring: one becomes the reference of a version, or is judged against it without a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlops.chassis.bus import Documents, Question
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.message import Message
from mlops.contracts.monitoring import SetReference
from mlops.monitoring.handlers import labels, telling
from mlops.monitoring.handlers.judged import answer
from mlops.monitoring.handlers.judging import Judge, baseline_of, promise_of
from mlops.monitoring.handlers.turn import Turn
from mlops.monitoring.model.metrics import measure
from mlops.monitoring.model.reference import MIN_ROWS
from mlops.monitoring.model.tables import (
    Measures,
    Parts,
    Sample,
    judge_table,
    take_apart,
)
from mlops.monitoring.model.windows import (
    ModelKey,
    Row,
    Watched,
    Window,
    columns_of,
    every,
    in_parts,
)
from mlops.monitoring.ports import Baseline, Columns, Ledger, Page, Tables, WatchedProject, Which

_MOST_SHOWN = 20
_LONGEST_SHOWN = 64
_MANY = 20_000


@dataclass(frozen=True)
class Wanted:
    """A file that is to become a reference, and its columns of answers and truths where somebody named them."""

    uri: str
    prediction: str | None
    target: str | None


@dataclass(frozen=True)
class Brought:
    """What was read of it: rows, or why they cannot be used."""

    wanted: Wanted
    parts: Parts | None
    problem: str = ""


class TableHandlers:
    """What happens to a table."""

    def __init__(
        self, projects: Documents[WatchedProject], ledger: Ledger, judge: Judge, tables: Tables
    ) -> None:
        self._projects = projects
        self._ledger = ledger
        self._judge = judge
        self._tables = tables

    async def do_set_reference(self, command: SetReference) -> Sequence[Message]:
        """Take the next windows, or the rows of a table, as the reference of the version that answers."""
        project = await self._projects.get(command.project) or WatchedProject()
        wanted = None
        if command.uri is not None:
            wanted = Wanted(command.uri, command.prediction, command.target)
        parts = None if wanted is None else await self._parts_of(wanted, project)

        def change(page: Page) -> Sequence[Message]:
            turn = Turn(page, command, ModelKey(command.project, command.model), project)
            version = version_of(turn)
            self._judge.clear_alarms(turn)
            if wanted is None or parts is None:
                page.baselines.drop(turn.key, version)
                model = turn.model.referring(version, project.evaluate.metric, None)
                page.models.put(replace(model, reference_from=model.windows_full))
                turn.tell(telling.reference_to_come(turn.key, version, project.monitor.window))
            else:
                self._take(turn, version, wanted, parts)
            return turn.told

        return await self._ledger.apply(command.id, change)

    async def of_project(self, project: WatchedProject) -> Brought | None:
        """Return the rows of the file that a project names for its new versions; None when it names none."""
        told = project.monitor.reference
        if told.file is None:
            return None
        wanted = Wanted(told.file, told.prediction, told.target)
        try:
            return Brought(wanted, await self._parts_of(wanted, project))
        except (RejectedError, UnavailableError) as error:
            # The version is watched all the same; who sees the alert can choose the file by hand.
            return Brought(wanted, None, str(error))

    def take(self, turn: Turn, version: int, brought: Brought) -> None:
        """Make them the reference of a new version; where they cannot be, say why: its first requests become it."""
        problem = brought.problem
        if brought.parts is not None:
            try:
                self._take(turn, version, brought.wanted, brought.parts)
            except RejectedError as error:
                problem = str(error)
            else:
                return
        window = turn.project.monitor.window
        turn.tell(telling.reference_to_come(turn.key, version, window, problem))

    async def judge(self, question: Question) -> Mapping[str, Any]:
        """Answer `query.monitoring.judge {project, model, uri, prediction?, target?}`; it changes nothing."""
        key = ModelKey(_text(question, "project"), _text(question, "model"))
        uri = _text(question, "uri")
        project = await self._projects.get(key.project)
        if project is None:
            raise RejectedError(
                f"project {key.project!r} is not known here; register it with `mlops register`"
            )
        model, baseline = await self._ledger.look(lambda page: _current(page, key))
        table = await self._tables.read(uri, project.path)
        parts = _parts(uri, table.columns, question.get("prediction"), question.get("target"))
        _check_fit(uri, parts, baseline)
        promise = promise_of(project, model, baseline.version)
        drift = project.monitor.drift
        sample = Sample(baseline.features, baseline.predictions, baseline.window_rows)
        by = Measures(promise, drift.alpha, drift.share)
        found = await asyncio.to_thread(judge_table, parts, sample, by)
        return answer(found, table, baseline, promise)

    def _take(self, turn: Turn, version: int, wanted: Wanted, parts: Parts) -> None:
        rows = _rows_of(turn, version, wanted, parts)
        metric = turn.project.evaluate.metric
        baseline = baseline_of(turn, version, rows, turn.project.monitor.window, wanted.uri)
        shown = measure(metric, parts.pairs)
        turn.page.baselines.put(turn.key, baseline)
        labels.refer(turn, version, parts.labels or ())
        turn.page.models.put(turn.model.referring(version, metric, shown))
        turn.tell(telling.reference_chosen(turn.key, baseline, metric, shown))

    async def _parts_of(self, wanted: Wanted, project: WatchedProject) -> Parts:
        table = await self._tables.read(wanted.uri, project.path)
        return _parts(wanted.uri, table.columns, wanted.prediction, wanted.target)


def version_of(turn: Turn) -> int:
    """Return the version that answers; RejectedError when there is none."""
    if turn.model.version is not None:
        return turn.model.version
    latest = turn.page.windows.latest(turn.key, 1)
    if not latest:
        raise _unknown(turn.page, turn.key)
    return latest[0].version


def _current(page: Page, key: ModelKey) -> tuple[Watched, Baseline]:
    model = page.models.get(key) or Watched(key)
    latest = page.windows.latest(key, 1)
    version = model.version if model.version is not None or not latest else latest[0].version
    if version is None:
        raise _unknown(page, key)
    baseline = page.baselines.get(key, version)
    if baseline is None:
        raise RejectedError(
            f"model {key.model!r} version {version} has no reference yet; set one with set_reference_data "
            "or cmd.monitor.reference, or wait until its first windows are full"
        )
    return model, baseline


def _unknown(page: Page, key: ModelKey) -> RejectedError:
    known = [m.key.model for m in page.models.all() if m.key.project == key.project]
    return RejectedError(
        f"project {key.project!r} has no model {key.model!r} with a deployment or predictions; "
        f"known here: {', '.join(known) or 'none yet'}"
    )


def _text(question: Question, name: str) -> str:
    found = question.get(name)
    if not isinstance(found, str) or not found:
        raise RejectedError(f"query.monitoring.judge needs {name!r}: a text")
    return found


def _parts(uri: str, columns: Columns, prediction: object, target: object) -> Parts:
    named = [None if name in (None, "") else str(name) for name in (prediction, target)]
    try:
        return take_apart(columns, *named)
    except KeyError as error:
        raise RejectedError(
            f"{uri!r} has no column {error.args[0]!r}; it has {_shown(columns)}"
        ) from error


def _check_fit(uri: str, parts: Parts, baseline: Baseline) -> None:
    if parts.rows and parts.features.keys() & baseline.features.keys():
        return
    if not parts.rows:
        raise RejectedError(f"{uri!r} has no rows; bring some predictions")
    raise RejectedError(
        f"{uri!r} has no column of the reference: it has {_shown(parts.features)}, "
        f"the reference has {_shown(baseline.features)}; bring the columns that the model gets"
    )


def _rows_of(turn: Turn, version: int, wanted: Wanted, parts: Parts) -> list[Row]:
    """Return the table's rows, with the columns that the version is known to get.

    Before its first request nobody knows these: then all are taken that are neither answers nor truth, if somebody
    said which those are, else those of the versions before; otherwise a label or a date would pass for an input.
    """
    said = wanted.prediction is not None or wanted.target is not None
    seen, given = _features_seen(turn, version, others=not said), parts.features.keys()
    names = sorted(given if said and not seen else seen & given)
    if not names:
        raise RejectedError(
            f"{wanted.uri!r} has no column that model {turn.key.model!r} gets: the file has "
            f"{_shown(parts.features)}, the newest requests have {_shown(seen) or 'not come yet'}; "
            "name the columns of target and prediction, and all others are taken"
        )
    if parts.rows < MIN_ROWS:
        raise RejectedError(
            f"{wanted.uri!r} has {parts.rows} rows; a reference needs {MIN_ROWS}, in time order"
        )
    answers = parts.predictions or [None] * parts.rows
    columns = {name: parts.features[name] for name in names}
    return [
        Row(str(i), turn.cause.time, {name: columns[name][i] for name in names}, answers[i])
        for i in range(parts.rows)
    ]


def _shown(names: Iterable[str]) -> list[str]:
    """Return some of the names, short: a stranger's table may have any."""
    return [name[:_LONGEST_SHOWN] for name in sorted(names)[:_MOST_SHOWN]]


def _features_seen(turn: Turn, version: int, *, others: bool) -> set[str]:
    stored = [w for w in turn.page.windows.latest(turn.key, 5) if w.rows and w.stored]
    newest: Sequence[Window] = [w for w in stored if w.version == version]
    if not newest and others:
        newest = stored
    if not newest:
        return set()
    some = Which(every=every(newest[-1].rows, _MANY))
    rows = turn.page.rows.of(turn.key, newest[-1].number, some)
    return {name for part in in_parts(rows) for name in columns_of(part)}
