# SPDX-License-Identifier: Apache-2.0
"""Binary tensor data: every datatype there and back, byte for byte, and whatever does not fit named."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from services.serving.tests.asking import IMAGE, RAIN, Replica, replica

from mlops.serving.adapters.inference import Contract
from mlops.serving.model import binary
from mlops.serving.model.requests import read_inputs
from mlops.serving.model.tensors import DTYPES, Field, MalformedError, datatype_of

INFER = "/v2/models/rain/infer"
HEADER = "Inference-Header-Content-Length"
NUMBERS = [one for one in DTYPES if one not in ("BYTES", "BF16")]
SAMPLES: dict[str, tuple[list[Any], bytes]] = {
    "BOOL": ([True, False], b"\x01\x00"),
    "UINT8": ([0, 255], b"\x00\xff"),
    "UINT16": ([1, 65535], b"\x01\x00\xff\xff"),
    "UINT32": ([1, 2**32 - 1], b"\x01\x00\x00\x00\xff\xff\xff\xff"),
    "UINT64": ([2**64 - 1], b"\xff" * 8),
    "INT8": ([-1, 127], b"\xff\x7f"),
    "INT16": ([-2], b"\xfe\xff"),
    "INT32": ([-2], b"\xfe\xff\xff\xff"),
    "INT64": ([-2], b"\xfe" + b"\xff" * 7),
    "FP16": ([1.5], b"\x00\x3e"),
    "BF16": ([1.5], b"\xc0\x3f"),
    "FP32": ([1.5], b"\x00\x00\xc0\x3f"),
    "FP64": ([1.5], b"\x00\x00\x00\x00\x00\x00\xf8\x3f"),
    "BYTES": (["né", ""], b"\x03\x00\x00\x00n\xc3\xa9\x00\x00\x00\x00"),
}


def head(datatype: str, shape: list[int], size: int, name: str = "x") -> dict[str, Any]:
    parameters = {"binary_data_size": size}
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": parameters}


def asked(inputs: list[Any], raw: bytes, **more: Any) -> tuple[bytes, dict[str, str]]:
    said = json.dumps({"inputs": inputs, **more}).encode()
    return said + raw, {HEADER: str(len(said))}


def echo(datatype: str) -> Contract:
    return Contract("m", 1, "x", (), (Field("out", datatype),))


def test_every_datatype_has_a_sample() -> None:
    assert set(SAMPLES) == set(DTYPES)


@pytest.mark.parametrize("datatype", SAMPLES)
def test_a_tensor_goes_in_and_out_as_bytes_and_as_json(datatype: str) -> None:
    values, raw = SAMPLES[datatype]
    body, headers = asked([head(datatype, [len(values)], len(raw))], raw)
    as_json = {"name": "x", "datatype": datatype, "shape": [len(values)], "data": values}
    contract = echo(datatype)

    from_bytes = contract.read(body, headers[HEADER])
    from_json = contract.read(json.dumps({"inputs": [as_json]}).encode())
    told, length = contract.write(
        contract.read(*asked_binary(body, headers)),
        "r",
        {"out": np.asarray(from_bytes.rows.values)},
    )
    plain, none = contract.write(from_json, "r", {"out": np.asarray(from_json.rows.values)})

    assert np.asarray(from_bytes.rows.values).tolist() == values
    assert np.asarray(from_json.rows.values).tolist() == values
    assert told[length:] == raw
    [output] = json.loads(told[:length])["outputs"]
    assert output == {**head(datatype, [len(values)], len(raw), "out")}
    assert none is None
    assert json.loads(plain)["outputs"] == [{**as_json, "name": "out"}]


def asked_binary(body: bytes, headers: dict[str, str]) -> tuple[bytes, str]:
    length = int(headers[HEADER])
    said = json.dumps({**json.loads(body[:length]), "parameters": {"binary_data_output": True}})
    return said.encode() + body[length:], str(len(said.encode()))


@settings(deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.dtype(DTYPES[one]) for one in NUMBERS]),
        arrays.array_shapes(max_dims=3, max_side=5),
    )
)
def test_bytes_of_numbers_read_back_as_they_were(values: Any) -> None:
    datatype = datatype_of(values)
    assert datatype is not None
    raw = binary.encode(values, datatype)

    back = binary.decode("x", datatype, values.shape, memoryview(bytearray(raw)))

    assert (back.dtype, back.shape) == (values.dtype, values.shape)
    assert back.tobytes() == values.tobytes()


@settings(deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=9))
def test_strings_read_back_as_they_were(texts: list[str]) -> None:
    raw = binary.encode(np.asarray(texts, dtype=object), "BYTES")

    back = binary.decode("x", "BYTES", (len(texts),), memoryview(raw))

    assert back.tolist() == texts


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=True), min_size=1, max_size=9))
def test_bf16_keeps_the_upper_half_rounded_to_the_nearest(values: list[float]) -> None:
    single = np.asarray(values, np.float32)

    back = binary.from_bf16(binary.to_bf16(single))

    with np.errstate(over="ignore", invalid="ignore"):
        off = np.abs(back - single) / np.maximum(np.abs(single), np.float32(1e-37))
    exact = (back == single) | (np.isnan(back) & np.isnan(single))
    overflown = np.isinf(back) & (np.abs(single) > 3.38e38)
    assert bool((exact | (off <= 2**-8) | overflown).all())


def test_bf16_rounds_ties_to_even() -> None:
    ties = np.asarray([0x3F808000, 0x3F818000], np.uint32).view(np.float32)

    assert binary.to_bf16(ties).tolist() == [0x3F80, 0x3F82]


@settings(deadline=None)
@given(st.binary(max_size=64), st.sampled_from(list(DTYPES)), st.integers(1, 9))
def test_no_bytes_break_the_reader(raw: bytes, datatype: str, count: int) -> None:
    try:
        shape = binary.decode("x", datatype, (count,), memoryview(raw)).shape
    except MalformedError:
        shape = (count,)  # named, and nothing else came of it

    assert shape == (count,)


@pytest.mark.parametrize(
    ("inputs", "raw", "said"),
    [
        ([head("FP64", [1], 8)], b"1234567", "only 7 follow; the binary part is cut short"),
        ([head("FP64", [1], 8)], b"123456789", "9 bytes follow the JSON, the inputs say 8"),
        ([head("FP64", [2], 8)], b"12345678", r"FP64 of shape \[2\] takes 16 bytes"),
        ([head("FP64", [1], -1)], b"", "must be a number of bytes, not -1"),
        ([head("FP64", [1], True)], b"1", "must be a number of bytes, not True"),
        ([{**head("FP64", [1], 8), "data": [1]}], b"12345678", "has `data` and `binary_data_size`"),
        ([{**head("FP64", [1], 8), "parameters": 7}], b"", "`parameters` must be an object"),
        ([head("FP64", [10**12], 8)], b"12345678", "takes 8000000000000 bytes"),
        ([head("BYTES", [10**12], 8)], b"12345678", "do not hold 1000000000000 strings"),
        ([head("BYTES", [1], 6)], b"\x09\x00\x00\x00ab", "do not hold 1 strings"),
        ([head("BYTES", [1], 7)], b"\x02\x00\x00\x00abc", "do not hold 1 strings"),
        ([head("BYTES", [1], 5)], b"\x01\x00\x00\x00\xff", "is not UTF-8"),
        ([head("BOOL", [1], 1)], b"\x02", "a BOOL is one byte, 0 or 1"),
        ([head("FP64", [0], 0)], b"", "has no rows"),
    ],
)
def test_bytes_that_do_not_fit_are_named(inputs: Any, raw: bytes, said: str) -> None:
    with pytest.raises(MalformedError, match=said):
        read_inputs(inputs, memoryview(raw))


def test_bytes_without_the_header_are_named() -> None:
    with pytest.raises(MalformedError, match="no header Inference-Header-Content-Length"):
        read_inputs([head("FP64", [1], 8)])


@pytest.mark.parametrize("length", ["x", "-1", "99999", "", "1e2", "9" * 30, "²"])
async def test_a_length_that_is_none_is_refused(tmp_path: Path, length: str) -> None:
    answer = await replica(tmp_path).post(INFER, b"{}", {HEADER: length})

    assert answer.status == 400
    assert "must be the length of the JSON" in answer.json["error"]


@pytest.fixture
def door(tmp_path: Path) -> Replica:
    return replica(tmp_path)


ROW = struct.pack("<2d", 1.5, 2.0)


async def test_some_inputs_are_bytes_and_some_are_json(door: Replica) -> None:
    column = {"name": "dew_point", "datatype": "FP64", "shape": [1], "data": [2]}
    inputs = [head("FP64", [1], 8, "temperature"), column]

    answer = await door.post(INFER, *asked(inputs, struct.pack("<d", 1.5)))

    assert answer.json["outputs"][0]["data"] == [3.5]


@pytest.mark.parametrize(
    ("more", "is_binary"),
    [
        ({}, False),
        ({"parameters": {"binary_data_output": True}}, True),
        ({"outputs": [{"name": "predict", "parameters": {"binary_data": True}}]}, True),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [{"name": "predict", "parameters": {"binary_data": False}}],
            },
            False,
        ),
    ],
)
async def test_the_caller_says_how_outputs_come(
    door: Replica, more: dict[str, Any], *, is_binary: bool
) -> None:
    answer = await door.post(INFER, *asked([head("FP64", [1, 2], 16)], ROW, **more))

    assert (HEADER.lower() in answer.headers) is is_binary
    length = int(answer.headers.get(HEADER.lower(), len(answer.body)))
    [output] = json.loads(answer.body[:length])["outputs"]
    assert ("data" in output) is not is_binary
    assert answer.body[length:] == (struct.pack("<d", 3.5) if is_binary else b"")
    kind = "application/octet-stream" if is_binary else "application/json"
    assert answer.headers["content-type"] == kind


async def test_numbers_that_are_none_travel_as_bytes_and_are_null_in_json(door: Replica) -> None:
    raw = struct.pack("<4d", float("nan"), 1, float("inf"), 1)
    inputs = [head("FP64", [2, 2], 32)]

    as_json = await door.post(INFER, *asked(inputs, raw))
    as_bytes = await door.post(INFER, *asked(inputs, raw, parameters={"binary_data_output": True}))

    assert as_json.json["outputs"][0]["data"] == [None, None]
    told = struct.unpack("<2d", as_bytes.body[int(as_bytes.headers[HEADER.lower()]) :])
    assert (str(told[0]), told[1]) == ("nan", float("inf"))


async def test_a_body_of_nothing_but_bytes_is_the_one_tensor(tmp_path: Path) -> None:
    raw = struct.pack("<4f", 1, 2, 3, 4)

    answer = await replica(tmp_path, spec=IMAGE).post(INFER, raw, {HEADER: "0"})

    length = int(answer.headers[HEADER.lower()])
    assert json.loads(answer.body[:length])["outputs"][0]["shape"] == [2]
    assert struct.unpack("<2f", answer.body[length:]) == (3, 7)


@pytest.mark.parametrize(
    ("spec", "raw", "said"),
    [
        (RAIN, b"12345678", "is for models with one input"),
        (IMAGE, b"123456789", "9 bytes are no whole"),
        (IMAGE, b"", "0 bytes are no whole"),
    ],
)
async def test_bytes_alone_must_fit_the_one_tensor(
    tmp_path: Path, spec: dict[str, Any], raw: bytes, said: str
) -> None:
    answer = await replica(tmp_path, spec=spec).post(INFER, raw, {HEADER: "0"})

    assert answer.status == 400
    assert said in answer.json["error"]


async def test_a_model_may_compute_in_place(tmp_path: Path) -> None:
    def doubled(values: Any) -> Any:
        values *= 2
        return values.sum(axis=1)

    raw = struct.pack("<2f", 1, 2)
    answer = await replica(tmp_path, spec=IMAGE, answer=doubled).post(
        INFER, *asked([head("FP32", [1, 2], 8, "image")], raw)
    )

    assert answer.json["outputs"][0]["data"] == [6.0]


@pytest.mark.parametrize(
    ("given", "datatype", "shape", "data"),
    [
        (np.array([1, 2], np.uint16), "UINT16", [2], [1, 2]),
        (np.array([[True], [False]]), "BOOL", [2, 1], [True, False]),
        (np.array([1.5], np.float16), "FP16", [1], [1.5]),
        (np.array([0.1], np.float32), "FP32", [1], [0.1]),
        (np.array([1.5], np.longdouble), "FP64", [1], [1.5]),
        (np.array(["a", "né"]), "BYTES", [2], ["a", "né"]),
        (np.array([b"a"]), "BYTES", [1], ["a"]),
        (np.array(["2026-01-02"], "M8[D]"), "BYTES", [1], ["2026-01-02"]),
        ([1, 2], "INT64", [2], [1, 2]),
        (7, "INT64", [], [7]),
        (np.arange(6).reshape(2, 3).T, "INT64", [3, 2], [0, 3, 1, 4, 2, 5]),
        (np.array([1, 2], ">i4"), "INT32", [2], [1, 2]),
    ],
)
async def test_whatever_a_model_gives_is_written_as_it_is(
    tmp_path: Path, given: Any, datatype: str, shape: list[int], data: list[Any]
) -> None:
    answer = await replica(tmp_path, answer=lambda _: given).infer([1, 2])

    output = answer.json["outputs"][0]
    assert output == {"name": "predict", "datatype": datatype, "shape": shape, "data": data}


@pytest.mark.parametrize(
    "given", [np.array([1j]), [{"a": 1}], np.array([1], "m8[s]"), [[1], [1, 2]], object()]
)
async def test_an_answer_without_a_word_is_the_model_s_fault(tmp_path: Path, given: Any) -> None:
    answer = await replica(tmp_path, answer=lambda _: given).infer([1, 2])

    assert answer.status == 500
    assert "the model's answer is no tensor" in answer.json["error"]


async def test_named_outputs_are_filtered_in_the_order_asked_for(tmp_path: Path) -> None:
    spec = {**RAIN, "outputs": []}
    both = replica(tmp_path, spec=spec, answer=lambda _: {"a": [1], "b": [2], "c": [3]})

    answer = await both.infer([1, 2], outputs=[{"name": "c"}, {"name": "a"}])
    odd = await both.infer([1, 2], outputs=[{"name": "d"}])

    assert [one["name"] for one in answer.json["outputs"]] == ["c", "a"]
    assert (odd.status, odd.json["error"]) == (400, "there is no output 'd'; there are: a, b, c")
