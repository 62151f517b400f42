# SPDX-License-Identifier: Apache-2.0
"""Predictions and labels go into the ledger; full windows come out judged."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from mlops.chassis.bus import Documents
from mlops.chassis.errors import RejectedError
from mlops.contracts.gateway import LabelRecorded
from mlops.contracts.message import Message
from mlops.contracts.monitoring import AdvanceWindows
from mlops.contracts.serving import PredictionLogged
from mlops.monitoring.handlers import candidates, early
from mlops.monitoring.handlers.asked import fresh
from mlops.monitoring.handlers.judging import Judge
from mlops.monitoring.handlers.listening import Listening
from mlops.monitoring.handlers.turn import Turn, checked_version
from mlops.monitoring.model.phases import is_told
from mlops.monitoring.model.windows import (
    MOST_REFERENCE_ROWS,
    ModelKey,
    Phase,
    Row,
    Truth,
    Watched,
    Window,
    longest_reference,
    reference_windows,
)
from mlops.monitoring.ports import Ledger, Page, WatchedProject

_NOTED_EVERY_S = 60.0
_SUMMARIES = 1000
_MOST_WAITING = 500
_DROPPED_AT_ONCE = 20


class RowHandlers:
    """What happens when a model has answered, and when the truth is known."""

    def __init__(
        self,
        projects: Documents[WatchedProject],
        ledger: Ledger,
        judge: Judge,
        keep_windows: int,
        listening: Listening,
        waiting_rows: int = 1_000_000,
    ) -> None:
        self._projects = projects
        self._ledger = ledger
        self._judge = judge
        self._keep = keep_windows
        self._waiting_rows = waiting_rows
        self._listening = listening

    async def on_prediction_logged(self, event: PredictionLogged) -> Sequence[Message]:
        """Fill windows with a batch of predictions; a project that is not known yet has the defaults."""
        project = await self._projects.get(event.project) or WatchedProject()
        if project.archived:
            return []
        key, version = ModelKey(event.project, event.model), checked_version(event.version)

        def change(page: Page) -> Sequence[Message]:
            turn = self._begin(page, event, key, project)
            filled = self._fill(turn, version, fresh(turn, event.predictions))
            if filled or turn.horizon_s is not None:
                self._judge.advance(turn)
            if filled:
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
        truths = [
            Truth(label.request_id, label.label, label.at, label.numbers) for label in event.labels
        ]

        def change(page: Page) -> Sequence[Message]:
            turn = self._begin(page, event, key, project)
            newly = page.rows.label(key, truths)
            turn.joined = sum(map(len, newly.values()))
            for window in page.windows.unfinished(key):
                pairs = newly.get(window.number, [])
                if pairs:
                    labelled = window.labelled + len(pairs)
                    page.windows.put(key, replace(window, labelled=labelled))
                    early.of_labels(turn, window.version, pairs)
            self._judge.advance(turn)
            candidates.compare(turn)
            return turn.told

        return await self._ledger.apply(event.id, change)

    async def do_advance_windows(self, command: AdvanceWindows) -> Sequence[Message]:
        """Judge open windows that are old enough, and measure those whose labels are waited for no longer."""
        project = await self._projects.get(command.project) or WatchedProject()
        if project.archived:
            return []
        key = ModelKey(command.project, command.model)

        def change(page: Page) -> Sequence[Message]:
            if page.models.get(key) is None:
                raise RejectedError(f"nothing was heard of model {key.model!r}; check its name")
            turn = self._begin(page, command, key, project)
            aged = [w for w in page.windows.open(key) if w.aged(turn.listened_s, turn.max_age_s)]
            for window in aged:
                page.windows.put(key, _full(turn, window))
            self._judge.advance(turn)
            if aged:
                self._tidy(turn)
            return turn.told

        return await self._ledger.apply(command.id, change)

    def _begin(self, page: Page, cause: Message, key: ModelKey, project: WatchedProject) -> Turn:
        turn = Turn(page, cause, key, project)
        turn.listened_s = self._listening.to(turn.model)
        if turn.listened_s - turn.model.listened_s >= _NOTED_EVERY_S:
            page.models.put(replace(turn.model, listened_s=turn.listened_s))
        return turn

    def _fill(self, turn: Turn, version: int, rows: Sequence[Row]) -> bool:
        """Put rows into windows; return whether one is full now."""
        filled = False
        while rows:
            window = _open_window(turn, version)
            taken, rows = rows[: window.room], rows[window.room :]
            pairs = turn.page.rows.add(turn.key, window.number, taken)
            turn.joined += len(pairs)
            early.of_answers(turn, version, taken)
            early.of_labels(turn, version, pairs)
            window = window.grown(taken, len(pairs))
            if window.room == 0:
                filled = True
                window = _full(turn, window)
            elif window.counts_ahead(len(taken)):
                self._judge.count_ahead(turn, window)
            turn.page.windows.put(turn.key, window)
        return filled

    def _tidy(self, turn: Turn) -> None:
        """Forget the rows of old windows, give up the unlabelled ones, drop very old summaries."""
        page = turn.page
        keep = max(self._keep, reference_windows(turn.project.monitor.window))
        old = _old(turn, keep)
        waiting = _waiting(turn, old, self._waiting_rows)
        for window in old:
            if window.phase is Phase.FULL and window.number not in waiting:
                self._judge.conclude(turn, window, self._forgotten(turn))
        old = [window for window in _old(turn, keep) if window.number not in waiting]
        page.rows.clear(turn.key, [window.number for window in old])
        for window in old:
            phase = Phase.MEASURED if window.phase is Phase.MEASURED else Phase.EXPIRED
            page.windows.put(turn.key, replace(window, phase=phase, stored=False))
        ended = turn.model.windows_made - _SUMMARIES
        page.windows.drop(turn.key, range(max(0, ended - _DROPPED_AT_ONCE), ended))

    def _forgotten(self, turn: Turn) -> str:
        if turn.horizon_s is None:
            return "before its rows were forgotten"
        return (
            "before its rows were forgotten, within the horizon, because more than "
            f"{_MOST_WAITING} windows or {self._waiting_rows} rows wait; make windows larger"
        )


def _waiting(turn: Turn, old: Sequence[Window], most_rows: int) -> set[int]:
    """Return those old windows whose labels are still waited for, the newest, as far as their rows may be kept."""
    kept: set[int] = set()
    rows = 0
    for window in reversed(old):
        if turn.horizon_s is None or window.phase is not Phase.FULL:
            continue
        rows += window.rows
        if rows > most_rows or len(kept) >= _MOST_WAITING:
            break
        kept.add(window.number)
    return kept


def _full(turn: Turn, window: Window) -> Window:
    model = turn.model
    turn.page.models.put(replace(model, windows_full=model.windows_full + 1))
    return window.filled(model.windows_full, None if turn.horizon_s is None else turn.listened_s)


def _old(turn: Turn, keep: int) -> list[Window]:
    model, longest = turn.model, _longest(turn, keep)
    # Far back: with a horizon, also one that was taken away since, hundreds of windows have waited.
    recent = turn.page.windows.latest(turn.key, max(4 * longest, _SUMMARIES))
    old = [
        window
        for window in recent
        if window.stored and _is_old(window, model.windows_full, model.windows_made, keep)
    ]
    if not is_told(turn.project.monitor.drift.cycle):
        return old
    known = turn.page.baselines
    lacking = {v for v in {w.version for w in old} if known.made(turn.key, v) is None}
    collected = _collected(recent)
    return [w for w in old if w.number not in collected or not _is_lacking(w, model, lacking)]


def _longest(turn: Turn, keep: int) -> int:
    # A reference that is to span a cycle needs rows that are forgotten otherwise.
    monitor = turn.project.monitor
    return max(keep, longest_reference(monitor.window)) if is_told(monitor.drift.cycle) else keep


def _collected(recent: Sequence[Window]) -> set[int]:
    """Return the newest full windows that together have the rows of a reference; those that aged have few each."""
    found: set[int] = set()
    newer = 0
    for window in sorted(recent, key=lambda one: one.index or 0, reverse=True):
        if window.index is not None and newer < MOST_REFERENCE_ROWS:
            found.add(window.number)
            newer += window.rows
    return found


def _is_lacking(window: Window, model: Watched, lacking: Collection[int]) -> bool:
    if window.index is None or window.version not in lacking or not model.judges(window.version):
        return False
    return window.index >= model.reference_from


def _is_old(window: Window, full: int, made: int, keep: int) -> bool:
    if window.index is None:
        return window.number < made - 2 * keep
    return window.index < full - keep


def _open_window(turn: Turn, version: int) -> Window:
    for window in turn.page.windows.open(turn.key):
        if window.version == version:
            known = window.open_at_s is not None
            return window if known else replace(window, open_at_s=turn.listened_s)
    model = turn.model
    turn.page.models.put(replace(model, windows_made=model.windows_made + 1))
    size = turn.project.monitor.window
    return Window(model.windows_made, version, size, open_at_s=turn.listened_s)
