# SPDX-License-Identifier: Apache-2.0
"""The child process in which Evidently lives: 300 MB and ten seconds of CPU that the service does not pay."""

from __future__ import annotations

import os

os.environ["DO_NOT_TRACK"] = "1"  # before the import, or Evidently posts its telemetry

import json
import math
import traceback
import uuid
import warnings
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from evidently import DataDefinition, Dataset, Report
from evidently.core.report import Snapshot
from evidently.metrics import (
    DatasetMissingValueCount,
    DriftedColumnsCount,
    MissingValueCount,
    RowCount,
)
from evidently.presets import DataDriftPreset
from evidently.tests import gte, lt, lte

from mlops.chassis.errors import RejectedError
from mlops.chassis.sidecar import serve
from mlops.monitoring.adapters.evidently_workspace import show
from mlops.monitoring.adapters.report_store import Kept, prune, save

_FEW_DISTINCT = 10
_LEAST_ROWS = 2
_MORE_MISSING, _MANY_DRIFTED = 0.05, 0.5
_NICENESS = 10
_NOTE = (
    "font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 1rem auto; padding: 0 1.5rem"
)
_MOST_HELD = 256 * 1024 * 1024
_AT_ONCE = 200  # rows; a small file may hold huge ones
# What pyarrow and pandas raise for files that are not what they seem.
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    pa.ArrowException,
)
_MOST_CHARACTERS = 32 * 1024 * 1024  # half of what a sidecar's answer may have
# The default tests of Evidently change their meaning with the number of reference rows; these do not.
_METHODS = {
    "num_method": "wasserstein",
    "num_threshold": 0.1,
    "cat_method": "jensenshannon",
    "cat_threshold": 0.1,
}


def report(
    path: str,
    current: dict[str, list[Any]],
    reference: dict[str, list[Any]],
    title: str,
    keep: int,
    keep_days: float,
    workspace: str,
    project: str,
    project_id: str,
    remarks: Sequence[str] = (),
) -> int:
    """Write the drift report of two sets of columns as HTML, the *remarks* first; return its size in bytes."""
    now, then = pd.DataFrame(current), pd.DataFrame(reference)
    columns = _comparable(now, then)
    if not columns:
        raise RejectedError(
            f"{title}: no column has values on both sides, so there is nothing to compare"
        )
    snapshot = _snapshot(now[columns], then[columns], title)
    size = save(path, _with(remarks, snapshot.get_html_str(as_iframe=False), title).encode())
    kept = Kept(keep, keep_days)
    prune(path.rpartition("/")[0], ".html", kept)
    try:
        show(snapshot, workspace, project, uuid.UUID(project_id), kept)
    except Exception:  # noqa: BLE001 - the report is written; Evidently's own interface is a courtesy
        traceback.print_exc()
    return size


def snapshot(
    current: dict[str, list[Any]],
    reference: dict[str, list[Any]],
    title: str,
    at: str,
    keep: int,
    keep_days: float,
    workspace: str,
    project: str,
    project_id: str,
) -> dict[str, str]:
    """Keep the light snapshot of a window in Evidently's workspace; return its tests and how each ended."""
    now, then = pd.DataFrame(current), pd.DataFrame(reference)
    names = _comparable(now, then)
    if not names:
        raise RejectedError(f"{title}: no column has values on both sides")
    taken = _light(now[names], then[names], title, datetime.fromisoformat(at))
    show(taken, workspace, project, uuid.UUID(project_id), Kept(keep, keep_days))
    return {str(one["name"]): str(one["status"].value) for one in taken.dict()["tests"]}


def columns(path: str, newest: int) -> dict[str, Any]:
    """Return the columns of the *newest* (last) rows of a Parquet file as JSON values, and how many rows it has."""
    try:
        frame, rows = _newest_rows(path, newest)
    except _UNREADABLE as error:
        raise RejectedError(f"{path!r} cannot be read as Parquet: {error}") from error
    found = {str(name): [_plain(value) for value in frame[name]] for name in frame.columns}
    size = sum(len(value) for values in found.values() for value in values if type(value) is str)
    if size <= _MOST_CHARACTERS:  # else it might not even be written down
        size = len(json.dumps(found))
    if size > _MOST_CHARACTERS:
        raise RejectedError(
            f"{path!r}: its newest {len(frame)} rows are {size} characters as JSON, {_MOST_CHARACTERS} are read; "
            "keep the columns that the model gets"
        )
    return {"columns": found, "rows": rows}


def _newest_rows(path: str, newest: int) -> tuple[pd.DataFrame, int]:
    # From the last row groups and in batches: a file of a few hundred megabytes unpacks to many times that.
    with pq.ParquetFile(path) as file:
        rows, group, held = file.metadata.num_rows, file.metadata.num_row_groups, 0
        while group > 0 and held < newest:
            group -= 1
            held += file.metadata.row_group(group).num_rows
        groups = list(range(group, file.metadata.num_row_groups))
        kept: deque[pa.RecordBatch] = deque()
        for batch in file.iter_batches(batch_size=_AT_ONCE, row_groups=groups):
            kept.append(_plain_batch(batch))
            if sum(map(len, kept)) - len(kept[0]) >= newest:
                kept.popleft()
            if sum(one.nbytes for one in kept) > _MOST_HELD:
                raise RejectedError(
                    f"{path!r}: its newest rows are more than {_MOST_HELD} bytes; "
                    "keep the columns that the model gets"
                )
        schema = kept[0].schema if kept else file.schema_arrow
        table = pa.Table.from_batches(list(kept), schema=schema)
    return table.slice(max(0, len(table) - newest)).to_pandas(), rows


def _plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows with words written out: only then is it known how large they are."""
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    fields = [
        field.with_type(column.type) for field, column in zip(batch.schema, columns, strict=True)
    ]
    schema = pa.schema(fields, metadata=batch.schema.metadata)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if value is None or value is pd.NaT or value is pd.NA else str(value)


def _comparable(now: pd.DataFrame, then: pd.DataFrame) -> list[str]:
    both = [name for name in now.columns if name in then.columns]
    return [name for name in both if min(now[name].count(), then[name].count()) >= _LEAST_ROWS]


def _snapshot(now: pd.DataFrame, then: pd.DataFrame, title: str) -> Snapshot:
    metrics = [
        RowCount(),
        DataDriftPreset(**_METHODS),
        *(MissingValueCount(column=c) for c in now.columns),
    ]
    return _ran(Report(metrics, metadata={"title": title}, tags=[title]), now, then)


def _with(remarks: Sequence[str], html: str, title: str) -> str:
    """Return the page with what was decided above it: Evidently's own tests below know nothing of that."""
    if not remarks:
        return html
    lines = "".join(f"<p>{escape(one)}</p>" for one in remarks)
    note = "Evidently's tests below compare by rules of their own; the above is what alerts are made of."
    # The last one: those before it stand in Evidently's scripts, which hold the values of the rows.
    head, body, rest = html.rpartition("<body>")
    return f'{head}{body}<section style="{_NOTE}"><h1>{escape(title)}</h1>{lines}<p>{note}</p></section>{rest}'


def _light(now: pd.DataFrame, then: pd.DataFrame, title: str, at: datetime) -> Snapshot:
    """Return a snapshot without pictures: a tenth of the cost. Its tests are told, not left to Evidently's guess."""
    missing = [
        MissingValueCount(
            column=name, share_tests=[lte(float(then[name].isna().mean()) + _MORE_MISSING)]
        )
        for name in now.columns
    ]
    metrics = [
        RowCount(tests=[gte(_LEAST_ROWS)]),
        DriftedColumnsCount(**_METHODS, share_tests=[lt(_MANY_DRIFTED)]),
        DatasetMissingValueCount(),
        *missing,
    ]
    return _ran(Report(metrics, metadata={"title": title}, tags=["window"]), now, then, at)


def _ran(
    report: Report, now: pd.DataFrame, then: pd.DataFrame, at: datetime | None = None
) -> Snapshot:
    numeric = [
        name
        for name in now.columns
        if _is_numeric(now[name]) and _is_numeric(then[name], many=True)
    ]
    categorical = [name for name in now.columns if name not in numeric]
    now, then = now.copy(), then.copy()
    for name in categorical:
        now[name], then[name] = _texts(now[name]), _texts(then[name])
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=categorical)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return report.run(
            Dataset.from_pandas(now, data_definition=definition),
            Dataset.from_pandas(then, data_definition=definition),
            timestamp=at,
        )


def _is_numeric(values: pd.Series[Any], *, many: bool = False) -> bool:
    known = values.dropna()
    plain = all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
    return plain and (not many or known.nunique() > _FEW_DISTINCT)


def _texts(values: pd.Series[Any]) -> pd.Series[Any]:
    # 1, 1.0 and true are one category, as in the service.
    return values.map(lambda value: None if pd.isna(value) else _text(value)).astype("object")


def _text(value: object) -> str:
    if isinstance(value, float) and not value.is_integer():
        return f"{value:g}"
    return str(int(value)) if isinstance(value, int | float) else str(value)


if __name__ == "__main__":
    os.nice(_NICENESS)
    serve({"report": report, "snapshot": snapshot, "columns": columns})
