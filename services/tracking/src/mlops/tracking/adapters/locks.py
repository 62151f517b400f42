# SPDX-License-Identifier: Apache-2.0
"""The one lock of a store. PostgreSQL and the kernel both free it when its holder dies.

PostgreSQL: an advisory lock on a connection of its own. SQLite: `flock` on a file beside the database.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

import sqlalchemy as sa

from mlops.tracking.adapters.sqlite import path_of

_LEAD = 0x6D6C6F7073  # one lock for each database, as advisory locks go
_OPEN = _LEAD + 1
_TURN = _LEAD + 2
_PATIENCE_S = 20.0
_PAUSE_S = 0.02
_PREFIX = "mlops-tracking "
_LIBPQ = ("psycopg", "psycopg2")
# A machine that vanished holds no lock for longer than this, nor believes so.
_CONNECTION = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}
_SESSION = (
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 3",
    "SET statement_timeout = 4000",
)
# File systems that know no such locks; there one process only may run.
_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
_TRY = sa.text("SELECT pg_try_advisory_lock(:number)")
_HOLDER = sa.text(
    "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' "
    "AND granted AND classid = :high AND objid = :low AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Lock(Protocol):
    """A lock that one process holds, until it dies; every call blocks."""

    def take(self) -> bool:
        """Take it, or find it still ours."""

    def holder(self) -> str | None:
        """Return the name of whoever holds it."""

    def release(self) -> None:
        """Give it up."""


class FileLock:
    """A lock on a file beside a SQLite store."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def take(self) -> bool:
        """Take it, or find it still ours."""
        if self._file is not None and self._is_there(self._file):
            return True
        self.release()
        file = self._path.open("a+", encoding="utf-8")
        if not _locked(file):
            file.close()
            return False
        self._file = file
        with contextlib.suppress(OSError):  # a full disk: the lock counts, not the name in it
            file.truncate(0)
            file.write(own_name())
            file.flush()
        return True

    def holder(self) -> str | None:
        """Return the name in the file: whoever took it last."""
        return self._path.read_text(encoding="utf-8") or None if self._path.exists() else None

    def release(self) -> None:
        """Give it up."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.truncate(0)
            with contextlib.suppress(OSError):
                file.close()

    def _is_there(self, file: IO[str]) -> bool:
        # Somebody who removed the file has let another process lock a new one.
        return self._path.exists() and os.path.samestat(os.fstat(file.fileno()), self._path.stat())


class ServerLock:
    """An advisory lock of PostgreSQL, on a connection that does nothing else."""

    def __init__(self, url: sa.URL) -> None:
        self._engine = _engine(url)
        self._connection: sa.Connection | None = None

    def take(self) -> bool:
        """Take it, or ask whether the connection that holds it still lives."""
        try:
            if self._connection is not None:
                self._connection.execute(sa.text("SELECT 1"))
                return True
            return self._try()
        except sa.exc.SQLAlchemyError:
            self.release()
            raise

    def holder(self) -> str | None:
        """Return the name of the connection that holds it."""
        with self._engine.connect() as connection:
            number = {"high": _LEAD >> 32, "low": _LEAD & 0xFFFFFFFF}
            found = connection.execute(_HOLDER, number).first()
        return str(found[0]).removeprefix(_PREFIX) if found else None

    def release(self) -> None:
        """Close the connection, and with it the lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _try(self) -> bool:
        connection = self._engine.connect()
        try:
            for setting in _SESSION:
                connection.execute(sa.text(setting))
            taken = bool(connection.execute(_TRY, {"number": _LEAD}).scalar())
        except sa.exc.SQLAlchemyError:
            connection.close()
            raise
        if not taken:
            connection.close()
            return False
        self._connection = connection
        return True


class NoLock:
    """For databases that we know no lock of: whoever runs, leads. One process only."""

    def take(self) -> bool:
        """Say yes."""
        return True

    def holder(self) -> str | None:
        """Return our own name."""
        return own_name()

    def release(self) -> None:
        """Do nothing."""


def lock_of(store_uri: str) -> Lock:
    """Return the lock of a store."""
    path = path_of(store_uri)
    if path is not None:
        return FileLock(path.with_name(path.name + ".leader"))
    url = sa.make_url(store_uri)
    return ServerLock(url) if url.get_backend_name() == "postgresql" else NoLock()


@contextlib.contextmanager
def opening(store_uri: str) -> Iterator[None]:
    """Let replicas that start together make or migrate the tables of PostgreSQL one after another; blocks."""
    url = sa.make_url(store_uri)
    if url.get_backend_name() != "postgresql":
        yield
        return
    with _engine(url).connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:number)"), {"number": _OPEN})
        yield


@contextlib.contextmanager
def turn(url: sa.URL) -> Iterator[None]:
    """Hold the gate's turn among all processes on a store; blocks, and raises OSError when it does not come."""
    if url.get_backend_name() == "postgresql":
        with _engine(url).connect() as connection:
            connection.execute(sa.text(f"SET statement_timeout = {int(_PATIENCE_S * 1000)}"))
            connection.execute(sa.text("SELECT pg_advisory_lock(:number)"), {"number": _TURN})
            yield
    elif url.get_backend_name() == "sqlite" and url.database:
        with Path(f"{url.database}.gate").open("a", encoding="utf-8") as file:
            _wait(file)
            yield
    else:
        yield


def own_name() -> str:
    """Return how this process is called: the machine and the process id."""
    return f"{socket.gethostname()[:32]} {os.getpid()}"


def _engine(url: sa.URL) -> sa.Engine:
    more: dict[str, Any] = {}
    if url.get_dialect().driver in _LIBPQ:
        more = {**_CONNECTION, "application_name": _PREFIX + own_name()}
    return sa.create_engine(
        url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT", connect_args=more
    )


def _wait(file: IO[str]) -> None:
    until_s = time.monotonic() + _PATIENCE_S
    while not _locked(file):
        if time.monotonic() > until_s:
            raise TimeoutError(f"{file.name} is locked by another process")
        time.sleep(_PAUSE_S)


def _locked(file: IO[str]) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl  # noqa: PLC0415 - absent on Windows

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS_HERE:
            return True
        raise
    return True
