# SPDX-License-Identifier: Apache-2.0
"""Count large windows while they fill, so that little is left to do, and nobody waits, when one is full.

Parts are the same rows in the same order whether they are counted early or at the end: so is what is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

from mlops.monitoring.handlers.turn import Turn
from mlops.monitoring.model.reference import Reference
from mlops.monitoring.model.tally import Counted, Tally, count, mark_of
from mlops.monitoring.model.vectors import answer_columns
from mlops.monitoring.model.windows import ROWS_AT_ONCE, Row, Window, columns_of, in_parts
from mlops.monitoring.ports import Which


@dataclass(frozen=True)
class Frozen:
    """The reference of a version, and that of the parts of its answers where these are several numbers."""

    name: str
    rows: Reference
    answers: Reference | None = None

    @cached_property
    def mark(self) -> str:
        """Return what differs between references that count the same rows differently."""
        both = [self.rows] if self.answers is None else [self.rows, self.answers]
        return " ".join(mark_of(reference) for reference in both)

    @cached_property
    def empty(self) -> Counted:
        """Return the counts of no rows."""
        return Counted(_of_rows(self.rows, ()), _of_answers(self.answers, ()))


def is_due(turn: Turn, window: Window, name: str) -> bool:
    """Return whether there is a whole part that is not counted against what has this *name*."""
    if window.rows < ROWS_AT_ONCE:
        return False
    return window.rows - turn.page.tallies.rows(turn.key, window.number, name) >= ROWS_AT_ONCE


def ahead(turn: Turn, window: Window, frozen: Frozen) -> None:
    """Count one part more, the next one, and keep what was found."""
    known = _known(turn, window, frozen)
    rows = turn.page.rows.of(turn.key, window.number, Which(after=known.last))
    found = _with(known, frozen, list(islice(rows, ROWS_AT_ONCE)))
    turn.page.tallies.put(turn.key, window.number, frozen.name, replace(found, mark=frozen.mark))


def whole(turn: Turn, window: Window, frozen: Frozen) -> Counted:
    """Return the counts of all rows of a window; only those that are not counted yet are read."""
    found = _known(turn, window, frozen) if window.rows >= ROWS_AT_ONCE else frozen.empty
    for part in in_parts(turn.page.rows.of(turn.key, window.number, Which(after=found.last))):
        found = _with(found, frozen, part)
    return found


def _known(turn: Turn, window: Window, frozen: Frozen) -> Counted:
    kept = turn.page.tallies.get(turn.key, window.number, frozen.name)
    # Another release may cut the same reference otherwise: such counts do not add up.
    return frozen.empty if kept is None or kept.mark != frozen.mark else kept


def _with(known: Counted, frozen: Frozen, part: Sequence[Row]) -> Counted:
    rows, answers = _of_rows(frozen.rows, part), _of_answers(frozen.answers, part)
    return known.plus(rows, answers, part[-1].request_id)


def _of_rows(reference: Reference, part: Sequence[Row]) -> Tally:
    answers, times = [row.prediction for row in part], [row.at for row in part]
    return count(reference, columns_of(part, reference.names), answers, times)


def _of_answers(reference: Reference | None, part: Sequence[Row]) -> Tally | None:
    if reference is None:
        return None
    columns, times = answer_columns([row.answer for row in part]), [row.at for row in part]
    return count(reference, columns, [None] * len(part), times)
