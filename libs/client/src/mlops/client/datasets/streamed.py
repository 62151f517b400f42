# SPDX-License-Identifier: Apache-2.0
"""Streamed: CSV and JSON lines in batches of one schema that fits every row: read twice, and never held whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.client.datasets import mapped

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv

_BLOCK = 8 * 1024 * 1024
_MISFIT = re.compile(r"In CSV column #(\d+): .*CSV conversion error to (\w+)", re.DOTALL)
_MOST_READINGS = 20


def of_csv(path: Path, delimiter: str, block: int = _BLOCK) -> Iterator[pa.RecordBatch]:
    """Yield the rows; a column that its first block would have typed too narrowly becomes float64 or text."""
    types: dict[str, pa.DataType] = {}
    if path.stat().st_size > block:
        for _ in range(_MOST_READINGS):
            if not (wider := _misfit(path, delimiter, block, types)):
                break
            types |= wider
        else:
            types = _all_text(path, delimiter, block)
    yield from _csv(path, delimiter, block, types)


def of_lines(path: Path, block: int = _BLOCK) -> Iterator[pa.RecordBatch]:
    """Yield the rows; fields that only some rows have are null in the others, whole numbers beside others float64."""
    from pyarrow import json  # noqa: PLC0415 - only who asks for tables needs it

    held = mapped.view(path)
    schema: pa.Schema | None = None
    for piece in _pieces(held, block):
        found = _read_lines(piece, None).schema
        schema = found if schema is None else _joined(schema, found)
    options = json.ParseOptions(explicit_schema=schema)
    for piece in _pieces(held, block):
        yield from _read_lines(piece, options).to_batches()


def _csv(
    path: Path, delimiter: str, block: int, types: dict[str, pa.DataType]
) -> csv.CSVStreamingReader:
    from pyarrow import csv  # noqa: PLC0415 - as above

    return csv.open_csv(
        path,
        read_options=csv.ReadOptions(block_size=block),
        parse_options=csv.ParseOptions(delimiter=delimiter),
        convert_options=csv.ConvertOptions(column_types=types),
    )


def _misfit(
    path: Path, delimiter: str, block: int, types: dict[str, pa.DataType]
) -> dict[str, pa.DataType]:
    """Return a wider type for the first column that does not hold its rows; nothing when all do."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    reader = _csv(path, delimiter, block, types)
    try:
        for _ in reader:
            pass
    except pa.ArrowInvalid as error:
        found = _MISFIT.search(str(error))
        if found is None:
            raise
        wider = {"null": pa.int64(), "int64": pa.float64()}.get(found[2], pa.string())
        return {reader.schema.names[int(found[1])]: wider}
    return {}


def _all_text(path: Path, delimiter: str, block: int) -> dict[str, pa.DataType]:
    import pyarrow as pa  # noqa: PLC0415 - as above

    return dict.fromkeys(_csv(path, delimiter, block, {}).schema.names, pa.string())


def _pieces(held: memoryview, block: int) -> Iterator[memoryview]:
    """Yield whole lines of about one block each; at least one piece, so that an empty file is said to be one."""
    start = 0
    while start < len(held) or not start:
        stop = mapped.line_end(held, start + block)
        yield held[start:stop]
        start = max(stop, 1)


def _read_lines(piece: memoryview, options: object) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415 - as above
    from pyarrow import json  # noqa: PLC0415 - as above

    # One block for all of it: then no row straddles two.
    read = json.ReadOptions(block_size=len(piece) + 1)
    return json.read_json(pa.BufferReader(pa.py_buffer(piece)), read, options)


def _joined(one: pa.Schema, other: pa.Schema) -> pa.Schema:
    """Return a schema of both; what looks like a time here and like any word there is a word."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    for name in set(one.names) & set(other.names):
        kinds = (one.field(name).type, other.field(name).type)
        if any(map(pa.types.is_timestamp, kinds)) and any(map(pa.types.is_string, kinds)):
            text = pa.field(name, pa.string())
            one = one.set(one.get_field_index(name), text)
            other = other.set(other.get_field_index(name), text)
    return pa.unify_schemas([one, other], promote_options="permissive")
