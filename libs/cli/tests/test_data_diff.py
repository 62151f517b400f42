# SPDX-License-Identifier: Apache-2.0
"""`mlops data diff`: what differs between two versions, as people read it."""

from __future__ import annotations

from typing import Any

from libs.cli.tests.conftest import Asked, Door

OLD = {"type": "int64", "count": 2, "missing": 0, "min": 1, "max": 2, "mean": 1.5, "distinct": 2}
NEW = {**OLD, "type": "double", "max": 4.25, "mean": 2.6251234567, "distinct": None}
TABLE = {
    "file": "days.csv",
    "rows_before": 2,
    "rows_after": 3,
    "rows_added": 2,
    "rows_removed": 1,
    "rows_changed": 0,
    "key": "day",
    "repeated_keys_before": 0,
    "repeated_keys_after": 1,
    "compared_columns": 1,
    "columns": [
        {"column": "day", "before": OLD, "after": OLD},
        {"column": "rain", "before": OLD, "after": NEW},
        {"column": "sun", "before": None, "after": NEW},
    ],
    "more_columns": 2,
}
FOUND: dict[str, Any] = {
    "ready": True,
    "before": {"name": "days", "version": 1, "path": "days"},
    "after": {"name": "days", "version": 3, "path": "days"},
    "files": {
        "added": [{"file": "new.csv", "size_bytes": 1500}],
        "removed": [{"file": "old.csv", "size_bytes": 7}],
        "changed": [{"file": "days.csv", "before": 10, "after": 2_000_000}],
        "renamed": [{"file": "b.bin", "from": "a.bin", "size_bytes": 5}],
    },
    "counts": {"added": 3, "removed": 1, "changed": 1, "renamed": 1, "same": 40},
    "size_bytes_before": 10,
    "size_bytes_after": 2_000_000,
    "tables": [TABLE],
    "more_tables": 4,
}


def words_of(door: Door, *words: str) -> str:
    found = door.run("data", "diff", *words, "-p", "rain")
    assert found.exit_code == 0, found.output
    return " ".join(found.stdout.split())


def test_every_kind_of_difference_has_its_line(door: Door) -> None:
    door.answer("versioning", "diff", FOUND)

    shown = words_of(door, "days", "1")

    assert "days 1 -> 3 10 B -> 2.0 MB" in shown
    assert "+ new.csv 1.5 kB" in shown
    assert "- old.csv 7 B" in shown
    assert "~ days.csv 10 B -> 2.0 MB" in shown
    assert "> b.bin 5 B a.bin" in shown
    assert "40 files are the same; 2 not shown" in shown


def test_rows_and_columns_stand_side_by_side(door: Door) -> None:
    door.answer("versioning", "diff", FOUND)

    shown = words_of(door, "days", "1", "3", "--key", "day")

    assert "2 -> 3 rows, 2 added, 1 removed, 0 changed (by day)" in shown
    assert "0 -> 1 rows repeat a key; 1 columns compared" in shown
    assert "day = int64 2 0 1 2 1.5 2" in shown
    assert "rain - int64 2 0 1 2 1.5 2" in shown
    assert "rain + double 2 0 1 4.25 2.62512 many" in shown
    assert "sun + double" in shown
    assert "2 more columns are not shown" in shown
    assert "4 more tables changed and were not looked into" in shown


def test_it_asks_until_large_versions_are_compared(door: Door) -> None:
    answers: list[dict[str, Any]] = [{"ready": False}, {"ready": False}, FOUND]
    door.answer("versioning", "diff", lambda _: answers.pop(0))

    assert door.json("data", "diff", "days", "golden", "-p", "rain") == FOUND
    assert answers == []


def test_versions_are_named_as_they_were_written(door: Door) -> None:
    def answer(asked: Asked) -> dict[str, Any]:
        return {**FOUND, "asked": asked.query}

    door.answer("versioning", "diff", answer)

    asked = door.json("data", "diff", "days", "golden", "-p", "rain")["asked"]

    assert asked == {"project": "rain", "name": "days", "before": "golden", "after": "latest"}


def test_a_table_that_cannot_be_read_says_why(door: Door) -> None:
    broken = {"file": "", "unread": "CSV parse error: row 3"}
    door.answer("versioning", "diff", {**FOUND, "tables": [broken], "more_tables": 0})

    assert "rows: cannot be read as a table: CSV parse error: row 3" in words_of(door, "days", "1")


def test_rows_that_are_too_many_are_only_counted(door: Door) -> None:
    many = {**TABLE, "rows_uncompared": "more than 20000000 rows"}
    door.answer("versioning", "diff", {**FOUND, "tables": [many]})

    shown = words_of(door, "days", "1")

    assert "2 -> 3 rows; not compared one by one: more than 20000000 rows" in shown
