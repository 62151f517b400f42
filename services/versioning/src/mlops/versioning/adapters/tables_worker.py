# SPDX-License-Identifier: Apache-2.0
"""Tables compared, in a process of its own: Arrow costs memory that the service does without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mlops.chassis.errors import RejectedError
from mlops.chassis.sidecar import serve
from mlops.versioning.adapters.table_batches import opened
from mlops.versioning.adapters.table_figures import MOST_ROWS, Figures, figures, kind_of

_MOST_COLUMNS = 200
_LONGEST_NAME = 128


def compare(old: list[str], new: list[str], key: str) -> dict[str, Any]:
    """Compare two tables; each is where it lies and what it is called."""
    try:
        # A table's end is known when it is read, its columns before: they say what is compared.
        with opened(*old) as table:
            before = table.schema
        with opened(*new) as table:
            after = table.schema
            alike = _alike(before, after)
            if key and key not in alike:
                raise RejectedError(f"column {key!r} is not in both; they share {_some(alike)}")
            right = figures(table, alike, key)
        with opened(*old) as table:
            left = figures(table, alike, key)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        return {"unread": " ".join(str(error).split())[:500]}
    return {**_columns(left, right), **_rows(left, right, key), "compared_columns": len(alike)}


def _alike(before: pa.Schema, after: pa.Schema) -> dict[str, str]:
    twice = [n for schema in (before, after) for n in schema.names if schema.names.count(n) > 1]
    if twice:
        raise pa.ArrowInvalid(f"column {twice[0]!r} is there twice")
    both = [name for name in after.names if name in before.names]
    return {name: kind_of(before.field(name).type, after.field(name).type) for name in both}


def _columns(left: Figures, right: Figures) -> dict[str, Any]:
    names = list(dict.fromkeys((*right.schema.names, *left.schema.names)))
    rows = [
        {
            "column": name[:_LONGEST_NAME],
            "before": _one(left, name),
            "after": _one(right, name),
        }
        for name in names[:_MOST_COLUMNS]
    ]
    return {"columns": rows, "more_columns": len(names) - len(rows)}


def _one(side: Figures, name: str) -> dict[str, Any] | None:
    if name not in side.columns:
        return None
    return {"type": str(side.schema.field(name).type)[:_LONGEST_NAME], **side.columns[name]}


def _rows(left: Figures, right: Figures, key: str) -> dict[str, Any]:
    told: dict[str, Any] = {"rows_before": left.rows, "rows_after": right.rows}
    if left.rows_seen is None or right.rows_seen is None:
        return {**told, "rows_uncompared": f"more than {MOST_ROWS} rows"}
    if left.keys_seen is not None and right.keys_seen is not None:
        return {**told, "key": key, **_by_key(left, right)}
    before, times_before = np.unique(left.rows_seen, return_counts=True)
    after, times_after = np.unique(right.rows_seen, return_counts=True)
    _, at, to = np.intersect1d(before, after, assume_unique=True, return_indices=True)
    same = int(np.minimum(times_before[at], times_after[to]).sum())
    return {**told, "rows_added": right.rows - same, "rows_removed": left.rows - same}


def _by_key(left: Figures, right: Figures) -> dict[str, Any]:
    # Of a key that is there more than once, the first row counts.
    before, first_before = np.unique(_held(left.keys_seen), return_index=True)
    after, first_after = np.unique(_held(right.keys_seen), return_index=True)
    both, at, to = np.intersect1d(before, after, assume_unique=True, return_indices=True)
    rows_before = _held(left.rows_seen)[first_before[at]]
    rows_after = _held(right.rows_seen)[first_after[to]]
    return {
        "rows_added": len(after) - len(both),
        "rows_removed": len(before) - len(both),
        "rows_changed": int((rows_before != rows_after).sum()),
        "repeated_keys_before": left.rows - len(before),
        "repeated_keys_after": right.rows - len(after),
    }


def _held(prints: Any) -> Any:
    return np.empty(0, np.uint64) if prints is None else prints


def _some(names: dict[str, str]) -> str:
    return ", ".join(list(names)[:20]) or "none"


if __name__ == "__main__":
    serve({"compare": compare})
