# SPDX-License-Identifier: Apache-2.0
"""What a request may say, what it becomes, and what is said about what it may not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.serving.adapters.inference import Contract, checked, column_of
from mlops.serving.model.requests import read_inputs
from mlops.serving.model.rows import Rows
from mlops.serving.model.rows import read_rows as rows_of
from mlops.serving.model.signature import (
    UnservableError,
    example_rows,
    fields,
)
from mlops.serving.model.tensors import DTYPES, Field, MalformedError

WEATHER = (Field("temperature", "FP64"), Field("days", "INT64"), Field("place", "BYTES"))
NUMBERS = (Field("a", "FP64"), Field("b", "FP32"))
IMAGE = (Field("image", "FP32", (-1, 2, 2)),)
RAIN = Contract("rain", 3, "sklearn", NUMBERS, (Field("predict", "INT64"),))


def tensor(name: str, datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def read_rows(inputs: Any, fields: tuple[Field, ...]) -> Rows:
    return rows_of(read_inputs(inputs), fields)


def written(
    values: Any,
    asked: str = '{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}]}',
) -> Any:
    body, _ = RAIN.write(RAIN.read(asked.encode()), "r", {"predict": values})
    return json.loads(body)["outputs"][0]


def test_several_inputs_are_columns_by_name_in_the_order_of_the_signature() -> None:
    rows = read_rows(
        [
            tensor("place", "BYTES", [2], ["here", "there"]),
            tensor("days", "INT32", [2, 1], [[1], [2]]),
            tensor("temperature", "INT64", [2], [20, 21]),
        ],
        WEATHER,
    )

    assert rows.columns is not None
    assert list(rows.columns) == ["temperature", "days", "place"]
    assert rows.columns["temperature"].dtype == np.float64
    assert rows.features() == [
        {"temperature": 20.0, "days": 1, "place": "here"},
        {"temperature": 21.0, "days": 2, "place": "there"},
    ]


def test_one_matrix_holds_the_columns_in_the_order_of_the_signature() -> None:
    rows = read_rows([tensor("anything", "FP64", [2, 2], [[1, 2], [3, 4]])], NUMBERS)

    assert rows.features() == [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}]


def test_flat_and_nested_data_are_the_same() -> None:
    flat = read_rows([tensor("x", "FP64", [2, 2], [1, 2, 3, 4])], NUMBERS)
    nested = read_rows([tensor("x", "FP64", [2, 2], [[1, 2], [3, 4]])], NUMBERS)

    assert flat.features() == nested.features()


def test_a_missing_number_is_null_and_stays_unknown() -> None:
    rows = read_rows([tensor("x", "FP64", [1, 2], [None, 2])], NUMBERS)

    assert rows.columns is not None
    assert np.isnan(rows.columns["a"][0])
    assert rows.features() == [{"a": None, "b": 2.0}]


def test_a_tensor_model_gets_its_tensor() -> None:
    rows = read_rows([tensor("image", "FP32", [1, 2, 2], [1, 2, 3, 4])], IMAGE)

    assert isinstance(rows.values, np.ndarray)
    assert rows.values.shape == (1, 2, 2)
    assert rows.values.dtype == np.dtype("float32")
    assert rows.features() == [{}]


def test_a_model_without_signature_takes_what_it_gets() -> None:
    rows = read_rows([tensor("x", "FP64", [1, 2], [1, 2])], ())

    assert rows.features() == [{"x0": 1.0, "x1": 2.0}]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (None, "`inputs` must be a list"),
        ([7], "each input needs a `name`"),
        ([tensor("a", "FP128", [1], [1])], "datatype 'FP128' is not one of"),
        ([{"name": "a", "datatype": "FP64", "shape": [1]}], "has no `data`; send values"),
        ([tensor("a", "FP64", [-1], [1])], "`shape` must be a list of whole numbers"),
        ([tensor("a", "FP64", [True], [1])], "`shape` must be a list of whole numbers"),
        ([tensor("a", "FP64", [0], [])], "has no rows"),
        ([tensor("a", "FP64", [10**9], [1])], "holds more than"),
        ([tensor("a", "FP64", [2], [1])], "wants 2 values, `data` holds 1"),
        ([tensor("a", "FP64", [1], ["1"])], "is not FP64"),
        ([tensor("a", "FP64", [2, 2], [[1, 2], [3]])], "is not FP64"),
        ([tensor("a", "INT8", [1], [300])], r"outside the range of INT8 \(-128 … 127\)"),
        ([tensor("a", "INT64", [1], [1.5])], "is not INT64"),
        ([tensor("a", "BYTES", [1], [1])], "every value must be a string"),
        ([tensor("a", "FP64", [1], 5)], "`data` must be a list"),
        ([tensor("a", "FP64", [1], [1])] * 2, "two tensors of the same name"),
        ([tensor("a", "FP64", [1], [1])], "missing: b"),
        (
            [tensor(name, "FP64", [1], [1]) for name in "abc"],
            "takes the inputs a, b; unknown: c",
        ),
        (
            [tensor("a", "FP64", [1], [1]), tensor("b", "FP64", [2], [1, 2])],
            "same number of rows; they have: a 1, b 2",
        ),
        (
            [tensor("a", "FP64", [1, 2], [1, 1]), tensor("b", "FP64", [1], [1])],
            r"its shape must be \[rows\]",
        ),
        (
            [tensor("a", "BYTES", [1], ["x"]), tensor("b", "FP64", [1], [1])],
            "input 'a' takes FP64, not BYTES",
        ),
        ([tensor("x", "FP64", [1, 3], [1, 2, 3])], r"must have 2 columns \(a, b\), not 3"),
    ],
)
def test_what_does_not_fit_is_named(inputs: Any, said: str) -> None:
    with pytest.raises(MalformedError, match=said):
        read_rows(inputs, NUMBERS)


def test_a_fraction_is_no_whole_number() -> None:
    whole = (Field("n", "INT64"),)

    with pytest.raises(MalformedError, match="takes INT64, not FP64"):
        read_rows([tensor("n", "FP64", [1], [1.0])], whole)


def test_a_tensor_of_another_shape_is_refused() -> None:
    with pytest.raises(MalformedError, match=r"has shape \[1, 4\], the model takes \[-1, 2, 2\]"):
        read_rows([tensor("image", "FP32", [1, 4], [1, 2, 3, 4])], IMAGE)


@given(
    datatype=st.sampled_from(sorted(set(DTYPES) - {"BYTES", "BOOL", "BF16"})),
    values=st.lists(st.integers(0, 100), min_size=1, max_size=8),
)
def test_what_is_written_reads_back(datatype: str, values: list[int]) -> None:
    array = np.asarray(values, dtype=DTYPES[datatype])

    sent = written(array)

    back = read_inputs([sent])["predict"]
    assert (sent["datatype"], back.dtype, back.tolist()) == (datatype, array.dtype, array.tolist())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["name", "datatype", "shape", "data"]), inner)
        ),
        max_leaves=12,
    )
)
def test_no_json_breaks_the_reader(anything: Any) -> None:
    with pytest.raises(MalformedError, match=r".+"):
        read_rows([tensor("a", "FP64", [1], anything), anything, {"name": "c"}], NUMBERS)


def test_a_request_is_answered_under_its_id() -> None:
    body = json.dumps({"id": "r", "inputs": [tensor("x", "FP64", [2, 2], [1, 2, 3, 4])]})

    asked = RAIN.read(body.encode())
    answer, length = RAIN.write(asked, "r", RAIN.named(np.array([1, 0])))

    assert length is None
    assert json.loads(answer) == {
        "model_name": "rain",
        "model_version": "3",
        "id": "r",
        "outputs": [{"name": "predict", "datatype": "INT64", "shape": [2], "data": [1, 0]}],
    }


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "the body is not JSON"),
        ("{", "the body is not JSON"),
        ('{"inputs": [NaN]}', "JSON has no NaN"),
        ("[]", "must be a JSON object"),
        ('{"id": 7}', "`id` must be a string"),
        ('{"parameters": 7}', "`parameters` of the request must be an object"),
        ('{"parameters": {"binary_data_output": 1}}', "must be true or false"),
        (
            json.dumps(
                {"inputs": [tensor("x", "FP64", [1, 2], [1, 2])], "outputs": [{"name": "odd"}]}
            ),
            "no output 'odd'; there are: predict",
        ),
        (
            json.dumps({"inputs": [tensor("x", "FP64", [1, 2], [1, 2])], "outputs": "predict"}),
            "`outputs` must be a list",
        ),
        (
            json.dumps({"inputs": [tensor("x", "FP64", [1, 2], [1, 2])], "outputs": [{}]}),
            "`outputs` must be a list of objects with a `name`",
        ),
        (
            json.dumps(
                {
                    "inputs": [tensor("x", "FP64", [1, 2], [1, 2])],
                    "outputs": [{"name": "predict", "parameters": {"classification": 3}}],
                }
            ),
            "`classification` is not supported",
        ),
    ],
)
def test_a_request_that_is_none_is_refused(body: str, said: str) -> None:
    with pytest.raises(MalformedError, match=said):
        RAIN.read(body.encode())


def test_an_answer_of_objects_is_refused() -> None:
    with pytest.raises(MalformedError, match="output 'predict' of rain is no tensor"):
        checked({"predict": np.array([{"a": 1}], dtype=object)}, lambda: "rain")


def test_a_prediction_of_several_values_has_no_scalar() -> None:
    assert column_of({"p": np.array([[0.2, 0.8]])}, 1) == [None]
    assert column_of({"p": np.array([[1], [0]])}, 2) == [1, 0]


def test_mlflow_signatures_become_fields() -> None:
    columns = '[{"type": "double", "name": "a"}, {"type": "long", "name": "b"}]'
    tensors = '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 28]}}]'

    assert fields(columns, "input") == (Field("a", "FP64"), Field("b", "INT64"))
    assert fields(tensors, "input") == (Field("input", "FP32", (-1, 28)),)
    assert fields(None, "input") == ()
    with pytest.raises(UnservableError, match="'a' of the model's signature has type 'array'"):
        fields('[{"type": "array", "name": "a"}]', "input")


def test_input_examples_become_columns_or_a_tensor() -> None:
    split = {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}}

    assert example_rows(split) == {"a": [1, 3], "b": [2, 4]}
    assert example_rows({"inputs": [[1, 2]]}) == [[1, 2]]
    assert example_rows(None) is None


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([tensor("a", "FP64", [1] * 65, [1])], "dimensions"),
        ([tensor("a", "FP32", [1], [1e300])], "outside the range of FP32"),
        ([tensor("a", "FP16", [1], [70000])], "outside the range of FP16"),
        ([tensor("n", "INT64", [1], [2**31])], "outside the range of INT32"),
        ([tensor("n", "UINT64", [1], [2**64 - 1])], "outside the range of INT32"),
        ([tensor("f", "FP64", [1], [1e39])], "outside the range of FP32"),
        ([tensor("rows", "FP64", [1, 2], [1e39, 1])], "outside the range of FP32"),
    ],
)
def test_a_number_that_does_not_fit_is_refused_and_never_becomes_another(
    inputs: Any, said: str
) -> None:
    name = inputs[0]["name"]
    columns = (
        (Field("f", "FP32"), Field("g", "FP64")) if name == "rows" else (Field(name, "INT32"),)
    )
    wanted = (Field("f", "FP32"),) if name == "f" else columns

    with pytest.raises(MalformedError, match=said):
        read_rows(inputs, wanted)


def test_a_number_that_was_not_finite_before_passes() -> None:
    rows = read_rows([tensor("f", "FP64", [2], [None, 1.0])], (Field("f", "FP32"),))

    assert rows.features() == [{"f": None}, {"f": 1.0}]


def test_a_matrix_becomes_what_the_signature_says() -> None:
    singles = (Field("a", "FP32"), Field("b", "FP32"))
    mixed = (Field("a", "FP32"), Field("b", "FP64"))

    same = read_rows([tensor("x", "FP64", [1, 2], [1, 2])], singles)
    apart = read_rows([tensor("x", "FP64", [1, 2], [1, 2])], mixed)

    assert isinstance(same.values, np.ndarray)
    assert same.values.dtype == np.float32
    assert isinstance(apart.values, dict)
    assert [one.dtype for one in apart.values.values()] == [np.float32, np.float64]


def test_text_that_a_model_gives_as_bytes_is_text() -> None:
    assert written(np.array([b"rain", "né".encode()]))["data"] == ["rain", "né"]
    assert written(np.array(["sun", None], dtype=object))["data"] == ["sun", None]


def test_an_output_that_the_model_does_not_give_is_named() -> None:
    asked = RAIN.read(
        json.dumps(
            {"inputs": [tensor("x", "FP64", [1, 2], [1, 2])], "outputs": [{"name": "predict"}]}
        ).encode()
    )

    with pytest.raises(MalformedError, match="no output 'predict'; there are: chance"):
        RAIN.write(asked, "r", {"chance": np.array([0.5])})
