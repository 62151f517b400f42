# SPDX-License-Identifier: Apache-2.0
"""PostgresDatabase: a PostgreSQL store dumped and loaded by PostgreSQL's own programs, while others read and write it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from mlops.tracking.adapters.database_sqlite import COUNTS, REVISION
from mlops.tracking.adapters.locks import own_name
from mlops.tracking.adapters.reach import reach
from mlops.tracking.errors import StoreError

_OTHERS = sa.text(
    "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() "
    "AND backend_type = 'client backend' AND pid <> pg_backend_pid() "
    "AND application_name NOT LIKE '%' || :own"
)
_FOLDERS = "/usr/lib/postgresql"
_FIX = "install PostgreSQL's client programs (Debian: apt-get install postgresql-client; macOS: brew install libpq)"


class PostgresDatabase:
    """A database; its tables stand in the schema that a connection finds first."""

    kind = "postgresql"
    dump_name = "database.pgdump"

    def __init__(self, store_uri: str) -> None:
        self._uri = store_uri
        self._url = sa.make_url(store_uri)

    def dump(self, target: Path) -> tuple[str, dict[str, int]]:
        """Write a dump and return its schema's revision and what it holds, both of one moment."""
        dumping = program("pg_dump")
        with self._engine().connect() as connection:
            connection.execution_options(isolation_level="REPEATABLE READ")
            snapshot = connection.execute(sa.text("SELECT pg_export_snapshot()")).scalar()
            schema = self._schema(connection)
            facts = _facts(connection)
            options = ["--format=custom", "--no-owner", "--no-privileges", f"--schema={schema}"]
            self._run([dumping, *options, f"--snapshot={snapshot}", f"--file={target}"])
        return facts

    def holds(self) -> dict[str, int]:
        """Return what it holds now; nothing counts as nothing."""
        with self._engine().connect() as connection:
            return _facts(connection)[1]

    def check_unused(self) -> None:
        """Return when no other client is connected to the database."""
        with self._engine().connect() as connection:
            others = connection.execute(_OTHERS, {"own": own_name()}).scalars().all()
        if others:
            names = ", ".join(sorted({str(name) or "unnamed" for name in others}))
            raise StoreError(
                f"others are connected to the store ({names}); stop them first (`mlops down`), then restore"
            )

    def load(self, dump: Path, stamp: str) -> str | None:
        """Take the place of what is there, whose schema is renamed; return its new name."""
        loading = program("pg_restore")
        with self._engine().begin() as connection:
            schema = self._schema(connection)
            aside = f"{schema}_before_{stamp.replace('-', '_').lower()}"
            connection.execute(sa.text(f'ALTER SCHEMA "{schema}" RENAME TO "{aside}"'))
            connection.execute(sa.text(f'CREATE SCHEMA "{schema}"'))
        try:
            options = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
            self._run([loading, *options, f"--schema={schema}", str(dump)])
        except StoreError:
            self.undo(aside)
            raise
        return aside

    def undo(self, aside: str | None) -> None:
        """Put back what `load` renamed."""
        if aside is None:
            return
        schema = aside.partition("_before_")[0]
        with self._engine().begin() as connection:
            connection.execute(sa.text(f'DROP SCHEMA "{schema}" CASCADE'))
            connection.execute(sa.text(f'ALTER SCHEMA "{aside}" RENAME TO "{schema}"'))

    def _engine(self) -> sa.Engine:
        reach(self._uri)
        return sa.create_engine(self._url, poolclass=sa.NullPool)

    def _schema(self, connection: sa.Connection) -> str:
        return str(connection.execute(sa.text("SELECT current_schema()")).scalar())

    def _run(self, command: Sequence[str]) -> None:
        url = self._url
        open_ = sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database)
        shown = open_.update_query_dict(url.query).render_as_string()
        # Not in the arguments, which every user of the machine can read.
        secret = {"PGPASSWORD": str(self._url.password)} if self._url.password else {}
        finished = subprocess.run(
            [*command, f"--dbname={shown}"],
            env={**os.environ, **secret},
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            said = " ".join(finished.stderr.split())[-1000:]
            fix = f"; {_FIX}, of the server's version" if "version mismatch" in said else ""
            raise StoreError(f"{Path(command[0]).name} of {shown} failed: {said}{fix}")


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs; StoreError with the fix when it is not there."""
    if found := shutil.which(name):
        return found
    newest_first = sorted(Path(_FOLDERS).glob(f"*/bin/{name}"), reverse=True)
    if newest_first:
        return str(newest_first[0])
    raise StoreError(f"{name} is not installed; {_FIX}")


def _facts(connection: sa.Connection) -> tuple[str, dict[str, int]]:
    tables = set(sa.inspect(connection).get_table_names())
    counts = {
        name: int(connection.execute(sa.text(question)).scalar() or 0)
        for name, question in COUNTS.items()
        if question.split(" FROM ")[1].split()[0] in tables
    }
    revision = connection.execute(sa.text(REVISION)).scalar() if "alembic_version" in tables else ""
    return str(revision or ""), counts
