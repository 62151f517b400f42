# SPDX-License-Identifier: Apache-2.0
"""SqlRows: the rows of the outbox, read and marked beside MLflow's own traffic."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
import structlog

from mlops.chassis.errors import UnavailableError
from mlops.tracking.adapters import tables
from mlops.tracking.adapters.outbox import listen, table
from mlops.tracking.adapters.outbox_body import from_body
from mlops.tracking.errors import StoreError
from mlops.tracking.model.changes import Row

_NOT_TOLD = (
    sa.select(table.c.sequence, table.c.id, table.c.project, table.c.written_ms, table.c.body)
    .where(table.c.told_ms.is_(None))
    .order_by(table.c.sequence)
    .limit(sa.bindparam("most"))
)


class SqlRows:
    """Rows in the same database as the runs; see the port `Rows`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._committed = asyncio.Event()
        self._stop: Callable[[], None] | None = None
        self._wake: Callable[[], None] | None = None
        self._log = structlog.get_logger("outbox")

    def open(self) -> None:
        """Make the table and begin to listen; call once, from the event loop that will `wait`.

        Raises StoreError.
        """
        loop = asyncio.get_running_loop()
        try:
            tables.create(self._engine)
        except sa.exc.SQLAlchemyError as error:
            raise StoreError(f"cannot make the table of the outbox: {error}") from error

        def wake() -> None:
            loop.call_soon_threadsafe(self._committed.set)

        self._wake = wake
        self._stop = listen(wake)

    def wake(self) -> None:
        """End a `wait`: rows were committed past the ORM."""
        if self._wake is not None:
            self._wake()

    async def close(self) -> None:
        """Stop waking; rows go on being written for as long as the process serves."""
        if self._stop is not None:
            self._stop()
            self._stop = None

    async def pending(self, most: int) -> list[Row]:
        """Return rows not yet told, oldest first."""
        self._committed.clear()
        found = await asyncio.to_thread(self._read, most)
        rows = [self._row(record) for record in found]
        unreadable = [
            record.sequence for record, row in zip(found, rows, strict=True) if row is None
        ]
        if unreadable:
            await self.told(unreadable)
        return [row for row in rows if row is not None]

    async def told(self, sequences: Sequence[int]) -> None:
        """Mark rows as told."""
        statement = table.update().where(table.c.sequence.in_(sequences)).values(told_ms=_now_ms())
        await asyncio.to_thread(self._write, statement)

    async def prune(self, before: datetime) -> int:
        """Forget rows told before then."""
        statement = table.delete().where(table.c.told_ms < int(before.timestamp() * 1000))
        return await asyncio.to_thread(self._write, statement)

    async def wait(self, timeout: timedelta) -> None:
        """Return when a row was committed since `pending` last looked, or after *timeout*."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout.total_seconds()):
                await self._committed.wait()

    async def probe(self) -> None:
        """Write and commit one row that is never told; UnavailableError says why that fails."""
        statement = table.insert().values(id="probe", body="{}", written_ms=_now_ms(), told_ms=0)
        await asyncio.to_thread(self._write, statement)

    def _read(self, most: int) -> list[sa.Row[int, str, str | None, int, str]]:
        try:
            with self._engine.connect() as connection:
                return list(connection.execute(_NOT_TOLD, {"most": most}).all())
        except sa.exc.SQLAlchemyError as error:
            raise UnavailableError(f"cannot read the outbox: {error}") from error

    def _write(self, statement: sa.Executable) -> int:
        try:
            with self._engine.begin() as connection:
                return int(connection.execute(statement).rowcount)
        except sa.exc.SQLAlchemyError as error:
            raise UnavailableError(f"cannot write the outbox: {error}") from error

    def _row(self, record: sa.Row[int, str, str | None, int, str]) -> Row | None:
        try:
            change = from_body(record.body)
        except ValueError as error:
            self._log.error(
                "outbox.unreadable", row=record.id, error=str(error), body=record.body[:500]
            )
            return None
        written_at = datetime.fromtimestamp(record.written_ms / 1000, UTC)
        return Row(record.sequence, record.id, record.project or "", written_at, change)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
