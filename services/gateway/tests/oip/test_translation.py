# SPDX-License-Identifier: Apache-2.0
"""Tensors keep their elements on the way from gRPC to HTTP and back; what contradicts itself is refused before."""

from __future__ import annotations

import struct

import grpc
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.gateway.adapters.oip import open_inference_grpc_pb2 as oip
from mlops.gateway.adapters.oip.calls import infer_call, path_of
from mlops.gateway.adapters.oip.inside import Call, Reply
from mlops.gateway.adapters.oip.replies import infer_response, model_metadata
from mlops.gateway.adapters.oip.status import Refusal, refused
from mlops.gateway.adapters.oip.tensors import TensorError, fill, from_json, packed

MOST = 100_000


def whole(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.integers(low, high)


ELEMENTS: dict[str, tuple[str, st.SearchStrategy[object]]] = {
    "BOOL": ("bool_contents", st.booleans()),
    "INT8": ("int_contents", whole(8, signed=True)),
    "INT16": ("int_contents", whole(16, signed=True)),
    "INT32": ("int_contents", whole(32, signed=True)),
    "INT64": ("int64_contents", whole(64, signed=True)),
    "UINT8": ("uint_contents", whole(8, signed=False)),
    "UINT16": ("uint_contents", whole(16, signed=False)),
    "UINT32": ("uint_contents", whole(32, signed=False)),
    "UINT64": ("uint64_contents", whole(64, signed=False)),
    "FP32": ("fp32_contents", st.floats(width=32, allow_nan=False)),
    "FP64": ("fp64_contents", st.floats(allow_nan=False)),
    "BYTES": ("bytes_contents", st.binary(max_size=20)),
}
FORMATS = {
    "BOOL": "?",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FP32": "f",
    "FP64": "d",
}
tensors = st.sampled_from(sorted(ELEMENTS)).flatmap(
    lambda datatype: st.tuples(st.just(datatype), st.lists(ELEMENTS[datatype][1], max_size=9))
)


def typed(*inputs: tuple[str, list[object]]) -> oip.ModelInferRequest:
    asked = oip.ModelInferRequest(model_name="rain", id="r-1")
    for number, (datatype, values) in enumerate(inputs):
        one = asked.inputs.add(name=f"x{number}", datatype=datatype, shape=[len(values)])
        one.contents.SetInParent()
        getattr(one.contents, ELEMENTS[datatype][0]).extend(values)
    return asked


def parted(call: Call) -> tuple[dict[str, object], bytes]:
    end = int(call.headers["inference-header-content-length"])
    head: dict[str, object] = orjson.loads(call.body[:end])
    return head, call.body[end:]


def echo(call: Call) -> Reply:
    """Answer as a replica would that gives back what it got."""
    head, rest = parted(call)
    found = {
        "model_name": "rain",
        "model_version": "3",
        "id": head["id"],
        "outputs": head["inputs"],
    }
    told = orjson.dumps(found)
    return Reply(200, {"inference-header-content-length": str(len(told))}, told + rest)


@given(st.lists(tensors, min_size=1, max_size=4))
def test_typed_tensors_come_back_as_they_were(inputs: list[tuple[str, list[object]]]) -> None:
    asked = typed(*inputs)

    answer = infer_response(echo(infer_call(asked, MOST)), raw=False)

    assert [one.contents for one in answer.outputs] == [one.contents for one in asked.inputs]
    assert [list(one.shape) for one in answer.outputs] == [[len(values)] for _, values in inputs]
    assert [one.datatype for one in answer.outputs] == [datatype for datatype, _ in inputs]
    assert not answer.raw_output_contents


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5))
def test_raw_tensors_pass_unchanged(pieces: list[bytes]) -> None:
    asked = oip.ModelInferRequest(model_name="rain", id="r-1", raw_input_contents=pieces)
    for number, piece in enumerate(pieces):
        asked.inputs.add(name=f"x{number}", datatype="BF16", shape=[len(piece)])

    answer = infer_response(echo(infer_call(asked, MOST)), raw=True)

    assert list(answer.raw_output_contents) == pieces
    assert not any(one.HasField("contents") for one in answer.outputs)


@given(tensors.filter(lambda one: one[0] != "BYTES"))
def test_bytes_are_little_endian_and_row_by_row(tensor: tuple[str, list[object]]) -> None:
    datatype, values = tensor

    assert packed(values, datatype) == struct.pack(f"<{len(values)}{FORMATS[datatype]}", *values)


def test_element_of_bytes_follows_its_length() -> None:
    assert packed([b"wet", "dürr"], "BYTES") == b"\x03\0\0\0wet\x05\0\0\0d\xc3\xbcrr"


@given(tensors.filter(lambda one: one[0] != "BYTES"))
def test_json_and_bytes_hold_the_same(tensor: tuple[str, list[object]]) -> None:
    datatype, values = tensor

    assert from_json([[value] for value in values], datatype) == packed(values, datatype)


@given(st.binary(max_size=60), st.sampled_from(sorted(ELEMENTS)))
def test_any_bytes_are_read_or_refused(raw: bytes, datatype: str) -> None:
    contents = oip.InferTensorContents()
    try:
        fill(contents, raw, datatype)
    except TensorError:
        return

    again = packed(list(getattr(contents, ELEMENTS[datatype][0])), datatype)
    assert len(again) == len(raw)


def test_head_says_what_the_call_says() -> None:
    asked = typed(("FP64", [1.0, 2.0]), ("BOOL", [True]))
    asked.model_version = "3"
    asked.parameters["priority"].int64_param = 7
    asked.inputs[0].parameters["unit"].string_param = "mm"
    asked.outputs.add(name="wet").parameters["classification"].bool_param = False

    call = infer_call(asked, MOST)

    head, rest = parted(call)
    assert (call.method, call.path) == ("POST", "/v2/models/rain/versions/3/infer")
    assert head == {
        "id": "r-1",
        "parameters": {"priority": 7, "binary_data_output": True},
        "inputs": [
            {
                "name": "x0",
                "datatype": "FP64",
                "shape": [2],
                "parameters": {"unit": "mm", "binary_data_size": 16},
            },
            {
                "name": "x1",
                "datatype": "BOOL",
                "shape": [1],
                "parameters": {"binary_data_size": 1},
            },
        ],
        "outputs": [{"name": "wet", "parameters": {"classification": False, "binary_data": True}}],
    }
    assert rest == struct.pack("<2d", 1.0, 2.0) + b"\x01"


def refused_by(asked: oip.ModelInferRequest, most_bytes: int = MOST) -> Refusal:
    with pytest.raises(Refusal) as caught:
        infer_call(asked, most_bytes)
    return caught.value


def misfit(datatype: str, shape: list[int], **contents: list[object]) -> oip.ModelInferRequest:
    asked = oip.ModelInferRequest(model_name="rain")
    asked.inputs.add(
        name="x",
        datatype=datatype,
        shape=shape,
        contents=oip.InferTensorContents(**contents),  # type: ignore[arg-type]  # wrong on purpose, some of them
    )
    return asked


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (misfit("FP64", [3], fp64_contents=[1.0]), "wants 3 elements, 1 came"),
        (misfit("FP64", [-1], fp64_contents=[1.0]), "a size below zero"),
        (misfit("FP64", [1], fp32_contents=[1.0]), "sent in `fp64_contents`, not in `fp32_con"),
        (misfit("INT8", [1], int_contents=[128]), "no INT8"),
        (misfit("UINT16", [1], uint_contents=[65536]), "no UINT16"),
        (misfit("FP16", [1], fp32_contents=[1.0]), "sent as `raw_input_contents`"),
        (misfit("STRING", [1], bytes_contents=[b"a"]), "'STRING' is not one of BOOL"),
        (oip.ModelInferRequest(model_name="rain"), "no inputs"),
        (oip.ModelInferRequest(model_name="a/b", inputs=[{}]), "no name of a model"),
        (oip.ModelInferRequest(model_name="..", inputs=[{}]), "no name of a model"),
        (oip.ModelInferRequest(inputs=[{}]), "the model's name is missing"),
    ],
)
def test_what_contradicts_itself_is_refused(asked: oip.ModelInferRequest, told: str) -> None:
    error = refused_by(asked)

    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told in str(error)


def test_bytes_and_typed_elements_are_not_mixed() -> None:
    mixed = typed(("FP64", [1.0]))
    mixed.raw_input_contents.append(b"12345678")
    short = oip.ModelInferRequest(model_name="rain", raw_input_contents=[b"1", b"2"])
    short.inputs.add(name="x", datatype="UINT8", shape=[1])

    assert "`contents` beside `raw_input_contents`" in str(refused_by(mixed))
    assert "1 inputs, but 2 `raw_input_contents`" in str(refused_by(short))


def test_small_message_cannot_become_a_large_request() -> None:
    zeros: list[object] = [0] * 1000

    error = refused_by(typed(("INT64", zeros)), most_bytes=7999)

    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_parameter_without_a_finite_value_is_refused() -> None:
    asked = typed(("FP64", [1.0]))
    asked.parameters["share"].double_param = float("inf")

    assert "'share' is no finite number" in str(refused_by(asked))


def test_halves_come_as_bytes_even_to_a_typed_call() -> None:
    outputs = [
        {"name": "a", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}},
        {"name": "b", "datatype": "FP16", "shape": [1], "parameters": {"binary_data_size": 2}},
    ]
    told = orjson.dumps({"model_name": "rain", "outputs": outputs})
    rest = struct.pack("<de", 1.5, 0.5)
    reply = Reply(200, {"inference-header-content-length": str(len(told))}, told + rest)

    answer = infer_response(reply, raw=False)

    assert list(answer.raw_output_contents) == [rest[:8], rest[8:]]


def test_plain_json_is_read_too() -> None:
    outputs = [
        {"name": "a", "datatype": "FP64", "shape": [2], "data": [1.5, None]},
        {"name": "b", "datatype": "BYTES", "shape": [1], "data": ["wet"]},
    ]
    told = {
        "model_name": "rain",
        "parameters": {"p": 1, "q": [2], "big": 2**63},
        "outputs": outputs,
    }

    answer = infer_response(Reply(200, {}, orjson.dumps(told)), raw=False)

    assert answer.outputs[0].contents.fp64_contents[0] == 1.5
    assert str(answer.outputs[0].contents.fp64_contents[1]) == "nan"
    assert list(answer.outputs[1].contents.bytes_contents) == [b"wet"]
    assert answer.parameters["p"].int64_param == 1
    assert answer.parameters["q"].string_param == "[2]"
    assert answer.parameters["big"].uint64_param == 2**63


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[]",
        b'{"outputs": [{"name": "a"}]}',
        b'{"outputs": [3]}',
        b'{"outputs": [{"name": "a", "datatype": "FP64", "shape": [1], "data": ["x"]}]}',
        b'{"outputs": [{"name": "a", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}}]}',
    ],
)
def test_answer_that_cannot_be_read_is_our_fault(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        infer_response(Reply(200, {}, body), raw=False)

    assert caught.value.code is grpc.StatusCode.INTERNAL


def test_metadata_keeps_names_and_shapes() -> None:
    told = {
        "name": "rain",
        "versions": ["3"],
        "platform": "mlops_sklearn",
        "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "INT64", "shape": [-1]}],
    }

    found = model_metadata(Reply(200, {}, orjson.dumps(told)))

    assert (found.name, list(found.versions), found.platform) == ("rain", ["3"], "mlops_sklearn")
    assert [(one.name, one.datatype, list(one.shape)) for one in found.inputs] == [
        ("x", "FP64", [-1, 3])
    ]
    assert found.outputs[0].name == "y"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (409, "INVALID_ARGUMENT"),
        (413, "RESOURCE_EXHAUSTED"),
        (422, "INVALID_ARGUMENT"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (502, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
    ],
)
def test_status_means_the_same_in_both_protocols(status: int, code: str) -> None:
    error = refused(status, {}, b'{"error": "why"}')

    assert (error.code.name, str(error), error.trailers) == (code, "why", ())


def test_busy_answer_says_when_to_come_back() -> None:
    error = refused(429, {"retry-after": "2"}, b"full")

    assert error.trailers == (("retry-after", "2"), ("grpc-retry-pushback-ms", "2000"))
    assert str(error) == "full"


def test_path_holds_names_as_they_are() -> None:
    assert path_of("rainfall.rain", "", "/infer") == "/v2/models/rainfall.rain/infer"
