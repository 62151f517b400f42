# SPDX-License-Identifier: Apache-2.0
"""Transport: one HTTP connection to the gateway; refusals and outages become errors of the client."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from mlops.client.endpoints import Endpoints
from mlops.client.errors import MLOpsClientError, NotFoundError, NotRunningError, RefusedError

_TIMEOUT_S = 30.0
_UPLOAD_S = 120.0
_PIECE = 256 * 1024
_QUICK_S = 3.0
_TRIES = 4
_PAUSE_S = 0.25
_PASSING = (429, 502, 503, 504)
_DOWN = "see `mlops status` and `mlops logs gateway`"


class Transport:
    """Calls the gateway; what may be sent twice is tried again while the gateway is away for a moment."""

    def __init__(self, endpoints: Endpoints, transport: httpx.BaseTransport | None = None) -> None:
        try:
            # Environment proxies are not for an installation's own address.
            self._client = httpx.Client(
                base_url=endpoints.gateway,
                headers={"Authorization": f"Bearer {endpoints.token}"},
                timeout=_TIMEOUT_S,
                transport=transport,
                trust_env=False,
            )
        except httpx.InvalidURL as error:
            told = f"{endpoints.gateway!r} is no address: {error}"
            raise NotRunningError(
                "gateway", "connect", told, "correct MLOPS_GATEWAY_URL"
            ) from error
        self._where = endpoints.gateway

    def get(
        self,
        path: str,
        operation: str,
        params: Mapping[str, str | float] | None = None,
        wait_s: float = 0,
    ) -> Any:
        """Return the JSON answer to a question that may take *wait_s* longer than usual."""
        timeout = _TIMEOUT_S + wait_s
        return self._patiently("GET", path, operation, params=params, timeout=timeout)

    def quick(self, path: str, operation: str) -> Any:
        """Return the JSON answer to a question that is asked once and answered soon, or not at all."""
        try:
            answer = self._client.get(path, timeout=_QUICK_S)
        except httpx.HTTPError as error:
            told = f"{self._where} does not answer: {error}"
            raise NotRunningError("gateway", operation, told, _DOWN) from error
        return _content(answer, operation)

    def post(self, path: str, operation: str, body: Mapping[str, Any]) -> Any:
        """Bring something; it must be safe to bring twice."""
        return self._patiently("POST", path, operation, json=body)

    def upload(self, path: str, operation: str, file: Path) -> Any:
        """Bring a file as it is, piece by piece; it must be safe to bring twice."""
        timeout = httpx.Timeout(_UPLOAD_S, connect=_TIMEOUT_S)
        return self._patiently(
            "POST",
            path,
            operation,
            params={"name": file.name},
            content=_Pieces(file),
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(file.stat().st_size),
            },
            timeout=timeout,
        )

    @contextmanager
    def stream(
        self, path: str, operation: str, params: Mapping[str, str | float], offset: int
    ) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Ask once for bytes from *offset* on; give where the answer begins, and its pieces as they come.

        NotRunningError when the connection breaks, also in the middle.
        """
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            with self._client.stream("GET", path, params=params, headers=headers) as answer:
                if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    yield offset, iter(())  # there is no more of it
                    return
                if not answer.is_success:
                    answer.read()
                    _content(answer, operation)
                begins = offset if answer.status_code == httpx.codes.PARTIAL_CONTENT else 0
                yield begins, answer.iter_bytes()
        except httpx.HTTPError as error:
            told = f"{self._where} does not answer: {error}"
            raise NotRunningError("gateway", operation, told, _DOWN) from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _patiently(self, method: str, path: str, operation: str, **request: Any) -> Any:
        for attempt in range(1, _TRIES + 1):
            try:
                answer = self._client.request(method, path, **request)
            except httpx.HTTPError as error:
                if attempt == _TRIES:
                    told = f"{self._where} does not answer: {error}"
                    raise NotRunningError("gateway", operation, told, _DOWN) from error
            else:
                if answer.status_code not in _PASSING or attempt == _TRIES:
                    return _content(answer, operation)
            time.sleep(_PAUSE_S * 2**attempt)
        raise AssertionError  # the last attempt has returned or raised


class _Pieces:
    """A file's content, from its beginning at each try."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        with self._file.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece


def _content(answer: httpx.Response, operation: str) -> Any:
    if not answer.is_success:
        problem, hint = _told(answer)
        raise _family(answer.status_code)("gateway", operation, problem, hint)
    try:
        return answer.json()
    except ValueError as error:
        told = f"the answer is not the gateway's: {answer.text[:300]}"
        hint = "another program may have its address; see `mlops status`"
        raise MLOpsClientError("gateway", operation, told, hint) from error


def _family(status: int) -> type[MLOpsClientError]:
    if status == httpx.codes.NOT_FOUND:
        return NotFoundError
    return RefusedError if status < httpx.codes.INTERNAL_SERVER_ERROR else MLOpsClientError


def _told(answer: httpx.Response) -> tuple[str, str]:
    try:
        body = answer.json()
    except ValueError:
        return f"status {answer.status_code}: {answer.text[:300]}", _DOWN
    told = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(told, dict):
        return str(told), ""
    which = f": {told['which']}" if told.get("which") else ""
    return f"{told.get('what', answer.status_code)}{which}", str(told.get("fix", ""))
