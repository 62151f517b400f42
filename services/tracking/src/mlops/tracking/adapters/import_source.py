# SPDX-License-Identifier: Apache-2.0
"""Where an import reads from: another MLflow's database or files, brought to our schema in a copy; the source stays as it is."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from mlops.tracking.adapters.database_sqlite import REVISION, SqliteDatabase
from mlops.tracking.adapters.reach import reach, shown
from mlops.tracking.adapters.schema import knows
from mlops.tracking.adapters.sqlite import path_of
from mlops.tracking.errors import StoreError


@dataclass(frozen=True)
class Source:
    """An MLflow to read from: its rows in our schema, its name for people, the folder its relative paths start at."""

    engine: sa.Engine
    name: str
    folder: Path


@contextlib.contextmanager
def opened(uri: str, scratch: Path) -> Iterator[Source]:
    """Open what the user has named; StoreError says what it is not."""
    source = _open(uri, scratch)
    try:
        yield source
    finally:
        source.engine.dispose()


def _open(uri: str, scratch: Path) -> Source:
    copied = scratch / "source.db"
    path = path_of(uri) or (None if "://" in uri else Path(uri))
    if path is None:
        return _server(uri)
    path = path.resolve()
    if path.is_dir():
        _from_files(path, copied)
        return Source(
            _upgraded(copied, path), str(path), path.parent if path.name == "mlruns" else path
        )
    if not path.exists():
        raise StoreError(
            f"there is no file or folder {path}; name the database or the folder `mlruns`"
        )
    SqliteDatabase(path).dump(copied)
    return Source(_upgraded(copied, path), str(path), path.parent)


def _server(uri: str) -> Source:
    if not uri.startswith("postgresql"):
        raise StoreError(
            f"{uri.partition(':')[0]}: only sqlite, postgresql and folders `mlruns` are read"
        )
    try:
        reach(uri)
        engine = sa.create_engine(uri, poolclass=sa.NullPool)
    except (sa.exc.ArgumentError, ModuleNotFoundError, ValueError) as error:
        raise StoreError(
            f"cannot open that postgresql database: {error}; write postgresql://user:password@host/name"
        ) from error
    name = shown(uri)
    if _revision(engine, name) != _newest():
        engine.dispose()
        raise StoreError(
            f"{name} has the schema of another MLflow; run `mlflow db upgrade` of MLflow 3.17 on a copy of it first"
        )
    return Source(engine, name, Path.cwd())


def _from_files(folder: Path, target: Path) -> None:
    from mlflow.store.fs2db import migrate  # noqa: PLC0415 - seconds; see commands.py

    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            _repeats_ignored(),
        ):
            warnings.simplefilter(
                "ignore"
            )  # MLflow's own use of deprecated names is not ours to mend
            migrate(folder, f"sqlite:///{target}", progress=False)
    except Exception as error:  # whatever stands in a stranger's files
        raise StoreError(f"cannot read {folder} as a folder of runs: {error}") from error


@contextlib.contextmanager
def _repeats_ignored() -> Iterator[None]:
    """Let the same point twice be one: files hold it twice when a model was logged after it, and MLflow stops there."""

    def ignore(
        _: object, __: object, statement: str, parameters: object, ___: object, ____: object
    ) -> tuple[str, object]:
        return statement.replace("INSERT INTO metrics", "INSERT OR IGNORE INTO metrics"), parameters

    sa.event.listen(sa.Engine, "before_cursor_execute", ignore, retval=True)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", ignore)


def _upgraded(copied: Path, path: Path) -> sa.Engine:
    from mlflow.store.db.utils import _upgrade_db  # noqa: PLC0415 - the same; no public name, see the test

    engine = sa.create_engine(f"sqlite:///{copied}")
    revision = _revision(engine, str(path))
    if not knows(revision):
        raise StoreError(
            f"{path} has the schema {revision!r} of an MLflow newer than this installation's; upgrade it first"
        )
    if revision != _newest():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                _upgrade_db(engine)
            except Exception as error:  # MLflow's and Alembic's own, and those of the database
                raise StoreError(
                    f"cannot bring a copy of {path} to this schema: {error}"
                ) from error
    return engine


def _revision(engine: sa.Engine, name: str) -> str:
    try:
        with engine.connect() as connection:
            found = connection.execute(sa.text(REVISION)).scalar()
    except sa.exc.SQLAlchemyError as error:
        raise StoreError(f"{name} is no database of MLflow: {error.__cause__ or error}") from error
    return str(found or "")


def _newest() -> str:
    from mlflow.store.db.utils import _get_latest_schema_revision  # noqa: PLC0415 - see _upgraded

    return str(_get_latest_schema_revision())
