# SPDX-License-Identifier: Apache-2.0
"""The paths of MLflow's scoring server: what its clients send here is answered as MLflow itself would.

Only the answers are JSON in the strict sense: a number that is none is `null`, where MLflow writes NaN.
"""

from __future__ import annotations

import asyncio
import base64
import io
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import orjson

from mlops.serving.adapters.inference import Contract, answers_of, column_of
from mlops.serving.adapters.journal import Asking
from mlops.serving.adapters.replies import (
    RefusedError,
    Reply,
    Request,
    Route,
    Routes,
    request_id_of,
)
from mlops.serving.model.frames import read_frame, rows_of
from mlops.serving.model.rows import Rows
from mlops.serving.model.tensors import FLOATS, MalformedError

_LARGE = 256 * 1024
_BAD, _UNKNOWN_TYPE, _FAILED = 400, 415, 500
_TYPES = "application/json or text/csv"
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    413: "BAD_REQUEST",
    415: "BAD_REQUEST",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
}
_TEXT_KEYS = ("messages", "prompt")


def mlflow_error(status: int, reason: str) -> bytes:
    """Return an error as MLflow shapes it."""
    return orjson.dumps({"error_code": _CODES.get(status, "INTERNAL_ERROR"), "message": reason})


class Scoring:
    """Answers `/invocations`, `/ping`, `/health` and `/version`."""

    def __init__(
        self,
        contract: Contract,
        answer: Callable[[Any], Any],
        asking: Asking,
    ) -> None:
        self._contract = contract
        self._answer = answer
        self._calls = asking.calls
        self._counters = asking.counters
        self._journal = asking.journal
        self._version = version("mlflow").encode()

    def routes(self) -> Routes:
        """Return MLflow's paths."""
        return {
            ("GET", "/ping"): Route(self._ping, needs="", shape=mlflow_error),
            ("GET", "/health"): Route(self._ping, needs="", shape=mlflow_error),
            ("GET", "/version"): Route(self._tell_version, needs="", shape=mlflow_error),
            ("POST", "/invocations"): Route(self._invoke, counted=True, shape=mlflow_error),
        }

    async def _ping(self, _: Request) -> Reply:
        self._calls.check_ready()
        return Reply(b"\n")

    async def _tell_version(self, _: Request) -> Reply:
        return Reply(self._version)

    async def _invoke(self, request: Request) -> Reply:
        began = time.perf_counter()
        read = partial(self._read, request)
        try:
            is_slow = len(request.body) > _LARGE or not _is_json(request)
            rows = await asyncio.to_thread(read) if is_slow else read()
        except MalformedError as error:
            raise RefusedError(_BAD, str(error)) from error
        answer = await self._calls.run(partial(self._answer, rows.values), rows.count)
        body = _written(answer)
        request_id = request_id_of(request) or str(uuid.uuid4())
        self._counters.answered += rows.count
        self._journal.note(
            request,
            request_id,
            rows.count,
            rows.features,
            lambda: column_of(self._contract.named(answer), rows.count),
            (time.perf_counter() - began) * 1000,
            rows.vectors,
            lambda: answers_of(self._contract.named(answer), rows.count),
        )
        return Reply(body)

    def _read(self, request: Request) -> Rows:
        if not _is_json(request):
            return self._read_csv(request.body)
        try:
            said = orjson.loads(request.body)
        except orjson.JSONDecodeError as error:
            raise MalformedError(f"the body is not JSON: {error}; send {_TYPES}") from error
        if not isinstance(said, dict):
            raise MalformedError("the body must be a JSON object, for example dataframe_split")
        if said.get("params"):
            raise MalformedError(
                "`params` are not supported: the packed model takes none; make them part of the "
                "model, or of its columns"
            )
        if any(key in said for key in _TEXT_KEYS):
            raise MalformedError(
                "messages and prompts are answered at /v1/chat/completions and /v1/completions"
            )
        return read_frame(said, self._contract.inputs, self._contract.optional)

    def _read_csv(self, body: bytes) -> Rows:
        # Heavy, and few callers send CSV.
        import pandas as pd  # noqa: PLC0415

        fields = self._contract.inputs
        types = {one.name: "float64" for one in fields if one.datatype in FLOATS}
        types |= {one.name: "str" for one in fields if one.datatype == "BYTES"}
        try:
            frame = pd.read_csv(io.BytesIO(body), dtype=types, encoding="utf-8")
        except (ValueError, TypeError, OverflowError) as error:
            raise MalformedError(f"the body is not CSV with a header: {error}") from error
        columns = {
            str(name): [None if one is pd.NA or one != one else one for one in frame[name].tolist()]  # noqa: PLR0124 - NaN is not itself
            for name in frame.columns
        }
        return rows_of(columns, fields, self._contract.optional)


def _is_json(request: Request) -> bool:
    """Return whether a body is JSON, else it is CSV; RefusedError for anything else."""
    said = request.header(b"content-type") or "application/json"
    kind, *parameters = [part.strip().lower() for part in said.split(";")]
    odd = [one for one in parameters if one and one not in ("charset=utf-8", 'charset="utf-8"')]
    if odd:
        raise RefusedError(
            _UNKNOWN_TYPE, f"content type parameter {odd[0]!r} is not known here; send UTF-8"
        )
    if kind not in ("application/json", "text/csv"):
        raise RefusedError(_UNKNOWN_TYPE, f"content type {said!r} is not answered; send {_TYPES}")
    return kind == "application/json"


def _written(answer: Any) -> bytes:
    try:
        return orjson.dumps(
            {"predictions": _records(answer)},
            option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS,
            default=_jsonable,
        )
    except (TypeError, orjson.JSONEncodeError) as error:
        reason = (
            f"the model's answer cannot be written as JSON: {error}; let it return plain values"
        )
        raise RefusedError(_FAILED, reason) from error


def _records(answer: Any) -> Any:
    if hasattr(answer, "columns") and hasattr(answer, "to_dict"):
        return answer.to_dict(orient="records")
    if hasattr(answer, "to_frame"):
        return answer.to_frame().to_dict(orient="records")
    if isinstance(answer, Mapping):
        return {str(name): _records(one) for name, one in answer.items()}
    return answer


def _jsonable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytes):
        return base64.encodebytes(value).decode("ascii")
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "model_dump"):
        return value.model_dump()
    raise TypeError(f"{type(value).__name__} has no JSON")
