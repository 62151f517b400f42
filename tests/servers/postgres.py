# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server for tests, with a database for each: a random password, loopback only."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import psycopg.sql

from servers import choice
from servers.programs import end, free_port, need, until

USER = "mlops"
_DEBIAN = Path("/usr/lib/postgresql")
_FIX = (
    "Debian: apt-get install postgresql; macOS: brew install postgresql; or start a Docker engine"
)
# What the server was made with does not matter then.
_CREATE = psycopg.sql.SQL(
    "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
)


@dataclass(frozen=True)
class PostgresServer:
    """A running server."""

    port: int
    password: str
    close: Callable[[], None]

    def database(self, name: str) -> str:
        """Make an empty database and return its URI."""
        with psycopg.connect(self.uri("postgres"), autocommit=True) as connection:
            connection.execute(_CREATE.format(psycopg.sql.Identifier(name)))
        return self.uri(name)

    def uri(self, database: str) -> str:
        """Return the URI of a database."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"


def start_postgres() -> PostgresServer:
    """Return a running server."""
    return choice.start(choice.POSTGRES, _contained, _packaged)


def _contained() -> PostgresServer:
    from servers.containers import Contained  # noqa: PLC0415 - see servers/nats.py

    password = secrets.token_hex(16)
    environment = {"POSTGRES_USER": USER, "POSTGRES_PASSWORD": password, "POSTGRES_DB": "postgres"}
    container = Contained(choice.POSTGRES, ["postgres", "-F"], 5432, environment)
    container.start(lambda port: _answers(port, password))
    return PostgresServer(container.port, password, container.remove)


def _packaged() -> PostgresServer:
    """Start the programs of this machine; they refuse root, so root gives them to somebody else."""
    folders = sorted(_DEBIAN.glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    initdb, postgres = (need(each, *folders, fix=_FIX) for each in ("initdb", "postgres"))
    owner = _owner()
    # Not pytest's folder: another user may not enter it.
    root = Path(tempfile.mkdtemp(prefix="mlops-postgres-"))
    password, port = secrets.token_hex(16), free_port()
    (root / "password").write_text(password)
    for path in (root, root / "password"):
        shutil.chown(path, *owner)
    made = ["-D", str(root / "data"), "-U", USER, "--pwfile", str(root / "password")]
    subprocess.run(
        [initdb, *made, "--auth", "scram-sha-256", "-E", "UTF8", "--locale", "C", "--no-sync"],
        **_as(owner),
        check=True,
        capture_output=True,
    )
    options = ["-F", "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
    with (root / "log").open("ab") as log:
        process = subprocess.Popen(
            [postgres, "-D", str(root / "data"), *options, "-c", "unix_socket_directories="],
            **_as(owner),
            stdout=log,
            stderr=log,
        )

    def close() -> None:
        end(process, signal.SIGQUIT)  # at once: what it would write to the disk now is removed next
        shutil.rmtree(root)

    try:
        until(lambda: _answers(port, password), 30, (root / "log").read_text)
    except TimeoutError:
        close()
        raise
    return PostgresServer(port, password, close)


def _owner() -> tuple[int, int]:
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return found.pw_uid, found.pw_gid
    raise LookupError("PostgreSQL refuses root, and there is neither a user postgres nor nobody")


def _as(owner: tuple[int, int]) -> dict[str, Any]:
    user, group = owner
    if user == os.getuid():
        return {"cwd": "/"}
    return {"cwd": "/", "user": user, "group": group, "extra_groups": []}


def _answers(port: int, password: str) -> bool:
    try:
        psycopg.connect(
            PostgresServer(port, password, lambda: None).uri("postgres"), connect_timeout=2
        ).close()
    except psycopg.OperationalError:
        return False
    return True
