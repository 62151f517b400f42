# SPDX-License-Identifier: Apache-2.0
"""Backup: the store and its artifacts as a folder of files with hashes, taken while the service runs.

The database first, the artifacts then: whatever the database speaks of is among the files.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from mlops.tracking.adapters.backup_files import (
    ARTIFACTS,
    MANIFEST,
    Copied,
    Manifest,
    Say,
    copy_tree,
    sha256,
)
from mlops.tracking.adapters.database_postgres import PostgresDatabase
from mlops.tracking.adapters.database_sqlite import SqliteDatabase
from mlops.tracking.adapters.sqlite import path_of
from mlops.tracking.adapters.unfinished import check_whole
from mlops.tracking.errors import StoreError
from mlops.tracking.model.places import folder_of, is_folder


class Database(Protocol):
    """A store that can be dumped and loaded whole."""

    kind: str
    dump_name: str

    def dump(self, target: Path) -> tuple[str, dict[str, int]]:
        """Write a consistent copy; return its schema's revision and what it holds."""

    def holds(self) -> dict[str, int]:
        """Return what it holds now."""

    def check_unused(self) -> None:
        """Return when nobody has it open; StoreError otherwise."""

    def load(self, dump: Path, stamp: str) -> str | None:
        """Put a dump in the place of what is there; return where that is now."""

    def undo(self, aside: str | None) -> None:
        """Put back what `load` moved aside."""


def database_of(store_uri: str) -> Database:
    """Return the database of a store; StoreError for one that we cannot back up."""
    path = path_of(store_uri)
    if path is not None:
        return SqliteDatabase(path)
    if store_uri.startswith("postgresql"):
        return PostgresDatabase(store_uri)
    kind = store_uri.partition(":")[0]
    raise StoreError(f"a {kind} store is backed up with that database's own programs")


def backup(
    store_uri: str, artifacts: str, target: Path, say: Say, *, with_remote: bool = False
) -> dict[str, object]:
    """Write a backup into *target*, a folder that is not there yet or empty; return what it holds.

    Artifacts on S3 are copied with *with_remote* only. Raises StoreError.
    """
    began = time.monotonic()
    database = database_of(store_uri)
    target = target.resolve()
    _check_apart(target, artifacts)
    check_whole(artifacts)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreError(f"{target} exists already; name a new folder")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        manifest = _write(database, artifacts, partial, say, with_remote=with_remote)
        manifest.write(partial)
        partial.replace(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise StoreError(
            f"cannot write the backup {target}: {error}; free space or choose another disk"
        ) from error
    except StoreError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return {
        "target": str(target),
        "manifest": str(target / MANIFEST),
        **manifest.counts,
        "schema_revision": manifest.schema_revision,
        "files": len(manifest.files),
        "bytes": sum(file.bytes for file in manifest.files),
        "artifacts": manifest.artifacts,
        "artifacts_included": manifest.artifacts_included,
        "took_s": round(time.monotonic() - began, 2),
    }


def _check_apart(target: Path, artifacts: str) -> None:
    # A copy that is part of what is copied never ends.
    if is_folder(artifacts) and target.is_relative_to(Path(folder_of(artifacts)).resolve()):
        raise StoreError(
            f"the backup {target} would lie among the artifacts {artifacts}; name a folder elsewhere"
        )


def _write(
    database: Database, artifacts: str, folder: Path, say: Say, *, with_remote: bool
) -> Manifest:
    say(f"database: {database.kind}")
    dump = folder / database.dump_name
    revision, counts = database.dump(dump)
    files = [Copied(database.dump_name, sha256(dump), dump.stat().st_size)]
    included = is_folder(artifacts) or with_remote
    if is_folder(artifacts):
        say(f"artifacts: {artifacts}")
        files += copy_tree(Path(folder_of(artifacts)), folder / ARTIFACTS, ARTIFACTS, say)
    elif with_remote:
        say(f"artifacts: {artifacts}")
        files += _download(artifacts, folder / ARTIFACTS, say)
    else:
        say(f"artifacts stay where they are: {artifacts}")
    return Manifest(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        platform=version("mlops-tracking"),
        mlflow=version("mlflow"),
        schema_revision=revision,
        store=database.kind,
        database=database.dump_name,
        counts=counts,
        artifacts=artifacts,
        artifacts_included=included,
        files=files,
    )


def _download(uri: str, target: Path, say: Say) -> list[Copied]:
    from mlflow.store.artifact.artifact_repository_registry import (  # noqa: PLC0415 - seconds that a folder saves
        get_artifact_repository,
    )

    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        try:
            found = get_artifact_repository(uri).download_artifacts("", folder)
        except Exception as error:  # any store of any vendor may be behind a URI
            raise StoreError(f"cannot read the artifacts {uri}: {error}") from error
        return copy_tree(Path(found), target, ARTIFACTS, say)
