# SPDX-License-Identifier: Apache-2.0
"""ArtifactWatch: readiness says, with the fix, when artifacts on S3 cannot be reached; clients see no more than a 500."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog

from mlops.tracking.model.places import is_folder

_PATIENCE_S = 10.0
_WELL_FOR_S = 60.0
_ILL_FOR_S = 5.0
_UNREACHABLE = "check the network, or correct AWS_ENDPOINT_URL_S3"
# MLflow passes on what Amazon says, and not the code of it.
_FIXES = {
    "signature we calculated": "correct AWS_SECRET_ACCESS_KEY",
    "access key id you provided": "correct AWS_ACCESS_KEY_ID",
    "locate credentials": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "bucket does not exist": "create the bucket, or correct TRACKING_ARTIFACTS",
    "access denied": "let this user list, read, write and delete objects of the bucket",
    "could not connect": _UNREACHABLE,
    "connect timeout": _UNREACHABLE,
}


class ArtifactWatch:
    """Lists the root of the artifacts once a minute, oftener while it cannot be read; a folder is taken for well."""

    def __init__(self, uri: str, artifacts: Any) -> None:
        self._uri = uri
        self._artifacts = artifacts
        self._reason: str | None = None
        self._looked_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()
        self._looking: asyncio.Task[Any] | None = None
        self._log = structlog.get_logger("artifacts")

    async def check(self) -> str | None:
        """Return why artifacts cannot be kept, None when they can."""
        if is_folder(self._uri):
            return None
        async with self._one_at_a_time:
            keeps_s = _ILL_FOR_S if self._reason else _WELL_FOR_S
            if time.monotonic() - self._looked_at >= keeps_s:
                self._note(await self._look())
                self._looked_at = time.monotonic()
        return self._reason

    async def _look(self) -> str | None:
        # One at a time: each holds a thread for as long as the store keeps silent.
        if self._looking is None:
            self._looking = asyncio.create_task(
                asyncio.to_thread(self._artifacts.list_artifacts, None)
            )
        done, _ = await asyncio.wait([self._looking], timeout=_PATIENCE_S)
        if not done:
            return f"artifacts {self._uri}: no answer within {_PATIENCE_S:.0f} s; {_UNREACHABLE}"
        error, self._looking = self._looking.exception(), None
        return None if error is None else explain(self._uri, str(error))

    def _note(self, reason: str | None) -> None:
        before, self._reason = self._reason, reason
        if reason is not None and reason != before:
            self._log.error("artifacts.failed", reason=reason)
        if reason is None and before is not None:
            self._log.info("artifacts.recovered")


def explain(uri: str, error: str) -> str:
    """Return what is wrong with a store of artifacts, and the fix."""
    found = next((fix for word, fix in _FIXES.items() if word in error.lower()), "see the error")
    return f"artifacts {uri}: {' '.join(error.split())[:500]}; {found}"
