# SPDX-License-Identifier: Apache-2.0
"""Tables from mapped files, as Arrow reads them: Arrow IPC without a copy, Parquet, CSV, TSV and JSON lines decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from mlops.client.datasets import streamed
from mlops.client.datasets.mapped import unreadable
from mlops.client.errors import BadInputError

if TYPE_CHECKING:
    import pyarrow as pa

_FORMATS = {
    ".arrow": "arrow",
    ".feather": "arrow",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": ",",
    ".tsv": "\t",
    ".jsonl": "lines",
    ".ndjson": "lines",
}


def table(path: Path, name: str) -> pa.Table:
    """Return all rows."""
    kind = _format(name)
    with _told(path, name):
        if kind == "arrow":
            return _ipc(path).read_all()
        if kind == "parquet":
            from pyarrow import parquet  # noqa: PLC0415 - only who asks for tables needs it

            return parquet.ParquetFile(path, memory_map=True).read()
        if kind == "lines":
            from pyarrow import json  # noqa: PLC0415 - as above

            return json.read_json(path)
        from pyarrow import csv  # noqa: PLC0415 - as above

        return csv.read_csv(path, parse_options=csv.ParseOptions(delimiter=kind))


def batches(path: Path, name: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows in batches."""
    kind = _format(name)
    with _told(path, name):
        yield from _batches(path, kind)


def _batches(path: Path, kind: str) -> Iterator[pa.RecordBatch]:
    if kind == "arrow":
        reader = _ipc(path)
        if hasattr(reader, "num_record_batches"):
            return (reader.get_batch(index) for index in range(reader.num_record_batches))
        return iter(reader)
    if kind == "parquet":
        from pyarrow import parquet  # noqa: PLC0415 - as above

        return iter(parquet.ParquetFile(path, memory_map=True).iter_batches())
    if kind == "lines":
        return streamed.of_lines(path)
    return streamed.of_csv(path, kind)


def _ipc(path: Path) -> Any:
    """Return a reader of a file or a stream in Arrow's format."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    try:
        return pa.ipc.open_file(pa.memory_map(str(path)))
    except pa.ArrowInvalid:
        return pa.ipc.open_stream(pa.memory_map(str(path)))


def _format(name: str) -> str:
    found = _FORMATS.get(PurePath(name).suffix.lower())
    if found is None:
        told = f"{name!r} is none of {', '.join(_FORMATS)}"
        raise BadInputError("dataset", "read", told, "read it with bytes()")
    return found


@contextmanager
def _told(path: Path, name: str) -> Iterator[None]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - as above
    except ImportError as error:
        hint = "pip install pyarrow"
        raise BadInputError("dataset", "read", "pyarrow is not installed", hint) from error
    try:
        yield
    except (pa.ArrowException, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(path, error) from error
        told = f"{name!r} cannot be read: {str(error)[:300]}"
        raise BadInputError("dataset", "read", told, "read it with bytes()") from error
