# SPDX-License-Identifier: Apache-2.0
"""Text tables that do not fit into memory come in batches of one schema, whatever the first rows look like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.client.datasets import streamed, tabular
from mlops.client.errors import BadInputError

BLOCK = 256


def csv_of(path: Path, first: str, last: str) -> pa.Table:
    path.write_text("a,b\n" + f"{first}\n" * 200 + f"{last}\n")
    return pa.Table.from_batches(list(streamed.of_csv(path, ",", BLOCK)))


def lines_of(path: Path, rows: list[dict[str, Any]]) -> pa.Table:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return pa.Table.from_batches(list(streamed.of_lines(path, BLOCK)))


@pytest.mark.parametrize(
    ("first", "last", "types", "ends"),
    [
        ("1,2", "1.5,x", ["double", "string"], [1.5, "x"]),
        ("1,", "x,7", ["string", "int64"], ["x", 7]),
        ("1,", "2,x", ["int64", "string"], [2, "x"]),
        ("2026-01-01,true", "soon,2", ["string", "string"], ["soon", "2"]),
        ("1,2", "3,4", ["int64", "int64"], [3, 4]),
    ],
)
def test_a_column_of_csv_has_the_type_that_fits_all_of_its_rows(
    tmp_path: Path, first: str, last: str, types: list[str], ends: list[Any]
) -> None:
    found = csv_of(tmp_path / "a.csv", first, last)

    assert [str(one.type) for one in found.schema] == types
    assert [column[-1].as_py() for column in found.columns] == ends
    assert found.num_rows == 201


def test_a_file_of_csv_with_ever_more_surprises_is_text(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(30)]
    lines = [",".join(names), *[",".join("1" * 30)] * 20, ",".join("x" * 30)]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")

    found = pa.Table.from_batches(list(streamed.of_csv(tmp_path / "a.csv", ",", BLOCK)))

    assert {str(one.type) for one in found.schema} == {"string"}
    assert found.column("c29").to_pylist() == ["1"] * 20 + ["x"]


def test_a_row_of_csv_that_has_too_many_cells_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("a,b\n" + "1,2\n" * 100 + "1,2,3\n")

    with pytest.raises(BadInputError, match=r"'days\.csv' cannot be read: .*Expected 2 columns"):
        list(tabular.batches(file, "days.csv"))


def test_fields_that_come_late_are_null_before(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "at": "2026-01-01", "in": {"x": 1}}] * 50
    rows += [{"a": 1.5, "at": "soon", "late": [True], "in": {"x": 2, "y": "z"}}]

    found = lines_of(tmp_path / "a.jsonl", rows)

    assert found.column("a").to_pylist() == [1.0] * 50 + [1.5]
    assert found.column("at").to_pylist() == ["2026-01-01"] * 50 + ["soon"]
    assert found.column("late").to_pylist() == [None] * 50 + [[True]]
    assert found.column("in")[0].as_py() == {"x": 1, "y": None}


def test_a_field_that_is_number_here_and_word_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"rain": 1}\n' * 800_000 + '{"rain": "much"}\n')

    with pytest.raises(BadInputError, match="rain"):
        list(tabular.batches(file, "a.jsonl"))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_an_empty_file_is_said_to_be_one(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")

    with pytest.raises(BadInputError, match=r"[Ee]mpty"):
        list(tabular.batches(tmp_path / name, name))


value = st.none() | st.integers(-1000, 1000) | st.floats(-1e6, 1e6)
row = st.fixed_dictionaries({"a": value}, optional={"b": value, "c": st.text("xyz", max_size=9)})


@settings(max_examples=60, deadline=None)
@given(st.lists(row, min_size=1, max_size=40), st.integers(8, 200))
def test_every_row_of_json_lines_comes_wherever_the_pieces_end(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], block: int
) -> None:
    file = tmp_path_factory.mktemp("lines") / "a.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in rows).rstrip("\n"))

    found = pa.Table.from_batches(list(streamed.of_lines(file, block))).to_pylist()

    whole = tabular.table(file, "a.jsonl").to_pylist()
    assert found == whole
    assert len(found) == len(rows)
