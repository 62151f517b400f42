# SPDX-License-Identifier: Apache-2.0
"""Tensors: rows and columns to V2 and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mlops.client import tensors
from mlops.client.errors import MLOpsClientError


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
