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
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]  # it has no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it has no types
from evidently import DataDefinition, Dataset, Report
from evidently.core.report import Snapshot
from evidently.metrics import MissingValueCount, RowCount
from evidently.presets import DataDriftPreset
from evidently.sdk.models import ProjectModel
from evidently.ui.workspace import Workspace

from mlops.chassis.errors import RejectedError
from mlops.chassis.sidecar import serve

_FEW_DISTINCT = 10
_LEAST_ROWS = 2
_NICENESS = 10
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
    workspace: str,
    project: str,
    project_id: str,
) -> int:
    """Write the drift report of two sets of columns as HTML; return its size in bytes."""
    now, then = pd.DataFrame(current), pd.DataFrame(reference)
    columns = _comparable(now, then)
    if not columns:
        raise RejectedError(
            f"{title}: no column has values on both sides, so there is nothing to compare"
        )
    snapshot = _snapshot(now[columns], then[columns], title)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".part")
    draft.write_text(snapshot.get_html_str(as_iframe=False), encoding="utf-8")
    draft.replace(target)
    _prune(target.parent, "*.html", keep)
    try:
        _show(snapshot, Path(workspace), project, uuid.UUID(project_id), keep)
    except Exception:  # noqa: BLE001 - the report is written; Evidently's own interface is a courtesy
        traceback.print_exc()
    return target.stat().st_size


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
    metrics = [
        RowCount(),
        DataDriftPreset(**_METHODS),
        *(MissingValueCount(column=c) for c in now.columns),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Report(metrics, metadata={"title": title}, tags=[title]).run(
            Dataset.from_pandas(now, data_definition=definition),
            Dataset.from_pandas(then, data_definition=definition),
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


def _show(snapshot: Snapshot, folder: Path, project: str, project_id: uuid.UUID, keep: int) -> None:
    workspace = Workspace.create(str(folder))
    if workspace.get_project(project_id) is None:
        workspace.add_project(ProjectModel(id=project_id, name=project))
    workspace.add_run(project_id, snapshot, include_data=False)
    _prune(folder / str(project_id) / "snapshots", "*.json", keep)


def _prune(folder: Path, pattern: str, keep: int) -> None:
    oldest_first = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
    for path in oldest_first[:-keep]:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    os.nice(_NICENESS)
    serve({"report": report, "columns": columns})
