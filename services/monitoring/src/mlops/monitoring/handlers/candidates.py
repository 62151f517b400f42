# SPDX-License-Identifier: Apache-2.0
"""Compare a version that is being rolled out with the one beside it, whenever enough of both is labelled."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from mlops.contracts.monitoring import Window as Told
from mlops.monitoring.handlers import telling
from mlops.monitoring.handlers.judging import promise_of
from mlops.monitoring.handlers.turn import Turn
from mlops.monitoring.model.candidates import Candidate, is_worse, owes
from mlops.monitoring.model.metrics import measure_rows
from mlops.monitoring.model.windows import Row, Window
from mlops.monitoring.ports import Which

_LOOK_BACK = 200
_MOST_ROWS = 20_000


def compare(turn: Turn) -> None:
    """Tell `performance.degraded` when the candidate does worse than the version beside it, if it is time to look."""
    candidate = turn.model.candidate
    if candidate is None or not turn.joined:
        return
    windows = turn.page.windows.latest(turn.key, _LOOK_BACK)
    own = _since(candidate, candidate.version, windows)
    beside = _since(candidate, candidate.against, windows)
    evidence = min(sum(window.labelled for window in side) for side in (own, beside))
    if not candidate.wants_look(evidence):
        return
    turn.page.models.put(replace(turn.model, candidate=candidate.seen(evidence)))
    rows, others = _rows(turn, candidate, own), _rows(turn, candidate, beside)
    promise = promise_of(turn.project, turn.model, None)
    found, against = measure_rows(promise.metric, rows), measure_rows(promise.metric, others)
    if found is None or against is None:
        return
    owed = owes(promise, against)
    if is_worse(owed, found, against):
        told = _told(turn, own, rows)
        turn.tell(telling.candidate_worse(turn.key, candidate, told, owed, found.value))


def _since(candidate: Candidate, version: int, windows: Iterable[Window]) -> list[Window]:
    return [
        window
        for window in windows
        if window.version == version and window.stored and _reaches(window, candidate)
    ]


def _reaches(window: Window, candidate: Candidate) -> bool:
    return window.last_at is not None and window.last_at >= candidate.since


def _rows(turn: Turn, candidate: Candidate, windows: Iterable[Window]) -> list[Row]:
    newest = deque[Row](maxlen=_MOST_ROWS)
    for window in windows:
        newest.extend(turn.page.rows.of(turn.key, window.number, Which(newest=_MOST_ROWS)))
    return [row for row in newest if row.labelled and row.at >= candidate.since]


def _told(turn: Turn, windows: Iterable[Window], rows: list[Row]) -> Told:
    return Told(
        index=turn.model.windows_full,
        rows=sum(window.rows for window in windows),
        labelled=len(rows),
        first_at=min(row.at for row in rows),
        last_at=max(row.at for row in rows),
    )
