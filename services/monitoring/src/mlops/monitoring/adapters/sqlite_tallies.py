# SPDX-License-Identifier: Apache-2.0
"""SqliteTallies: how far large windows are counted, as JSON that has been compressed."""

from __future__ import annotations

import sqlite3
import zlib
from typing import Any

import numpy as np
from pydantic_core import from_json, to_json

from mlops.monitoring.model.tally import Counted, Tally
from mlops.monitoring.model.windows import ModelKey

_FAST = 1


class SqliteTallies:
    """The table `tallies`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def rows(self, key: ModelKey, window: int, against: str) -> int:
        """Return how many rows are counted."""
        found = self._read("rows", key, window, against)
        return 0 if found is None else int(found)

    def get(self, key: ModelKey, window: int, against: str) -> Counted | None:
        """Return the counts, or None when nothing is counted."""
        found = self._read("body", key, window, against)
        return None if found is None else _counted(from_json(zlib.decompress(found)))

    def put(self, key: ModelKey, window: int, against: str, counted: Counted) -> None:
        """Keep the counts as they are now."""
        body = zlib.compress(to_json(_plain(counted), inf_nan_mode="constants"), _FAST)
        self._db.execute(
            "INSERT OR REPLACE INTO tallies VALUES (?, ?, ?, ?, ?, ?)",
            (key.project, key.model, window, against, counted.rows.rows, body),
        )

    def _read(self, column: str, key: ModelKey, window: int, against: str) -> Any:
        found = self._db.execute(
            f"SELECT {column} FROM tallies"  # noqa: S608 - our own names
            " WHERE project = ? AND model = ? AND number = ? AND against = ?",
            (key.project, key.model, window, against),
        ).fetchone()
        return None if found is None else found[0]


def _plain(counted: Counted) -> dict[str, Any]:
    answers = counted.answers
    return {
        "mark": counted.mark,
        "last": counted.last,
        "rows": _plain_tally(counted.rows),
        "answers": None if answers is None else _plain_tally(answers),
    }


def _plain_tally(tally: Tally) -> dict[str, Any]:
    return {
        "rows": tally.rows,
        "phases": tally.phases.tolist(),
        "counts": [one.tolist() for one in tally.counts],
        "sums": tally.sums.tolist(),
        "products": tally.products.tolist(),
        "strangers": tally.strangers,
        "absent": sorted(tally.absent),
        "strange": sorted(tally.strange),
        "clock": tally.clock.tolist(),
    }


def _counted(kept: dict[str, Any]) -> Counted:
    answers = kept["answers"]
    return Counted(
        mark=kept["mark"],
        rows=_tally(kept["rows"]),
        answers=None if answers is None else _tally(answers),
        last=kept["last"],
    )


def _tally(kept: dict[str, Any]) -> Tally:
    columns = len(kept["sums"])
    return Tally(
        rows=kept["rows"],
        phases=np.array(kept["phases"], dtype=np.float64),
        counts=tuple(np.array(one, dtype=np.float64) for one in kept["counts"]),
        sums=np.array(kept["sums"], dtype=np.float64),
        products=np.array(kept["products"], dtype=np.float64).reshape(columns, columns),
        strangers=tuple(kept["strangers"]),
        absent=frozenset(kept["absent"]),
        strange=frozenset(kept["strange"]),
        clock=np.array(kept["clock"], dtype=np.float64),
    )
