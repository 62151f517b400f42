# SPDX-License-Identifier: Apache-2.0
"""PostgresDatabase: a PostgreSQL store dumped and loaded by PostgreSQL's own programs, while others read and write it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

import sqlalchemy as sa

from mlops.tracking.adapters.database_sqlite import COUNTS, REVISION
from mlops.tracking.adapters.locks import own_name
from mlops.tracking.adapters.reach import SECRETS, reach, shown
from mlops.tracking.errors import StoreError

_OTHERS = sa.text(
    "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() "
    "AND backend_type = 'client backend' AND pid <> pg_backend_pid() "
    "AND right(application_name, length(:own)) <> :own"
)
_STRICT = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-")
_LEAVING_S, _LOOK_S = 5.0, 0.2
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
        with self._connected() as connection:
            connection.execution_options(isolation_level="REPEATABLE READ")
            snapshot = connection.execute(sa.text("SELECT pg_export_snapshot()")).scalar()
            schema = self._schema(connection)
            facts = _facts(connection)
            options = ["--format=custom", "--no-owner", "--no-privileges", f'--schema="{schema}"']
            self._run([dumping, *options, f"--snapshot={snapshot}", f"--file={target}"])
        return facts

    def holds(self) -> dict[str, int]:
        """Return what it holds now; nothing counts as nothing."""
        with self._connected() as connection:
            return _facts(connection)[1]

    def check_unused(self) -> None:
        """Return when no other client is connected to the database; those that were just stopped have a moment to go."""
        until = time.monotonic() + _LEAVING_S
        while others := self._others():
            if time.monotonic() >= until:
                raise StoreError(
                    f"others are connected to the store ({others}); stop them first (`mlops down`), then restore"
                )
            time.sleep(_LOOK_S)

    def _others(self) -> str:
        with self._connected() as connection:
            others = connection.execute(_OTHERS, {"own": own_name()}).scalars().all()
        return ", ".join(sorted({str(name) or "unnamed" for name in others}))

    def load(self, dump: Path, stamp: str) -> str | None:
        """Take the place of what is there, whose schema is renamed, in one transaction; return its new name."""
        loading, session = program("pg_restore"), program("psql")
        with self._connected() as connection:
            schema = self._schema(connection)
        aside = f"{schema}_before_{stamp.lower()}"
        if f" TABLE {schema} runs " not in self._listed(loading, dump):
            raise StoreError(
                f"the backup holds no tables of the schema {schema!r}, where this store has its own; set the "
                "search_path of the user to the schema that was backed up"
            )
        options = ["--no-owner", "--no-privileges", f"--schema={schema}", "--file=-", str(dump)]
        exchange = f'ALTER SCHEMA "{schema}" RENAME TO "{aside}"; CREATE SCHEMA "{schema}";'
        self._pour([loading, *options], [session, *_STRICT], exchange)
        return aside

    def undo(self, aside: str | None) -> None:
        """Put back what `load` renamed."""
        if aside is None:
            return
        schema = aside.rpartition("_before_")[0]
        with self._connected() as connection, connection.begin():
            connection.execute(sa.text(f'DROP SCHEMA "{schema}" CASCADE'))
            connection.execute(sa.text(f'ALTER SCHEMA "{aside}" RENAME TO "{schema}"'))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        reach(self._uri)
        try:
            with sa.create_engine(self._url, poolclass=sa.NullPool).connect() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            cause = " ".join(str(getattr(error, "orig", error)).split())
            raise StoreError(f"store {shown(self._uri)}: {cause}") from error

    def _schema(self, connection: sa.Connection) -> str:
        return str(connection.execute(sa.text("SELECT current_schema()")).scalar())

    def _listed(self, loading: str, dump: Path) -> str:
        found = subprocess.run(
            [loading, "--list", str(dump)], capture_output=True, text=True, check=False
        )
        self._check(loading, found.returncode, found.stderr)
        return found.stdout

    def _pour(self, reading: Sequence[str], writing: Sequence[str], first: str) -> None:
        """Run what a program writes between BEGIN and COMMIT; whoever dies on the way leaves all as it was."""
        place, secret = self._place()
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(
                [*writing, f"--dbname={place}"],
                env={**os.environ, **secret},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
            ) as session,
        ):
            script = cast("IO[bytes]", session.stdin)
            with contextlib.suppress(BrokenPipeError):
                script.write(f"BEGIN;\n{first}\n".encode())
                script.flush()
            read = subprocess.run(
                reading, stdout=script, stderr=subprocess.PIPE, text=True, check=False
            )
            with contextlib.suppress(BrokenPipeError):
                if read.returncode == 0:
                    script.write(b"COMMIT;\n")
                script.close()
            ended = session.wait()
            said.seek(0)
            problems = read.stderr + said.read().decode(errors="replace")
            self._check(reading[0], read.returncode or ended, problems)

    def _run(self, command: Sequence[str]) -> None:
        place, secret = self._place()
        finished = subprocess.run(
            [*command, f"--dbname={place}"],
            env={**os.environ, **secret},
            capture_output=True,
            text=True,
            check=False,
        )
        self._check(command[0], finished.returncode, finished.stderr)

    def _place(self) -> tuple[str, dict[str, str]]:
        """Return the database without its password, and that as a variable: arguments are read by every user."""
        url = self._url
        query = {key: value for key, value in url.query.items() if key not in SECRETS}
        open_ = sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database)
        password = url.password or url.query.get("password")
        secret = {"PGPASSWORD": str(password)} if password else {}
        return open_.update_query_dict(query).render_as_string(), secret

    def _check(self, name: str, code: int, stderr: str) -> None:
        if code != 0:
            said = " ".join(stderr.split())[-1000:]
            fix = f"; {_FIX}, of the server's version" if "version" in said else ""
            raise StoreError(f"{Path(name).name} of {shown(self._uri)} failed: {said}{fix}")


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
