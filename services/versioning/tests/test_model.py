# SPDX-License-Identifier: Apache-2.0
"""Which version a content is, and which one a run means."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mlops.versioning.model import (
    Content,
    Version,
    meant,
    name_of,
    newest,
    overlap,
    problem_with_name,
    same,
    tidy,
)

ONE = Version(
    "rain",
    "days",
    1,
    "days.csv",
    Content("a", 1, 1, ""),
    "/r",
    None,
    None,
    datetime(2026, 1, 1, tzinfo=UTC),
)
TWO = replace(ONE, version=2, parent=1, content=replace(ONE.content, oid="b"))


def test_content_seen_before_is_found_at_its_path_only() -> None:
    assert same([ONE, TWO], ONE.content, "days.csv") == ONE
    assert same([ONE, TWO], ONE.content, "elsewhere.csv") is None


def test_the_newest_is_the_one_with_the_highest_number() -> None:
    assert newest([TWO, ONE]) == TWO
    assert newest([]) is None


@pytest.mark.parametrize(
    ("number", "oid", "expected"),
    [(1, None, ONE), (2, "a", TWO), (None, "a", ONE), (None, None, None), (3, "a", None)],
)
def test_a_run_means_a_version_by_number_or_else_by_content(
    number: int | None, oid: str | None, expected: Version | None
) -> None:
    assert meant([ONE, TWO], number, oid) == expected


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [("", "data/days.csv", "days.csv"), ("days", "data/days.csv", "days"), ("", "data/", "data")],
)
def test_a_dataset_without_a_name_takes_that_of_its_file(
    name: str, path: str, expected: str
) -> None:
    assert name_of(name, path) == expected


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "x" * 129, "days\n"])
def test_a_name_that_cannot_be_is_explained(name: str) -> None:
    assert "must be 1 to 128" in (problem_with_name(name) or "")


@pytest.mark.parametrize("path", ["days.csv", "./days.csv", "sub/../days.csv", "/p/days.csv"])
def test_a_path_has_one_spelling(path: str) -> None:
    assert tidy(path, "/p") == "days.csv"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s3://data/rain", "s3://data/rain/"),
        ("s3://data", "s3://data/rain"),
        ("/mnt/rain/x", "/mnt/rain"),
    ],
)
def test_remotes_overlap_where_one_lies_in_the_other(one: str, other: str) -> None:
    assert overlap(one, other)


@pytest.mark.parametrize("other", ["s3://data/rainfall", "gs://data/rain"])
def test_remotes_beside_each_other_do_not_overlap(other: str) -> None:
    assert not overlap("s3://data/rain", other)
