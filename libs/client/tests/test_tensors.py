# SPDX-License-Identifier: Apache-2.0
"""Tensors: rows and columns to V2 and back."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.client import tensors
from mlops.client.errors import MLOpsClientError, RefusedError


def inputs(data: Any) -> dict[str, tuple[str, list[int], list[Any]]]:
    request = tensors.request_of(data)
    return {one["name"]: (one["datatype"], one["shape"], one["data"]) for one in request["inputs"]}


def test_rows_and_columns_are_the_same_request() -> None:
    rows = [{"t": 1.5, "n": 2}, {"t": 2.5, "n": 3}]

    assert inputs(rows) == inputs({"t": [1.5, 2.5], "n": [2, 3]})
    assert inputs(rows) == {"t": ("FP64", [2], [1.5, 2.5]), "n": ("INT64", [2], [2, 3])}


def test_each_kind_has_its_datatype() -> None:
    found = inputs({"flag": [True], "word": ["a"], "gap": [None], "mixed": [1]})

    assert {name: kind for name, (kind, _, _) in found.items()} == {
        "flag": "BOOL",
        "word": "BYTES",
        "gap": "FP64",
        "mixed": "INT64",
    }


def test_what_is_missing_is_null() -> None:
    found = inputs([{"a": 1, "b": math.nan}, {"a": None, "b": 2.0}])

    assert found == {"a": ("FP64", [2], [1, None]), "b": ("FP64", [2], [None, 2.0])}


def test_numpy_values_become_plain() -> None:
    found = inputs({"a": np.array([1, 2]), "b": np.array([0.5, np.nan])})

    assert found == {"a": ("INT64", [2], [1, 2]), "b": ("FP64", [2], [0.5, None])}
    assert type(found["a"][2][0]) is int


def test_a_data_frame_is_taken_as_it_is() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, None]}, index=[7, 9])

    assert inputs(frame) == {"a": ("INT64", [2], [1, 2]), "b": ("FP64", [2], [0.5, None])}


def test_a_missing_value_of_pandas_is_null() -> None:
    assert inputs([{"a": pd.NA, "b": pd.NaT, "c": 1.0}])["a"] == ("FP64", [1], [None])


@pytest.mark.parametrize("value", [math.inf, -math.inf, Decimal(1), datetime.now(UTC), [1, 2], 1j])
def test_a_value_that_cannot_be_sent_is_named_with_its_column(value: Any) -> None:
    with pytest.raises(RefusedError, match="column 'temperature'"):
        tensors.request_of([{"temperature": value}])


@pytest.mark.parametrize("data", [[1, 2], "rows", [["a", 1]]])
def test_what_is_neither_rows_nor_columns_says_what_is_taken(data: Any) -> None:
    with pytest.raises(RefusedError, match="a dict for each row"):
        tensors.request_of(data)


@pytest.mark.parametrize("data", [[], {}, {"a": []}, {"a": [1], "b": [1, 2]}])
def test_nothing_or_crooked_is_refused(data: Any) -> None:
    with pytest.raises(MLOpsClientError):
        tensors.request_of(data)


@pytest.mark.parametrize(
    ("outputs", "values"),
    [
        ([{"name": "p", "shape": [2], "data": [0, 1]}], [0, 1]),
        ([{"name": "p", "shape": [2, 1], "data": [0, 1]}], [0, 1]),
        ([{"name": "p", "shape": [2, 2], "data": [1, 2, 3, 4]}], [[1, 2], [3, 4]]),
        (
            [{"name": "p", "shape": [1], "data": [1]}, {"name": "q", "shape": [1], "data": [0.9]}],
            [{"p": 1, "q": 0.9}],
        ),
    ],
)
def test_answers_become_one_value_per_row(outputs: list[Any], values: list[Any]) -> None:
    assert tensors.values_of({"outputs": outputs}) == values
