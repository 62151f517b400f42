# SPDX-License-Identifier: Apache-2.0
"""How the gateway says no: always what, which and the fix; `/v2` and `/mlflow` in the words of their protocols."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.gateway.errors import CallerError, Problem
from mlops.gateway.model.inference_paths import is_inference
from mlops.gateway.model.mlflow_paths import PREFIX

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_MOST_PROBLEMS = 100
_QUIET = timedelta(seconds=60)
_MLFLOW_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
    413: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    502: "TEMPORARILY_UNAVAILABLE",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
FIXES = {
    404: "GET /openapi.json lists what there is",
    405: "GET /openapi.json says which methods there are",
}


def json_answer(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return JSON."""
    return Response(as_json(content), status, dict(headers or {}), media_type="application/json")


def as_json(content: object) -> bytes:
    """Write JSON, whole numbers of any size included: an event of a stranger may hold one."""
    try:
        return orjson.dumps(content)
    except orjson.JSONEncodeError:
        return json.dumps(content, separators=(",", ":")).encode()


def refusal(path: str, error: CallerError) -> Response:
    """Return an error in the shape that callers of *path* expect."""
    headers = dict(error.headers)
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if is_inference(path):
        return json_answer({"error": _in_the_words_of(path, error)}, error.status, headers)
    if path.startswith(PREFIX):
        told = {"error_code": _MLFLOW_CODES.get(error.status, "BAD_REQUEST"), "message": str(error)}
        return json_answer(told, error.status, headers)
    body: dict[str, object] = {"what": error.what, "which": error.which, "fix": error.fix}
    if error.problems:
        body["problems"] = [{"field": one.field, "problem": one.problem} for one in error.problems]
    return json_answer({"error": body}, error.status, headers)


def _in_the_words_of(path: str, error: CallerError) -> object:
    if "/v1/" not in path.removeprefix("/api/v1"):
        return str(error)
    # What OpenAI's clients read.
    kind = "invalid_request_error" if error.status < 500 else "server_error"  # noqa: PLR2004 - HTTP
    return {"message": str(error), "type": kind, "code": str(error.status)}


async def on_caller_error(request: Request, error: Exception) -> Response:
    """Answer what the gateway itself refuses."""
    if not isinstance(error, CallerError):
        raise error
    error.headers.setdefault("X-Request-ID", request_id(request))
    return refusal(request.url.path, error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses: unknown paths and methods."""
    if not isinstance(error, HTTPException):
        raise error
    told = CallerError(
        status=error.status_code,
        what=str(error.detail),
        which=f"{request.method} {request.url.path}",
        fix=FIXES.get(error.status_code, "correct the request"),
        headers=dict(error.headers or {}),
    )
    return refusal(request.url.path, told)


async def on_bad_parameter(request: Request, error: Exception) -> Response:
    """Answer parameters that do not fit."""
    if not isinstance(error, RequestValidationError):
        raise error
    problems = tuple(
        Problem(".".join(str(step) for step in item["loc"]), str(item["msg"]))
        for item in error.errors()
    )
    return refusal(request.url.path, invalid("the request does not fit", problems))


async def on_chassis_error(request: Request, error: Exception) -> Response:
    """Answer what the bus or another service refused, or that it is away."""
    if isinstance(error, RejectedError):
        told = CallerError(422, "refused", str(error), "correct the request")
    elif isinstance(error, UnavailableError | TimeoutError):
        told = CallerError(
            503,
            "not available at the moment",
            str(error) or "no answer in time",
            "try again; `mlops status` shows what is down",
            retry_after_s=2,
        )
    else:
        raise error
    return refusal(request.url.path, told)


def invalid(what: str, problems: tuple[Problem, ...], status: int = 422) -> CallerError:
    """Return the error for fields that are wrong."""
    which = "; ".join(f"{one.field}: {one.problem}" for one in problems[:5])
    return CallerError(status, what, which, "correct the named fields", problems[:_MOST_PROBLEMS])


def request_id(request: Request) -> str:
    """Return the caller's request id, or one made up once per request."""
    known: str | None = getattr(request.state, "request_id", None)
    if known is None:
        shown = request.headers.get("x-request-id", "")
        known = shown if REQUEST_ID.fullmatch(shown) else str(uuid.uuid4())
        request.state.request_id = known
    return known


def trace_of(request: Request) -> str | None:
    """Return the caller's W3C traceparent; one that is none is passed over, as the standard asks."""
    shown = request.headers.get("traceparent", "")
    return shown if TRACEPARENT.fullmatch(shown) else None


async def pieces_of(request: Request, quiet: timedelta = _QUIET) -> AsyncIterator[bytes]:
    """Yield a body while it comes; CallerError 408 when nothing comes for *quiet*, 400 when the caller hangs up."""
    pieces = request.stream()
    while True:
        try:
            async with asyncio.timeout(quiet.total_seconds()):
                piece = await anext(pieces, None)
        except TimeoutError as error:
            raise CallerError(
                408,
                "the body does not come",
                f"nothing for {quiet.total_seconds():g} s",
                "send it again, without pauses",
            ) from error
        except ClientDisconnect as error:
            raise CallerError(400, "the caller hung up", "the body", "send it again") from error
        if piece is None:
            return
        yield piece


async def body_of(request: Request, most_bytes: int) -> bytes:
    """Read a body; CallerError 413 above *most_bytes*, after the caller has been heard out for a while."""
    parts: list[bytes] = []
    size = 0
    async for chunk in pieces_of(request):
        size += len(chunk)
        if size <= most_bytes:
            parts.append(chunk)
        elif size > 4 * most_bytes:
            break  # heard out long enough for an honest mistake
    if size > most_bytes:
        raise CallerError(
            413,
            "the body is too large",
            f"more than {most_bytes} bytes",
            "send it in smaller parts, or by reference",
        )
    return b"".join(parts)


async def object_of(request: Request, most_bytes: int) -> dict[str, object]:
    """Read a JSON object; CallerError 400 for anything else."""
    body = await body_of(request, most_bytes)
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise CallerError(400, "the body is not JSON", str(error), "send a JSON object") from error
    if not isinstance(found, dict):
        raise CallerError(
            400, "the body is not a JSON object", type(found).__name__, "send a JSON object"
        )
    return found
