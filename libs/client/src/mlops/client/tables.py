# SPDX-License-Identifier: Apache-2.0
"""A table of any kind as a file to bring: a path as it is; data frames, columns and rows as CSV.

Nothing is imported for a data frame: whoever has one has its library. In CSV a text that looks like a number is read
as one; bring Parquet where that matters.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from mlops.client.errors import BadInputError

ENDINGS = (".csv", ".parquet", ".pq")
_HINT = (
    "give a data frame, a dict with a list for each column, a list with a dict for each row, "
    "or the path of a CSV or Parquet file"
)


class Frame(Protocol):
    """A data frame of pandas, polars or pyarrow, as far as it matters here: it has named columns."""

    @property
    def columns(self) -> Any:
        """Return the names of the columns, or the columns."""


Table = Frame | Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]] | str | os.PathLike[str]
"""What may be brought as a table."""


@contextmanager
def as_file(data: Table, more: Mapping[str, Any], operation: str) -> Iterator[Path]:
    """Give the table as a file, with the columns of *more* added; BadInputError for what is no table."""
    if isinstance(data, str | os.PathLike):
        yield _checked(Path(data).expanduser(), more, operation)
        return
    with tempfile.TemporaryDirectory(prefix="mlops-table-") as folder:
        path = Path(folder) / "table.csv"
        _write(data, more, path, operation)
        yield path


def _checked(path: Path, more: Mapping[str, Any], operation: str) -> Path:
    if more:
        told = f"{', '.join(more)} cannot be added to a file"
        raise BadInputError("client", operation, told, "name the column of the file in its place")
    if path.suffix.lower() not in ENDINGS:
        raise BadInputError("client", operation, f"{path} is neither CSV nor Parquet", _HINT)
    if not path.is_file():
        raise BadInputError("client", operation, f"there is no file {path}", "correct the path")
    return path


def _write(data: Any, more: Mapping[str, Any], path: Path, operation: str) -> None:
    if not more and hasattr(data, "to_csv"):  # pandas
        data.to_csv(path, index=False)
    elif not more and hasattr(data, "write_csv"):  # polars
        data.write_csv(path)
    else:
        _write_columns({**_columns(data, operation), **_listed(more)}, path, operation)


def _columns(data: Any, operation: str) -> dict[str, Sequence[Any]]:
    if hasattr(data, "to_pydict"):  # pyarrow
        return {str(name): values for name, values in data.to_pydict().items()}
    if isinstance(data, Mapping):
        return _listed(data)
    if hasattr(data, "columns") and hasattr(data, "__getitem__"):
        return {str(name): _plain(data[name]) for name in data.columns}
    if isinstance(data, Sequence) and all(isinstance(row, Mapping) for row in data):
        names = list(dict.fromkeys(name for row in data for name in row))
        return {str(name): [row.get(name) for row in data] for name in names}
    raise BadInputError("client", operation, f"{type(data).__name__} is no table", _HINT)


def _listed(columns: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    return {str(name): _plain(values) for name, values in columns.items()}


def _plain(values: Any) -> Sequence[Any]:
    tolist = getattr(values, "tolist", None) or getattr(values, "to_list", None)
    found = tolist() if callable(tolist) else values
    return [found] if isinstance(found, str) or not hasattr(found, "__iter__") else list(found)


def _write_columns(columns: Mapping[str, Sequence[Any]], path: Path, operation: str) -> None:
    lengths = {name: len(values) for name, values in columns.items()}
    if not lengths or 0 in lengths.values():
        raise BadInputError("client", operation, "the table is empty", "give a row at least")
    if len(set(lengths.values())) > 1:
        told = f"columns differ in length: {lengths}"
        raise BadInputError("client", operation, told, "give one value per row")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(
            zip(*([_text(value) for value in values] for values in columns.values()), strict=True)
        )


def _text(value: Any) -> Any:
    """Return nothing for what pandas and NumPy call missing: only that is not equal to itself."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    return "" if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN alone
