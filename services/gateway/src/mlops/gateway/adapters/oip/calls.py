# SPDX-License-Identifier: Apache-2.0
"""ModelInfer as an HTTP request of the same protocol: a JSON head, then the bytes of every input."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import orjson

from mlops.gateway.adapters.oip.inside import Call
from mlops.gateway.adapters.oip.open_inference_grpc_pb2 import InferParameter, ModelInferRequest
from mlops.gateway.adapters.oip.status import bad_request, too_large
from mlops.gateway.adapters.oip.tensors import (
    DATATYPES,
    TensorError,
    check_count,
    elements,
    packed,
    packed_size,
)

HEAD_LENGTH = "inference-header-content-length"
_SIZE = "binary_data_size"


def path_of(model: str, version: str, suffix: str = "") -> str:
    """Return the path of a model; Refusal for a name that would lead elsewhere."""
    for name in (model, version):
        if "/" in name or name in (".", ".."):
            raise bad_request(f"{name[:80]!r} is no name of a model or version")
    if not model:
        raise bad_request("the model's name is missing")
    of_version = f"/versions/{version}" if version else ""
    return f"/v2/models/{model}{of_version}{suffix}"


def infer_call(asked: ModelInferRequest, most_bytes: int) -> Call:
    """Translate a request; Refusal where it contradicts itself or is too large."""
    path = path_of(asked.model_name, asked.model_version, "/infer")
    if not asked.inputs:
        raise bad_request("the request has no inputs")
    pieces = _raw(asked) if asked.raw_input_contents else _typed(asked, most_bytes)
    head = orjson.dumps(_head(asked, [len(piece) for piece in pieces]))
    headers = {"content-type": "application/octet-stream", HEAD_LENGTH: str(len(head))}
    return Call("POST", path, headers, b"".join([head, *pieces]))


def _head(asked: ModelInferRequest, sizes: Sequence[int]) -> dict[str, object]:
    parameters = _plain(asked.parameters)
    head: dict[str, object] = {
        "parameters": {**parameters, "binary_data_output": True},
        "inputs": [
            {
                "name": one.name,
                "datatype": one.datatype,
                "shape": list(one.shape),
                "parameters": {**_plain(one.parameters), _SIZE: size},
            }
            for one, size in zip(asked.inputs, sizes, strict=True)
        ],
    }
    if asked.id:
        head["id"] = asked.id
    if asked.outputs:
        head["outputs"] = [
            {"name": one.name, "parameters": {**_plain(one.parameters), "binary_data": True}}
            for one in asked.outputs
        ]
    return head


def _raw(asked: ModelInferRequest) -> Sequence[bytes]:
    given, wanted = len(asked.raw_input_contents), len(asked.inputs)
    if given != wanted:
        raise bad_request(f"{wanted} inputs, but {given} `raw_input_contents`: send one for each")
    for one in asked.inputs:
        if one.HasField("contents"):
            raise bad_request(f"input {one.name!r} has `contents` beside `raw_input_contents`")
        _check_datatype(one.name, one.datatype)
    return list(asked.raw_input_contents)


def _typed(asked: ModelInferRequest, most_bytes: int) -> Sequence[bytes]:
    pieces, room = [], most_bytes
    for one in asked.inputs:
        _check_datatype(one.name, one.datatype)
        try:
            values = elements(one.contents, one.datatype)
            check_count(values, one.shape)
            room -= packed_size(values, one.datatype)
            if room < 0:
                raise too_large(most_bytes)
            pieces.append(packed(values, one.datatype))
        except TensorError as error:
            raise bad_request(f"input {one.name!r}: {error}") from error
    return pieces


def _check_datatype(name: str, datatype: str) -> None:
    if datatype not in DATATYPES:
        known = ", ".join(DATATYPES)
        raise bad_request(f"input {name!r}: datatype {datatype[:20]!r} is not one of {known}")


def _plain(parameters: Mapping[str, InferParameter]) -> dict[str, object]:
    return {name: _value(name, one) for name, one in parameters.items()}


def _value(name: str, parameter: InferParameter) -> object:
    kind = parameter.WhichOneof("parameter_choice")
    value: object = getattr(parameter, kind) if kind else None
    if isinstance(value, float) and not math.isfinite(value):
        raise bad_request(f"parameter {name!r} is no finite number")
    return value
