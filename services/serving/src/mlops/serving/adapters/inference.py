# SPDX-License-Identifier: Apache-2.0
"""The Open Inference Protocol (V2, REST) for one model version: requests to rows, predictions to answers.

Tensors come and go as JSON or, by the binary tensor data extension, as bytes behind the JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import orjson

from mlops.serving.model import binary
from mlops.serving.model.requests import SIZE, read_inputs, read_raw
from mlops.serving.model.rows import Rows, may_be_ids, read_rows
from mlops.serving.model.tensors import (
    Array,
    Field,
    MalformedError,
    Scalar,
    datatype_of,
    is_bf16,
    scalars,
    texts,
)
from mlops.serving.model.vectors import Shortened, is_vectors, shortened

_MOST_ID = 100
_MOST_LENGTH = 20  # characters of a number that may still be a length


class UnknownOutputError(MalformedError):
    """The request wants an output that the model does not give."""


@dataclass(frozen=True)
class Wanted:
    """An output that the request asks for, and whether as bytes."""

    name: str
    as_binary: bool


@dataclass(frozen=True)
class Asked:
    """A request as read: its id ("" when it has none), its rows, the outputs it wants (none: all, as *as_binary* says)."""

    id: str
    rows: Rows
    outputs: tuple[Wanted, ...]
    as_binary: bool = False


@dataclass(frozen=True)
class Contract:
    """What a model version takes and gives."""

    model: str
    version: int
    platform: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    optional: frozenset[str] = frozenset()

    @classmethod
    def of(cls, model: str, version: int, packed: Mapping[str, Any]) -> Self:
        """Return the contract that a Bento's `packed.json` describes."""
        inputs, outputs = (
            tuple(Field(one["name"], one["datatype"], tuple(one["shape"])) for one in packed[side])
            for side in ("inputs", "outputs")
        )
        optional = frozenset(one["name"] for one in packed["inputs"] if one.get("nullable"))
        return cls(model, version, packed["backend"], inputs, outputs, optional)

    def metadata(self) -> dict[str, Any]:
        """Return the model's metadata, as the protocol shapes it."""
        return {
            "name": self.model,
            "versions": [str(self.version)],
            "platform": self.platform,
            "inputs": [_described(one) for one in self.inputs],
            "outputs": [_described(one) for one in self.outputs or (Field("predict", "FP64"),)],
        }

    def read(self, body: bytes, header: str | None = None) -> Asked:
        """Return what a request asks; *header* is its `Inference-Header-Content-Length`, where it has one.

        Raises MalformedError when it cannot be answered.
        """
        if header is None:
            request, raw = _json(body), None
        else:
            length = _length(header, len(body))
            # A buffer that may be written to: some models compute in place, and theirs it is.
            raw = memoryview(bytearray(memoryview(body)[length:]))
            if length == 0:
                return Asked("", read_rows(read_raw(raw, self.inputs), self.inputs), (), True)
            request = _json(body[:length])
        as_binary = _flag(_parameters(request, "the request"), "binary_data_output", default=False)
        return Asked(
            id=_read_id(request.get("id", "")),
            rows=read_rows(read_inputs(request.get("inputs"), raw), self.inputs),
            outputs=self._read_outputs(request.get("outputs"), as_binary=as_binary),
            as_binary=as_binary,
        )

    def write(
        self, asked: Asked, request_id: str, outputs: Mapping[str, Array]
    ) -> tuple[bytes, int | None]:
        """Return the answer, and the length of its JSON where bytes follow that.

        Raises UnknownOutputError where the model gave none of a wanted name.
        """
        wanted = asked.outputs or tuple(Wanted(name, asked.as_binary) for name in outputs)
        _check_known([one.name for one in wanted], tuple(outputs))
        parts: list[bytes] = []
        answer = {
            "model_name": self.model,
            "model_version": str(self.version),
            "id": request_id,
            "outputs": [self._written(one, outputs[one.name], parts) for one in wanted],
        }
        head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
        if not any(one.as_binary for one in wanted):
            return head, None
        return b"".join((head, *parts)), len(head)

    def named(self, answer: Any) -> dict[str, Array]:
        """Return what the model gave as tensors by name."""
        if hasattr(answer, "columns") and hasattr(answer, "to_numpy"):
            return {str(name): np.asarray(answer[name]) for name in answer.columns}
        if isinstance(answer, dict):
            return {str(name): np.asarray(one) for name, one in answer.items()}
        name = self.outputs[0].name if self.outputs else "predict"
        return {name: np.asarray(answer)}

    def _written(self, wanted: Wanted, values: Array, parts: list[bytes]) -> dict[str, Any]:
        datatype = self._datatype(wanted.name, values)
        written: dict[str, Any] = {
            "name": wanted.name,
            "datatype": datatype,
            "shape": list(values.shape),
        }
        if wanted.as_binary:
            parts.append(binary.encode(values, datatype))
            return written | {"parameters": {SIZE: len(parts[-1])}}
        return written | {"data": _plain(values, datatype)}

    def _datatype(self, name: str, values: Array) -> str:
        found = datatype_of(values) or ""
        if found.startswith("FP"):  # numpy cannot say BF16, the signature can
            said = next((one.datatype for one in self.outputs if one.name == name), found)
            return said if said == "BF16" else found
        return found

    def _read_outputs(self, outputs: object, *, as_binary: bool) -> tuple[Wanted, ...]:
        if outputs is None:
            return ()
        if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
            raise MalformedError("`outputs` must be a list of objects with a `name`")
        wanted = tuple(_read_wanted(one, as_binary=as_binary) for one in outputs)
        if self.outputs:
            _check_known([one.name for one in wanted], [one.name for one in self.outputs])
        return wanted


def column_of(outputs: Mapping[str, Array], count: int) -> list[Scalar]:
    """Return one prediction for each row, or None for each when a prediction is more than one value."""
    first = next(iter(outputs.values()))
    if first.size != count:
        return [None] * count
    return scalars(first.reshape(-1))


def answers_of(outputs: Mapping[str, Array], count: int) -> list[Shortened | None]:
    """Return the first output that has several numbers for each row, as it is logged; none where there is none."""
    found = next((one for name, one in outputs.items() if _is_answer(name, one, count)), None)
    return [] if found is None else [*shortened(found)]


def _is_answer(name: str, values: Array, count: int) -> bool:
    # A text that was generated is whole numbers, too; no signature is asked, so any shape stands for one.
    return is_vectors(values, count) and not may_be_ids(name, values, values.shape)


def checked(outputs: Mapping[str, Array], ask: Callable[[], str]) -> Mapping[str, Array]:
    """Return the outputs unless one holds what the protocol has no word for."""
    for name, values in outputs.items():
        plain = datatype_of(values) is not None and (
            values.dtype.kind != "O"
            or all(isinstance(one, str | bytes | None) for one in values.ravel().tolist())
        )
        if not plain:
            raise MalformedError(f"output {name!r} of {ask()} is no tensor of numbers or strings")
    return outputs


def _plain(values: Array, datatype: str) -> Any:
    if datatype == "BYTES":
        return texts(values)
    if is_bf16(values):
        return binary.from_bf16(binary.to_bf16(values)).ravel()
    wanted = np.dtype("f4" if datatype == "BF16" else values.dtype).newbyteorder("=")
    if wanted.kind == "f" and wanted.itemsize > 8:  # noqa: PLR2004 - FP64 is the widest
        wanted = np.dtype("f8")
    return np.ascontiguousarray(values, wanted).ravel()


def _json(body: bytes) -> dict[str, Any]:
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(
            f"the body is not JSON: {error}; JSON has no NaN or Infinity, send null"
        ) from error
    if not isinstance(request, dict):
        raise MalformedError("the body must be a JSON object with `inputs`")
    return request


def _length(header: str, size: int) -> int:
    length = int(header) if header.isdecimal() and len(header) <= _MOST_LENGTH else -1
    if not 0 <= length <= size:
        raise MalformedError(
            f"Inference-Header-Content-Length is {header[:40]!r}; it must be the length of the JSON "
            f"at the beginning of the body, at most {size}"
        )
    return length


def _read_wanted(one: Mapping[str, Any], *, as_binary: bool) -> Wanted:
    name = one.get("name")
    if not isinstance(name, str):
        raise MalformedError("`outputs` must be a list of objects with a `name`")
    parameters = _parameters(one, f"output {name!r}")
    if parameters.get("classification"):
        raise MalformedError(
            f"output {name!r}: `classification` is not supported; ask for the values themselves"
        )
    return Wanted(name, _flag(parameters, "binary_data", default=as_binary))


def _parameters(one: Mapping[str, Any], whose: str) -> Mapping[str, Any]:
    parameters = one.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise MalformedError(f"`parameters` of {whose} must be an object")
    return parameters


def _flag(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise MalformedError(f"`parameters.{name}` must be true or false, not {value!r}")
    return value


def _check_known(names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise UnknownOutputError(f"there is no output {name!r}; there are: {', '.join(known)}")


def _read_id(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MOST_ID:
        raise MalformedError(f"`id` must be a string of at most {_MOST_ID} characters")
    return value


def _described(one: Field) -> dict[str, Any]:
    return {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
