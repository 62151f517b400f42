# SPDX-License-Identifier: Apache-2.0
"""What the gateway answers over HTTP, as messages of gRPC: in bytes where the caller sent bytes, typed otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import orjson

from mlops.gateway.adapters.oip.calls import HEAD_LENGTH
from mlops.gateway.adapters.oip.inside import Reply
from mlops.gateway.adapters.oip.open_inference_grpc_pb2 import (
    InferParameter,
    ModelInferResponse,
    ModelMetadataResponse,
    ServerMetadataResponse,
)
from mlops.gateway.adapters.oip.status import Refusal
from mlops.gateway.adapters.oip.tensors import TensorError, fill, from_json, is_typed
from mlops.gateway.model.fields import Fields

_SIZE = "binary_data_size"
_NUMBERS = 2**63


@dataclass(frozen=True)
class _Output:
    name: str
    datatype: str
    shape: Sequence[int]
    parameters: Mapping[str, object]
    raw: bytes


def infer_response(reply: Reply, *, raw: bool) -> ModelInferResponse:
    """Return the answer; typed unless *raw*, or where an output has no typed form (halves)."""
    length = reply.headers.get(HEAD_LENGTH, "")
    end = int(length) if length.isdecimal() else len(reply.body)
    with _readable():
        head = _object(reply.body[:end])
        outputs = list(_outputs(head, memoryview(reply.body)[end:]))
        return _message(Fields(head), head, outputs, raw=raw)


def model_metadata(reply: Reply) -> ModelMetadataResponse:
    """Return what a model takes and gives."""
    with _readable():
        told = _object(reply.body)
        found = Fields(told)
        return ModelMetadataResponse(
            name=found.text("name"),
            versions=found.strings("versions"),
            platform=found.text("platform"),
            inputs=_described(told.get("inputs")),
            outputs=_described(told.get("outputs")),
            properties=found.texts("properties"),
        )


def server_metadata(reply: Reply) -> ServerMetadataResponse:
    """Return what the server is."""
    with _readable():
        found = Fields(_object(reply.body))
        return ServerMetadataResponse(
            name=found.text("name"),
            version=found.text("version"),
            extensions=found.strings("extensions"),
        )


def _message(
    found: Fields, head: Mapping[str, object], outputs: Sequence[_Output], *, raw: bool
) -> ModelInferResponse:
    message = ModelInferResponse(
        model_name=found.text("model_name"),
        model_version=found.text("model_version"),
        id=found.text("id"),
        parameters=_parameters(head.get("parameters")),
    )
    in_bytes = raw or not all(is_typed(one.datatype) for one in outputs)
    for one in outputs:
        parameters = _parameters(one.parameters)
        tensor = message.outputs.add(
            name=one.name, datatype=one.datatype, shape=one.shape, parameters=parameters
        )
        if in_bytes:
            message.raw_output_contents.append(one.raw)
        else:
            fill(tensor.contents, one.raw, one.datatype)
    return message


def _outputs(head: Mapping[str, object], rest: memoryview) -> Iterator[_Output]:
    listed = head.get("outputs")
    at = 0
    for one in listed if isinstance(listed, list) else ():
        name, datatype, shape = one["name"], one["datatype"], one["shape"]
        parameters = Fields(one).plain("parameters")
        size = parameters.pop(_SIZE, None)
        if not isinstance(size, int):
            raw = from_json(one["data"], datatype)
        elif 0 <= size <= len(rest) - at:
            raw, at = bytes(rest[at : at + size]), at + size
        else:
            raise TensorError(f"output {name!r} is cut off")
        yield _Output(name, datatype, shape, parameters, raw)


def _parameters(found: object) -> dict[str, InferParameter]:
    named = found if isinstance(found, Mapping) else {}
    return {str(name): _parameter(value) for name, value in named.items()}


def _parameter(value: object) -> InferParameter:
    if isinstance(value, bool):
        return InferParameter(bool_param=value)
    if isinstance(value, int):
        small = -_NUMBERS <= value < _NUMBERS
        return InferParameter(int64_param=value) if small else InferParameter(uint64_param=value)
    if isinstance(value, float):
        return InferParameter(double_param=value)
    told = value if isinstance(value, str) else orjson.dumps(value).decode()
    return InferParameter(string_param=told)


def _described(listed: object) -> list[ModelMetadataResponse.TensorMetadata]:
    return [
        ModelMetadataResponse.TensorMetadata(
            name=one["name"], datatype=one["datatype"], shape=one["shape"]
        )
        for one in (listed if isinstance(listed, list) else ())
    ]


def _object(body: bytes) -> dict[str, object]:
    found = orjson.loads(body)
    if not isinstance(found, dict):
        raise TypeError(f"it is {type(found).__name__}, and no object")
    return found


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, KeyError) as error:
        told = f"the model's answer cannot be read: {type(error).__name__}: {error}"
        raise Refusal(grpc.StatusCode.INTERNAL, told) from error
