# SPDX-License-Identifier: Apache-2.0
"""A table's rows in batches, whatever its format: Parquet, Arrow, CSV, TSV or JSON lines; never the whole of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

_ROWS = 65_536
_BLOCK = 8 * 1024 * 1024
_MOST_CELLS = 4_000_000


@dataclass(frozen=True)
class Opened:
    """A table's columns and an iterator over its rows; to be read once."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


@contextmanager
def opened(path: str, name: str) -> Iterator[Opened]:
    """Open the file at *path*, which is called *name*; raises pa.ArrowException or OSError."""
    with pa.memory_map(path) as source:
        yield _FORMATS[_suffix(name)](source)


def _parquet(source: pa.NativeFile) -> Opened:
    file = pq.ParquetFile(source)
    schema = file.schema_arrow
    return Opened(schema, file.iter_batches(_rows_at_once(schema)))


def _rows_at_once(schema: pa.Schema) -> int:
    # Many columns make large rows: what is held at once stays bounded.
    return max(1, min(_ROWS, _MOST_CELLS // max(1, len(schema.names))))


def _arrow(source: pa.NativeFile) -> Opened:
    try:
        file = pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        stream = pa.ipc.open_stream(source)
        return Opened(stream.schema, _sliced(stream, stream.schema))
    batches = (file.get_batch(index) for index in range(file.num_record_batches))
    return Opened(file.schema, _sliced(batches, file.schema))


def _sliced(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows in batches of ours: who wrote the file may have put all of them into one."""
    rows = _rows_at_once(schema)
    for batch in batches:
        for begin in range(0, batch.num_rows, rows):
            yield batch.slice(begin, rows)


def _commas(source: pa.NativeFile) -> Opened:
    return _separated(source, ",")


def _tabs(source: pa.NativeFile) -> Opened:
    return _separated(source, "\t")


def _separated(source: pa.NativeFile, delimiter: str) -> Opened:
    content = source.read_buffer()
    if _keeps_types(content, delimiter):
        return _of(_csv_reader(content, delimiter, {}))
    # A later block does not hold the types of the first one: then every column is text.
    names = _csv_reader(content, delimiter, {}).schema.names
    return _of(_csv_reader(content, delimiter, dict.fromkeys(names, pa.string())))


def _csv_reader(
    content: pa.Buffer, delimiter: str, types: dict[str, pa.DataType]
) -> pa_csv.CSVStreamingReader:
    return pa_csv.open_csv(
        pa.BufferReader(content),
        read_options=pa_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(column_types=types, strings_can_be_null=True),
    )


def _keeps_types(content: pa.Buffer, delimiter: str) -> bool:
    if content.size <= _BLOCK:
        return True
    try:
        for _ in _csv_reader(content, delimiter, {}):
            pass
    except pa.ArrowInvalid as error:
        if "conversion error" in str(error):
            return False
        raise
    return True


def _lines(source: pa.NativeFile) -> Opened:
    options = pa_json.ReadOptions(block_size=_BLOCK, use_threads=False)
    return _of(pa_json.open_json(pa.BufferReader(source.read_buffer()), read_options=options))


def _of(reader: pa_csv.CSVStreamingReader | pa_json.JSONStreamingReader) -> Opened:
    return Opened(reader.schema, iter(reader))


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()


_FORMATS: dict[str, Callable[[pa.NativeFile], Opened]] = {
    ".parquet": _parquet,
    ".pq": _parquet,
    ".arrow": _arrow,
    ".feather": _arrow,
    ".csv": _commas,
    ".tsv": _tabs,
    ".jsonl": _lines,
    ".ndjson": _lines,
}
