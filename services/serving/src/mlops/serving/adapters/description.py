# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI description of one replica: every path that answers, shaped by what this model takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from mlops.serving.adapters.inference import Contract
from mlops.serving.model.tensors import DTYPES, Field

_REF = "#/components/schemas/"
_TEXT = {"type": "string"}
_ANY_DATA = {"type": "array", "items": {}, "minItems": 1}
_CODES = {
    "400": "The request cannot be answered; the error says what, which and the fix.",
    "401": "No token, a wrong or an expired one.",
    "403": "The token may not do this in this project.",
    "404": "No such model or version here.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "415": "The content type or encoding is not known.",
    "429": "Too many requests wait; Retry-After says when to come again.",
    "500": "The model failed.",
    "503": "Not ready; Retry-After says when to come again.",
    "504": "The model did not answer in time.",
    "507": "The model ran out of memory.",
}
_ASKING = ("400", "401", "403", "408", "413", "415", "429", "500", "504", "507")
_READING = ("401", "403")


def describe(contract: Contract, methods: Mapping[str, Any], *, is_text: bool) -> dict[str, Any]:
    """Return the description; *methods* are those of the Bento by route."""
    schemas = _v2_schemas(contract)
    paths = _v2_paths(contract) | _mlflow_paths()
    paths |= _typed_paths(methods, schemas)
    if is_text:
        paths |= _openai_paths()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": contract.model,
            "version": str(contract.version),
            "description": "Open Inference Protocol V2, the model's own types, MLflow's scoring"
            + (" and OpenAI's completions." if is_text else "."),
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _v2_paths(contract: Contract) -> dict[str, Any]:
    found: dict[str, Any] = {
        "/v2": {"get": _get("server", "What answers here", {"type": "object"})},
        "/v2/health/live": {"get": _open("live", "The process answers")},
        "/v2/health/ready": {"get": _open("ready", "The model is loaded")},
        "/v2/repository/index": {
            "post": _post("index", "The one model of this replica", {"type": "object"}, _INDEX)
        },
    }
    for at, name in (
        (f"/v2/models/{contract.model}", ""),
        (f"/v2/models/{contract.model}/versions/{contract.version}", "_version"),
    ):
        found[at] = {
            "get": _get(f"metadata{name}", "What the model takes and gives", _ref("Metadata"))
        }
        found[f"{at}/ready"] = {"get": _open(f"model_ready{name}", "The model answers")}
        found[f"{at}/infer"] = {
            "post": _post(f"infer{name}", "Predict", _ref("InferRequest"), _ref("InferResponse"))
        }
    return found


def _mlflow_paths() -> dict[str, Any]:
    rows = {"type": "array", "items": {"type": "object"}, "minItems": 1}
    split = {
        "type": "object",
        "required": ["data"],
        "properties": {
            "columns": {"type": "array", "items": _TEXT},
            "index": {"type": "array"},
            "data": {"type": "array", "items": {"type": "array"}, "minItems": 1},
        },
        "additionalProperties": False,
    }
    formats = {"dataframe_split": split, "dataframe_records": rows, "instances": {}, "inputs": {}}
    one_of = [
        {"type": "object", "required": [name], "properties": {name: shape}}
        for name, shape in formats.items()
    ]
    said = {"type": "object", "required": ["predictions"], "properties": {"predictions": {}}}
    asked = _post("invocations", "Predict as MLflow's scoring server", {"oneOf": one_of}, said)
    asked["requestBody"]["content"]["text/csv"] = {"schema": _TEXT}
    return {
        "/invocations": {"post": asked},
        "/ping": {"get": _open("ping", "The model is loaded")},
        "/health": {"get": _open("health", "The model is loaded")},
        "/version": {
            "get": _open("mlflow_version", "The version of MLflow whose protocol this is")
        },
    }


def _typed_paths(methods: Mapping[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for route, method in methods.items():
        asked = _model_schema(method.input_spec, schemas)
        said = _model_schema(method.output_spec, schemas)
        text = (method.doc or method.name).strip().partition("\n")[0]
        one = _post(f"bento_{method.name}", text, asked, said)
        one["responses"]["422"] = {
            "description": "The body does not fit the types; with its places."
        }
        found[route] = {"post": one}
    return found


def _openai_paths() -> dict[str, Any]:
    sizes = {
        "model": _TEXT,
        "max_tokens": {"type": "integer", "minimum": 1},
        "temperature": {"type": "number", "minimum": 0, "maximum": 2},
        "top_p": {"type": "number", "minimum": 0, "maximum": 1},
        "stop": {"oneOf": [_TEXT, {"type": "array", "items": _TEXT, "maxItems": 4}]},
        "seed": {"type": "integer", "minimum": 0},
        "stream": {"type": "boolean"},
    }
    message = {
        "type": "object",
        "required": ["role", "content"],
        "properties": {"role": {"enum": ["system", "user", "assistant"]}, "content": _TEXT},
    }
    messages = {"type": "array", "items": message, "minItems": 1}
    said = {"type": "object", "required": ["id", "object", "created", "model", "choices", "usage"]}
    found = {"/v1/models": {"get": _get("models", "The model", {"type": "object"})}}
    for path, name, shape in (
        ("/v1/chat/completions", "messages", messages),
        ("/v1/completions", "prompt", _TEXT),
    ):
        asked = {"type": "object", "required": [name], "properties": {name: shape, **sizes}}
        found[path] = {"post": _post(name, f"Write text for {name}", asked, said)}
    return found


def _v2_schemas(contract: Contract) -> dict[str, Any]:
    tensor = {
        "name": _TEXT,
        "datatype": {"type": "string", "enum": list(DTYPES)},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
    }
    open_object = {"type": "object", "additionalProperties": True}
    named = [one.name for one in contract.inputs]
    names = {"type": "string", "description": "One of " + ", ".join(named)} if named else _TEXT
    inputs = {**tensor, "name": names, "data": _ANY_DATA, "parameters": open_object}
    wanted = {"name": _TEXT, "parameters": open_object}
    return {
        **_answers(contract, tensor, open_object),
        "InferInput": _object(inputs, ["name", "datatype", "shape"]),
        "InferRequest": _object(
            {
                "id": {"type": "string", "maxLength": 100},
                "parameters": open_object,
                "inputs": {"type": "array", "items": _ref("InferInput"), "minItems": 1},
                "outputs": {"type": "array", "items": _object(wanted, ["name"])},
            },
            ["inputs"],
        ),
        "Error": _object({"error": _TEXT}, ["error"]),
    }


def _answers(
    contract: Contract, tensor: dict[str, Any], open_object: dict[str, Any]
) -> dict[str, Any]:
    return {
        "InferOutput": _object(
            {**tensor, "data": {"type": "array"}, "parameters": open_object},
            ["name", "datatype", "shape"],
        ),
        "InferResponse": _object(
            {
                "model_name": {"const": contract.model},
                "model_version": {"const": str(contract.version)},
                "id": _TEXT,
                "outputs": {"type": "array", "items": _ref("InferOutput")},
            },
            ["model_name", "outputs"],
        ),
        "Metadata": _object(
            {
                "name": _TEXT,
                "versions": {"type": "array", "items": _TEXT},
                "platform": _TEXT,
                "inputs": _fields(contract.inputs),
                "outputs": _fields(contract.outputs),
            },
            ["name", "platform", "inputs", "outputs"],
        ),
    }


def _fields(fields: tuple[Field, ...]) -> dict[str, Any]:
    one = _object(
        {
            "name": _TEXT,
            "datatype": _TEXT,
            "shape": {"type": "array", "items": {"type": "integer"}},
        },
        ["name", "datatype", "shape"],
    )
    example = [{"name": f.name, "datatype": f.datatype, "shape": list(f.shape)} for f in fields]
    return {"type": "array", "items": one, "examples": [example]}


def _model_schema(spec: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    # In place: BentoML calls the type of every method's body `Input`.
    schema = spec.model_json_schema(ref_template=_REF + "{model}")
    schemas |= schema.pop("$defs", {})
    return schema


def _get(name: str, text: str, said: dict[str, Any]) -> dict[str, Any]:
    return _operation(name, text, said, _READING)


def _open(name: str, text: str) -> dict[str, Any]:
    return {**_operation(name, text, {}, ("503",)), "security": []}


def _post(name: str, text: str, asked: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    body = {"content": {"application/json": {"schema": asked}}, "required": True}
    return {**_operation(name, text, said, _ASKING), "requestBody": body}


def _operation(
    name: str, text: str, said: dict[str, Any], codes: tuple[str, ...]
) -> dict[str, Any]:
    right = {"description": "Answered.", "content": {"application/json": {"schema": said}}}
    wrong = {code: {"description": _CODES[code]} for code in codes}
    return {"operationId": name, "summary": text, "responses": {"200": right, **wrong}}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REF + name}


_INDEX = {
    "type": "array",
    "items": _object(
        {"name": _TEXT, "version": _TEXT, "state": _TEXT, "reason": _TEXT}, ["name", "state"]
    ),
}
