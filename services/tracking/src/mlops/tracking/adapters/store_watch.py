# SPDX-License-Identifier: Apache-2.0
"""StoreWatch: readiness fails, with the cause and the fix, from the first failed write until one works again."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import sqlalchemy as sa
import structlog
from sqlalchemy import event

from mlops.chassis.errors import UnavailableError
from mlops.tracking.adapters.sqlite import explain

_QUIET_S = 10.0
_PATIENCE_S = 5.0
_MB = 1_000_000


class StoreWatch:
    """Listens to the database's errors, MLflow's own requests included."""

    def __init__(
        self,
        path: Path | None,
        least_free_mb: int,
        probe: Callable[[], Awaitable[None]],
    ) -> None:
        self._path = path
        self._least_free_mb = least_free_mb
        self._probe = probe
        self._failure: str | None = None
        self._trial: asyncio.Task[str | None] | None = None
        self._logged_at = 0.0
        self._log = structlog.get_logger("store")

    def open(self) -> None:
        """Begin to listen to every engine of this process: MLflow has one per store."""
        event.listen(sa.Engine, "handle_error", self._failed)

    async def close(self) -> None:
        """Stop listening."""
        if self._trial is not None:
            self._trial.cancel()
        event.remove(sa.Engine, "handle_error", self._failed)

    async def check(self) -> str | None:
        """Return why runs cannot be stored, None when they can."""
        if (scarce := self._scarce()) is not None:
            return scarce
        if self._failure is None:
            return None
        # One at a time: each holds a thread until a locked database lets go.
        if self._trial is None or self._trial.done():
            self._trial = asyncio.create_task(self._try())
        done, _ = await asyncio.wait([self._trial], timeout=_PATIENCE_S)
        if not done:
            return f"{self._failure} (a trial write is still waiting)"
        return self._trial.result()

    async def _try(self) -> str | None:
        try:
            await self._probe()
        except UnavailableError as error:
            return self._failure or str(error)
        self._failure = None
        self._log.info("store.recovered")
        return None

    def _scarce(self) -> str | None:
        if self._path is None:
            return None
        free_mb = shutil.disk_usage(self._path.parent).free // _MB
        if free_mb >= self._least_free_mb:
            return None
        return (
            f"only {free_mb} MB free for {self._path}; free space until {self._least_free_mb} MB are "
            "(TRACKING_LEAST_FREE_MB)"
        )

    def _failed(self, context: sa.ExceptionContext) -> None:
        # Called in whatever thread met the error; a string is all that passes on.
        if not isinstance(
            context.sqlalchemy_exception, sa.exc.OperationalError | sa.exc.InterfaceError
        ):
            return
        cause = str(context.original_exception)
        self._failure = explain(self._path, cause) if self._path else f"store: {cause}"
        now = time.monotonic()
        if now - self._logged_at >= _QUIET_S:
            self._logged_at = now
            self._log.error("store.failed", reason=self._failure)
