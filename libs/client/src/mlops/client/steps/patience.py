# SPDX-License-Identifier: Apache-2.0
"""Patience: one HTTP call, tried again with growing pauses while the other side is away for a moment."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import httpx

from mlops.client.steps.errors import DamagedError, PassingError

LIMIT_S = 60.0
LONGEST_PAUSE_S = 8.0
_PASSING = (429, 500, 502, 503, 504)


class PatientHttp:
    """Calls one part of the platform, named *part* in what people read."""

    def __init__(
        self,
        part: str,
        url: str,
        headers: dict[str, str],
        *,
        limit_s: float = LIMIT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url
        self._part = part
        self._limit_s = limit_s
        # Environment proxies are not for an installation's own address.
        self._client = httpx.Client(
            base_url=url, headers=headers, timeout=30.0, transport=transport, trust_env=False
        )

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Return the answer, good or bad; PassingError when there was none for a minute."""
        deadline, pause_s = time.monotonic() + self._limit_s, 0.25
        while True:
            answer, trouble = self._once(method, path, request)
            if answer is not None and not trouble:
                return answer
            if time.monotonic() + pause_s > deadline:
                raise PassingError(
                    f"{self._part} at {self.url} was away for {self._limit_s:g} s ({trouble}); "
                    "`mlops status` says how it is, the step will be tried again"
                )
            sys.stderr.write(f"{self._part} is away ({trouble}), again in {pause_s:g} s\n")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def download(self, path: str, file: Path) -> None:
        """Write the answer to a GET into *file*; PassingError when it did not come whole for a minute."""
        deadline, pause_s = time.monotonic() + self._limit_s, 0.25
        while trouble := self._download(path, file):
            if time.monotonic() + pause_s > deadline:
                raise PassingError(f"{self._part} at {self.url} did not send {path}: {trouble}")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def once(self, method: str, path: str, **request: Any) -> httpx.Response | None:
        """Return the answer of a single try, None when it is not known what became of it."""
        answer, trouble = self._once(method, path, request)
        return None if trouble else answer

    def _download(self, path: str, file: Path) -> str:
        try:
            with self._client.stream("GET", path) as answer, file.open("wb") as stream:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    raise DamagedError(f"{self._part} at {self.url} has no {path}")
                if not answer.is_success:
                    return f"HTTP {answer.status_code}"
                for chunk in answer.iter_bytes():
                    stream.write(chunk)
        except httpx.HTTPError as error:
            return str(error) or type(error).__name__
        return ""

    def _once(
        self, method: str, path: str, request: dict[str, Any]
    ) -> tuple[httpx.Response | None, str]:
        try:
            answer = self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            return None, str(error) or type(error).__name__
        trouble = f"HTTP {answer.status_code}" if answer.status_code in _PASSING else ""
        return answer, trouble
