# SPDX-License-Identifier: Apache-2.0
"""Two listings compared, and what a dataset is called that people added themselves."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.versioning.adapters.differences import bounded
from mlops.versioning.model import Content, Kept, Version, differences, name_at

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LISTINGS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("123"))


def kept(listing: dict[str, str]) -> dict[str, Kept]:
    return {name: Kept(oid, 1) for name, oid in listing.items()}


def test_files_come_go_change_or_move() -> None:
    old = kept({"same": "1", "changed": "2", "gone": "3", "before": "4"})
    new = kept({"same": "1", "changed": "5", "fresh": "6", "after": "4"})

    found = differences(old, new)

    assert (found.added, found.removed, found.changed) == (("fresh",), ("gone",), ("changed",))
    assert found.renamed == (("before", "after"),)


@given(LISTINGS, LISTINGS)
def test_the_differences_lead_from_one_listing_to_the_other(
    old: dict[str, str], new: dict[str, str]
) -> None:
    found = differences(kept(old), kept(new))

    left = {name: oid for name, oid in old.items() if name not in found.removed}
    moved = {to: left.pop(name) for name, to in found.renamed}
    fresh = {name: new[name] for name in (*found.added, *found.changed)}
    assert {**left, **moved, **fresh} == new


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/days.csv", "rainy"),
        ("data/wind", "gale"),
        ("snow.csv", "snow.csv"),
        ("winter/rainy", "winter-rainy"),
        ("März/Schnee.csv", "Schnee.csv"),
        ("_ü", "dataset"),
    ],
)
def test_a_dataset_is_called_as_before_as_the_project_says_or_as_its_path(
    path: str, name: str
) -> None:
    content = Content("a" * 32, 1, 1, "")
    known = [Version("p", "rainy", 1, "data/days.csv", content, "/r", None, None, NOON)]

    assert name_at(path, known, {"gale": "./data/wind"}) == name


def test_an_answer_that_is_too_long_for_a_message_is_cut_and_its_counts_are_not() -> None:
    names = [{"file": "n" * 200 + str(number), "size_bytes": 1} for number in range(100)]
    columns = [{"column": f"c{number}"} for number in range(200)]
    answer: dict[str, Any] = {
        "files": {"added": names, "removed": names[:1], "changed": [], "renamed": []},
        "counts": {"added": 5000},
        "tables": [{"columns": columns, "more_columns": 7}],
    }

    found = bounded(answer, 5000)

    assert len(json.dumps(found)) <= 5000
    assert 0 < len(found["files"]["added"]) < 100
    assert found["counts"] == {"added": 5000}
    [table] = found["tables"]
    assert 0 < len(table["columns"]) < 200
    assert len(table["columns"]) + table["more_columns"] == 207
