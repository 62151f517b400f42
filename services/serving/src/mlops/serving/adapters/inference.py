# SPDX-License-Identifier: Apache-2.0
"""The Open Inference Protocol (V2, REST) for one model version: requests to rows, predictions to answers.

JSON tensors only. The binary tensor extension is refused with 400 and the way out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import orjson

from mlops.serving.model.rows import Rows, read_rows
from mlops.serving.model.tensors import (
    Array,
    Field,
    MalformedError,
    Scalar,
    scalars,
    write_tensor,
)

BINARY_HEADER = "inference-header-content-length"
_NO_BINARY = (
    "binary tensor data is not supported; send JSON tensors "
    "(tritonclient: set_data_from_numpy(…, binary_data=False) and "
    "InferRequestedOutput(…, binary_data=False))"
)
_BINARY = ("binary_data_size", "binary_data", "binary_data_output")
_MOST_ID = 100


class UnknownOutputError(MalformedError):
    """The request wants an output that the model does not give."""


@dataclass(frozen=True)
class Asked:
    """A request as read: its id ("" when it has none), its rows, the outputs it wants (none: all)."""

    id: str
    rows: Rows
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Contract:
    """What a model version takes and gives."""

    model: str
    version: int
    platform: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]

    @classmethod
    def of(cls, model: str, version: int, packed: Mapping[str, Any]) -> Self:
        """Return the contract that a Bento's `packed.json` describes."""
        inputs, outputs = (
            tuple(Field(one["name"], one["datatype"], tuple(one["shape"])) for one in packed[side])
            for side in ("inputs", "outputs")
        )
        return cls(model, version, packed["backend"], inputs, outputs)

    def metadata(self) -> dict[str, Any]:
        """Return the model's metadata, as the protocol shapes it."""
        return {
            "name": self.model,
            "versions": [str(self.version)],
            "platform": self.platform,
            "inputs": [_described(one) for one in self.inputs],
            "outputs": [_described(one) for one in self.outputs or (Field("predict", "FP64"),)],
        }

    def read(self, body: bytes, headers: Mapping[str, str]) -> Asked:
        """Return what a request asks; MalformedError when it cannot be answered."""
        if BINARY_HEADER in headers:
            raise MalformedError(_NO_BINARY)
        try:
            request = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise MalformedError(f"the body is not JSON: {error}") from error
        if not isinstance(request, dict):
            raise MalformedError("the body must be a JSON object with `inputs`")
        _refuse_binary(request)
        return Asked(
            id=_read_id(request.get("id", "")),
            rows=read_rows(request.get("inputs"), self.inputs),
            outputs=self._read_outputs(request.get("outputs")),
        )

    def write(self, asked: Asked, request_id: str, outputs: Mapping[str, Array]) -> bytes:
        """Return the answer; UnknownOutputError where the model gave none of a wanted name."""
        wanted = asked.outputs or tuple(outputs)
        _check_known(wanted, tuple(outputs))
        answer = {
            "model_name": self.model,
            "model_version": str(self.version),
            "id": request_id,
            "outputs": [write_tensor(name, outputs[name]) for name in wanted],
        }
        return orjson.dumps(answer)

    def named(self, answer: Any) -> dict[str, Array]:
        """Return what the model gave as tensors by name."""
        if hasattr(answer, "columns") and hasattr(answer, "to_numpy"):
            return {str(name): np.asarray(answer[name]) for name in answer.columns}
        if isinstance(answer, dict):
            return {str(name): np.asarray(one) for name, one in answer.items()}
        name = self.outputs[0].name if self.outputs else "predict"
        return {name: np.asarray(answer)}

    def _read_outputs(self, outputs: object) -> tuple[str, ...]:
        if outputs is None:
            return ()
        if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
            raise MalformedError("`outputs` must be a list of objects with a `name`")
        known = [one.name for one in self.outputs] or ["predict"]
        names = tuple(str(one.get("name")) for one in outputs)
        _check_known(names, known)
        return names


def column_of(outputs: Mapping[str, Array], count: int) -> list[Scalar]:
    """Return one prediction for each row, or None for each when a prediction is more than one value."""
    first = next(iter(outputs.values()))
    if first.size != count:
        return [None] * count
    return scalars(first.reshape(-1))


def checked(outputs: Mapping[str, Array], ask: Callable[[], str]) -> Mapping[str, Array]:
    """Return the outputs unless one holds objects that JSON has no word for."""
    for name, values in outputs.items():
        plain = values.dtype.kind != "O" or all(
            isinstance(one, str | None) for one in values.ravel().tolist()
        )
        if not plain:
            raise MalformedError(f"output {name!r} of {ask()} is no tensor of numbers or strings")
    return outputs


def _check_known(names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise UnknownOutputError(f"there is no output {name!r}; there are: {', '.join(known)}")


def _refuse_binary(request: Mapping[str, Any]) -> None:
    tensors: list[object] = [request]
    for side in (request.get("inputs"), request.get("outputs")):
        tensors += side if isinstance(side, list) else []
    for one in tensors:
        parameters = one.get("parameters") if isinstance(one, Mapping) else None
        if isinstance(parameters, Mapping) and any(parameters.get(key) for key in _BINARY):
            raise MalformedError(_NO_BINARY)


def _read_id(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MOST_ID:
        raise MalformedError(f"`id` must be a string of at most {_MOST_ID} characters")
    return value


def _described(one: Field) -> dict[str, Any]:
    return {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
