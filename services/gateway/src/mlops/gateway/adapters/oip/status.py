# SPDX-License-Identifier: Apache-2.0
"""Refusal: why a call was not answered, as gRPC's status; made of the HTTP status that the gateway's door gave."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
import orjson

_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_OWN_FAULTS = 500
_SHOWN = 1000


class Refusal(Exception):  # noqa: N818 - it becomes a status, it is no fault of ours
    """A call that is not answered; *retry_after_s* where it is worth sending again."""

    def __init__(
        self, code: grpc.StatusCode, told: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(told)
        self.code = code
        self.retry_after_s = retry_after_s

    @property
    def trailers(self) -> tuple[tuple[str, str], ...]:
        """Return when to come back, in HTTP's words and in those that gRPC's own retries heed."""
        if self.retry_after_s is None:
            return ()
        pushback_ms = round(self.retry_after_s * 1000)
        return (
            ("retry-after", f"{self.retry_after_s:g}"),
            ("grpc-retry-pushback-ms", str(pushback_ms)),
        )


def refused(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """Return the refusal that an HTTP error stands for."""
    fallback = (
        grpc.StatusCode.INTERNAL if status >= _OWN_FAULTS else grpc.StatusCode.INVALID_ARGUMENT
    )
    wait = headers.get("retry-after", "")
    retry_after_s = float(wait) if wait.isdecimal() else None
    return Refusal(_CODES.get(status, fallback), _words(status, body), retry_after_s)


def bad_request(told: str) -> Refusal:
    """Return the refusal of a request that nobody could answer."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, told)


def too_large(most_bytes: int) -> Refusal:
    """Return the refusal of a request that holds too much."""
    told = f"the tensors take more than {most_bytes} bytes; send fewer rows at once"
    return Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, told)


def _words(status: int, body: bytes) -> str:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    told = found.get("error") if isinstance(found, dict) else None
    text = told if isinstance(told, str) else body[:_SHOWN].decode("utf-8", "replace")
    return text[:_SHOWN].strip() or f"status {status}"
