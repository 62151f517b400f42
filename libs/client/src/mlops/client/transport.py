# SPDX-License-Identifier: Apache-2.0
"""Transport: one HTTP connection to the gateway; refusals and outages become errors of the client."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from mlops.client.endpoints import Endpoints
from mlops.client.errors import MLOpsClientError, NotFoundError, NotRunningError, RefusedError

_TIMEOUT_S = 30.0
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

    def post(self, path: str, operation: str, body: Mapping[str, Any]) -> Any:
        """Bring something; it must be safe to bring twice."""
        return self._patiently("POST", path, operation, json=body)

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
