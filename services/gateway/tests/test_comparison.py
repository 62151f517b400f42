# SPDX-License-Identifier: Apache-2.0
"""Comparison: two answers agree when their outputs do, whatever form they have on the wire."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.gateway.http.outputs import outputs_of
from mlops.gateway.model.comparison import Tensor, compare


def one(*values: object) -> dict[str, Tensor]:
    return {"y": Tensor((len(values),), values)}


@pytest.mark.parametrize(
    ("ours", "theirs", "agrees", "difference"),
    [
        (one(1.0, 2.0), one(1.0, 2.0), True, 0.0),
        (one(1.0), one(1.00001), True, 1e-5),
        (one(1.0, 2.0), one(1.0, 3.0), False, 0.5),
        (one(float("nan")), one(float("nan")), True, 0.0),
        (one(float("nan")), one(1.0), False, 0.0),
        (one("cat", "dog"), one("cat", "dog"), True, None),
        (one("cat"), one("dog"), False, None),
        (one(True), one(False), False, None),
        (one("cat", 1.0), one("cat", 2.0), False, 1.0),
        (one(1), one("1"), False, None),
        (one(1.0), {"z": Tensor((1,), (1.0,))}, False, None),
        (one(1.0, 2.0), {"y": Tensor((1, 2), (1.0, 2.0))}, False, None),
        (one(1.0), {"y": Tensor((1,), ())}, False, None),
        ({}, {}, False, None),
    ],
)
def test_outputs_agree_within_what_builds_differ(
    ours: dict[str, Tensor],
    theirs: dict[str, Tensor],
    agrees: bool,  # noqa: FBT001 - a column of the table
    difference: float | None,
) -> None:
    found = compare(ours, theirs)

    assert found.agrees is agrees
    assert found.difference == (None if difference is None else pytest.approx(difference))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_an_answer_agrees_with_itself(values: list[float]) -> None:
    assert compare(one(*values), one(*values)).agrees


def test_shape_of_nested_lists_and_the_version_make_no_difference() -> None:
    flat = {"id": "a", "outputs": [{"name": "y", "datatype": "FP64", "shape": [2, 1], "data": [1, 2]}]}  # fmt: skip
    nested = {"id": "b", "model_version": "9", "outputs": [{"name": "y", "shape": [2, 1], "data": [[1], [2]]}]}  # fmt: skip

    found = [outputs_of(json.dumps(answer).encode(), None) for answer in (flat, nested)]

    assert found[0] == found[1] == {"y": Tensor((2, 1), (1, 2))}


@pytest.mark.parametrize(
    ("datatype", "raw", "values"),
    [
        ("FP64", struct.pack("<2d", 1.5, 2.5), (1.5, 2.5)),
        ("FP32", struct.pack("<2f", 1.5, 2.5), (1.5, 2.5)),
        ("FP16", struct.pack("<2e", 1.5, 2.5), (1.5, 2.5)),
        ("BF16", b"\xc0\x3f\x20\x40", (1.5, 2.5)),
        ("INT64", struct.pack("<2q", -1, 2), (-1, 2)),
        ("UINT8", b"\x01\xff", (1, 255)),
        ("BOOL", b"\x01\x00", (True, False)),
        ("BYTES", b"\x01\x00\x00\x00a", (b"\x01\x00\x00\x00a",)),
    ],
)
def test_binary_outputs_are_read(datatype: str, raw: bytes, values: tuple[object, ...]) -> None:
    output = {"name": "y", "datatype": datatype, "shape": [2], "parameters": {"binary_data_size": len(raw)}}  # fmt: skip
    head = json.dumps({"outputs": [output]}).encode()

    found = outputs_of(head + raw, str(len(head)))

    assert found == {"y": Tensor((2,), values)}


def test_binary_and_json_answers_agree() -> None:
    output = {"name": "y", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}
    head = json.dumps({"outputs": [output]}).encode()
    binary = outputs_of(head + struct.pack("<f", 0.1), str(len(head)))
    plain = outputs_of(b'{"outputs": [{"name": "y", "shape": [1], "data": [0.1]}]}', None)

    assert binary is not None
    assert plain is not None
    found = compare(binary, plain)
    assert found.agrees
    assert found.difference == pytest.approx(1.5e-9, rel=0.1)


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"", None),
        (b"no JSON", None),
        (b'{"outputs": [3]}', None),
        (b'{"outputs": [{"name": "y"}]}', None),
        (b'{"outputs": [{"name": "y", "shape": 3, "data": []}]}', None),
        (b'{"outputs": []}', "many"),
        (b'{"outputs": [{"name": "y", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 3}}]}abc', "101"),
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be_read_is_none(body: bytes, length: str | None) -> None:
    assert outputs_of(body, length) is None


def test_answers_that_are_not_of_the_protocol_are_compared_by_their_values() -> None:
    found = outputs_of(b'{"predictions": [[1, 2], [3, "a"]]}', None)

    assert found == {"": Tensor((4,), (1, 2, 3, "a"))}
