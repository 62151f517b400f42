# SPDX-License-Identifier: Apache-2.0
"""Two tables compared: rows by what they hold or by a key, columns by name and type, figures side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from mlops.chassis.errors import RejectedError
from mlops.versioning.adapters.table_batches import opened
from mlops.versioning.adapters.table_figures import figures, fingerprints
from mlops.versioning.adapters.tables_worker import compare

OLD: dict[str, list[Any]] = {
    "day": [1, 2, 3],
    "rain": [0.5, None, 1.5],
    "place": ["Ulm", "Ulm", "Bern"],
}
NEW: dict[str, list[Any]] = {
    "day": [2, 3, 4],
    "rain": [None, 1.75, 2.5],
    "place": ["Ulm", "Bern", "Bern"],
}


def written(folder: Path, name: str, rows: dict[str, list[Any]]) -> list[str]:
    table, file = pa.table(rows), folder / f"object-{name.replace('.', '-')}"
    if name.endswith("parquet"):
        pq.write_table(table, file)
    elif name.endswith("arrow"):
        feather.write_feather(table, str(file), compression="uncompressed")
    elif name.endswith("jsonl"):
        file.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        mark = "\t" if name.endswith("tsv") else ","
        lines = [mark.join(rows), *(mark.join(_cells(row)) for row in table.to_pylist())]
        file.write_text("\n".join(lines) + "\n")
    return [str(file), name]


def _cells(row: dict[str, Any]) -> list[str]:
    return ["" if value is None else str(value) for value in row.values()]


def column(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["columns"] if one["column"] == name)


@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv", "tsv", "jsonl"])
def test_rows_are_counted_by_what_they_hold(tmp_path: Path, kind: str) -> None:
    old, new = written(tmp_path, f"a.{kind}", OLD), written(tmp_path, f"b.{kind}", NEW)

    found = compare(old, new, "")

    assert (found["rows_before"], found["rows_after"]) == (3, 3)
    assert (found["rows_added"], found["rows_removed"]) == (2, 2)


@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv", "tsv", "jsonl"])
def test_rows_of_the_same_key_are_changed_not_added(tmp_path: Path, kind: str) -> None:
    old, new = written(tmp_path, f"a.{kind}", OLD), written(tmp_path, f"b.{kind}", NEW)

    found = compare(old, new, "day")

    assert (found["rows_added"], found["rows_removed"], found["rows_changed"]) == (1, 1, 1)
    assert (found["repeated_keys_before"], found["repeated_keys_after"]) == (0, 0)


@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv", "tsv", "jsonl"])
def test_figures_of_a_column_stand_side_by_side(tmp_path: Path, kind: str) -> None:
    old, new = written(tmp_path, f"a.{kind}", OLD), written(tmp_path, f"b.{kind}", NEW)

    rain = column(compare(old, new, ""), "rain")

    assert rain["before"] == {
        "type": "double",
        "count": 2,
        "missing": 1,
        "min": 0.5,
        "max": 1.5,
        "mean": 1.0,
        "distinct": 2,
    }
    assert (rain["after"]["min"], rain["after"]["max"]) == (1.75, 2.5)


def test_another_order_of_rows_and_columns_is_no_difference(tmp_path: Path) -> None:
    turned = {name: OLD[name][::-1] for name in ("place", "rain", "day")}
    old, new = written(tmp_path, "a.parquet", OLD), written(tmp_path, "b.parquet", turned)

    found = compare(old, new, "")

    assert (found["rows_added"], found["rows_removed"]) == (0, 0)


def test_rows_that_are_there_twice_count_twice(tmp_path: Path) -> None:
    old = written(tmp_path, "a.csv", {"day": [1, 1, 1, 2]})
    new = written(tmp_path, "b.csv", {"day": [1, 2, 2]})

    found = compare(old, new, "")

    assert (found["rows_added"], found["rows_removed"]) == (1, 2)


def test_columns_that_come_go_or_change_their_type_are_told_and_the_others_compared(
    tmp_path: Path,
) -> None:
    old = written(tmp_path, "a.parquet", {"day": [1, 2], "rain": [1, 2], "wind": ["N", "S"]})
    new = written(tmp_path, "b.parquet", {"day": [1, 2], "rain": [1.0, 2.5], "sun": [True, False]})

    found = compare(old, new, "day")

    assert column(found, "wind")["after"] is None
    assert column(found, "sun")["before"] is None
    types = [column(found, "rain")[side]["type"] for side in ("before", "after")]
    assert types == ["int64", "double"]
    assert (found["compared_columns"], found["rows_changed"]) == (2, 1)


def test_a_key_that_is_not_in_both_is_refused_with_those_that_are(tmp_path: Path) -> None:
    old, new = written(tmp_path, "a.csv", OLD), written(tmp_path, "b.csv", NEW)

    with pytest.raises(RejectedError, match=r"'hour' is not in both; they share day, rain, place"):
        compare(old, new, "hour")


def test_csv_that_changes_its_mind_far_below_is_compared_as_text(tmp_path: Path) -> None:
    many = list(range(10**17, 10**17 + 500_000))
    old = written(tmp_path, "a.csv", {"day": many})
    new = written(tmp_path, "b.csv", {"day": [*map(str, many[:-1]), "yesterday"]})

    found = compare(old, new, "")

    assert (found["rows_added"], found["rows_removed"]) == (1, 1)
    assert column(found, "day")["after"]["type"] == "string"
    assert column(found, "day")["after"]["distinct"] is None


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.jsonl"])
def test_what_is_no_table_is_said_to_be_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "object").write_bytes(b"\x00\x01 nothing of the kind")
    broken = [str(tmp_path / "object"), name]

    assert compare(broken, broken, "")["unread"]


def test_empty_tables_differ_in_nothing(tmp_path: Path) -> None:
    none: dict[str, list[Any]] = {"day": []}
    old, new = written(tmp_path, "a.csv", none), written(tmp_path, "b.csv", none)

    found = compare(old, new, "day")

    assert (found["rows_added"], found["rows_removed"], found["rows_changed"]) == (0, 0, 0)


def test_lists_and_bytes_are_compared_too(tmp_path: Path) -> None:
    old = written(tmp_path, "a.parquet", {"tags": [[1, 2], [3]], "raw": [b"\xff", b"\x00"]})
    new = written(tmp_path, "b.parquet", {"tags": [[1, 2], [4]], "raw": [b"\xff", b"\x00"]})

    found = compare(old, new, "")

    assert (found["rows_added"], found["rows_removed"]) == (1, 1)


def test_what_is_not_finite_becomes_text(tmp_path: Path) -> None:
    table = written(tmp_path, "a.parquet", {"rain": [float("inf"), 1.0, float("nan")]})

    told = column(compare(table, table, ""), "rain")["before"]

    assert (told["max"], told["mean"], told["missing"]) == ("inf", "inf", 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([1, None], pa.int32()), pa.array([1.0, None], pa.float64())),
        (pa.array([0.0]), pa.array([-0.0])),
        (pa.array([None], pa.float32()), pa.array([float("nan")])),
    ],
)
def test_equal_numbers_look_alike_whatever_their_type(one: pa.Array, other: pa.Array) -> None:
    assert np.array_equal(fingerprints(one, "number"), fingerprints(other, "number"))


def test_an_arrow_file_of_one_batch_is_read_in_many(tmp_path: Path) -> None:
    rows = 150_000
    file = tmp_path / "days.arrow"
    table = pa.table({"day": np.arange(rows)})
    with pa.ipc.new_file(str(file), table.schema) as writer:
        writer.write_batch(table.to_batches()[0])

    with opened(str(file), "days.arrow") as found:
        sizes = [batch.num_rows for batch in found.batches]

    assert sum(sizes) == rows
    assert max(sizes) <= 65_536


def test_many_columns_share_the_room_for_different_values(tmp_path: Path) -> None:
    columns, rows = 1000, 5000
    table = {f"c{number}": pa.array(np.arange(rows)) for number in range(columns)}
    file = tmp_path / "wide.arrow"
    feather.write_feather(pa.table(table), str(file), compression="uncompressed")

    with opened(str(file), "wide.arrow") as found:
        told = figures(found, {}, "").columns

    assert len(told) == columns
    assert all(column["distinct"] is None for column in told.values())


@pytest.mark.parametrize("type_", [pa.timestamp("s"), pa.duration("s")])
def test_times_without_a_place_in_the_calendar_have_no_ends(
    tmp_path: Path, type_: pa.DataType
) -> None:
    file = tmp_path / "late.arrow"
    times = pa.array([0, 10**14], pa.int64()).cast(type_)
    table = pa.table({"at": times, "rain": [0.5, 1.5]})
    feather.write_feather(table, str(file), compression="uncompressed")
    side = [str(file), "late.arrow"]

    found = compare(side, side, "")

    at, rain = (column["after"] for column in found["columns"])
    assert (at["count"], at["min"], at["max"]) == (2, None, None)
    assert (rain["min"], rain["max"]) == (0.5, 1.5)
    assert (found["rows_added"], found["rows_removed"]) == (0, 0)
