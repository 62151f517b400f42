# SPDX-License-Identifier: Apache-2.0
"""Headers of inference: which of them pass to a replica and back, and what is known of a request before its body."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping

import orjson
from starlette.types import Scope

from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import REQUEST_ID, TRACEPARENT

_CHECKED_BYTES = (
    256 * 1024
)  # beyond this, parsing here would hold up other callers; the replica parses anyway
_BINARY = b"inference-header-content-length"
_PASSED_IN = (
    b"content-type",
    b"content-encoding",
    b"accept",
    b"accept-encoding",
    b"tracestate",
    _BINARY,
)
_PASSED_OUT = (
    "Content-Type",
    "Content-Encoding",
    "Retry-After",
    "Cache-Control",
    "Inference-Header-Content-Length",
)


class Given:
    """What a caller sent before the body."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        shown = self.headers.get(b"x-request-id", b"").decode("latin-1")
        self.request_id = shown if REQUEST_ID.fullmatch(shown) else str(uuid.uuid4())

    def passed_in(self) -> dict[str, str]:
        """Return what a replica gets; the token stays here, the installation's own goes with it."""
        given = self.headers
        passed = {
            name.decode(): given[name].decode("latin-1") for name in _PASSED_IN if name in given
        }
        passed["x-request-id"] = self.request_id
        trace = given.get(b"traceparent", b"").decode("latin-1")
        passed["traceparent"] = trace if TRACEPARENT.fullmatch(trace) else _new_trace()
        return passed


def answered_with(
    given: Given, headers: Mapping[str, str], version: int
) -> list[tuple[bytes, bytes]]:
    """Return what the caller gets."""
    passed = [
        (name.lower().encode(), headers[name].encode("latin-1", "replace"))
        for name in _PASSED_OUT
        if name in headers
    ]
    passed.append((b"mlops-model-version", str(version).encode()))
    passed.append((b"x-request-id", given.request_id.encode()))
    return passed


def check_v2(given: Given, body: bytes | bytearray) -> None:
    """Refuse what can never be a V2 request, so that no replica has to; CallerError 400."""
    if _BINARY in given.headers or b"content-encoding" in given.headers:
        return
    if len(body) > _CHECKED_BYTES:
        return
    fix = 'send {"inputs": [{"name", "shape", "datatype", "data"}, …]}'
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise CallerError(400, "the body is not JSON", str(error), fix) from error
    inputs = found.get("inputs") if isinstance(found, dict) else None
    if not isinstance(inputs, list) or not inputs:
        raise CallerError(400, "the request has no inputs", "inputs", fix)


def _new_trace() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
