# SPDX-License-Identifier: Apache-2.0
"""Restore: a backup takes the place of store and artifacts; everything is checked first, and nothing is thrown away.

Events that were told when the backup was made are marked so in it and are not told again; the few that were not are
told after the restore, under the ids they always had. Killed at any line it leaves a whole store; between store and
artifacts a file says so, and the service does not start until the restore has been run again.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from mlops.tracking.adapters.backup import Database, database_of
from mlops.tracking.adapters.backup_files import (
    ARTIFACTS,
    Manifest,
    Say,
    check,
    copy_listed,
    read_manifest,
    sync,
)
from mlops.tracking.adapters.locks import lock_of
from mlops.tracking.adapters.reach import reach
from mlops.tracking.adapters.schema import knows
from mlops.tracking.adapters.sqlite import path_of
from mlops.tracking.adapters.unfinished import Unfinished
from mlops.tracking.errors import StoreError
from mlops.tracking.model.places import folder_of, is_folder


def restore(
    source: Path, store_uri: str, artifacts: str, say: Say, *, force: bool = False
) -> dict[str, object]:
    """Put the backup *source* in the place of the store; return what it holds and where the old is now.

    Raises StoreError: before anything is touched when the backup is damaged, newer, or of another kind, when the
    service runs, and, without *force*, when store or artifacts hold anything.
    """
    began = time.monotonic()
    database = database_of(store_uri)
    manifest = read_manifest(source)
    _check_fits(manifest, database, source)
    reach(store_uri)
    say(f"checking {len(manifest.files)} files")
    check(source, manifest, say)
    _check_names_database(manifest, database, source)
    with _locked(store_uri):
        database.check_unused()
        if not force:
            _check_empty(database, artifacts)
        aside = _swap(source, manifest, database, artifacts, say)
    return {
        "source": str(source),
        **manifest.counts,
        "schema_revision": manifest.schema_revision,
        "files": len(manifest.files),
        "artifacts_included": manifest.artifacts_included,
        "moved_aside": aside,
        "took_s": round(time.monotonic() - began, 2),
    }


@contextlib.contextmanager
def _locked(store_uri: str) -> Iterator[None]:
    path = path_of(store_uri)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = lock_of(store_uri)
    if not lock.take():
        holder = f" ({lock.holder()})"
        raise StoreError(
            f"the tracking service runs on this store{holder}; stop it first (`mlops down`), then restore"
        )
    try:
        yield
    finally:
        lock.release()


def _check_fits(manifest: Manifest, database: Database, source: Path) -> None:
    if manifest.store != database.kind:
        raise StoreError(
            f"backup {source} is of a {manifest.store} store, this one is {database.kind}; "
            "set TRACKING_STORE_URI to a store of that kind, or move it in with `import`"
        )
    if not knows(manifest.schema_revision):
        raise StoreError(
            f"backup {source} has the schema {manifest.schema_revision!r} of MLflow {manifest.mlflow}, which is newer "
            "than this installation; upgrade it first"
        )


def _check_names_database(manifest: Manifest, database: Database, source: Path) -> None:
    checked = {file.path for file in manifest.files}
    if manifest.database != database.dump_name or manifest.database not in checked:
        raise StoreError(
            f"backup {source} names {manifest.database!r} as its database, which is none of its checked files; "
            "take another copy of the backup"
        )


def _check_empty(database: Database, artifacts: str) -> None:
    held = database.holds()
    runs, models = held.get("runs", 0), held.get("models", 0)
    folder = Path(folder_of(artifacts))
    filled = is_folder(artifacts) and folder.is_dir() and any(folder.iterdir())
    if runs or models or filled:
        what = f"{runs} runs, {models} models" + (f", artifacts in {folder}" if filled else "")
        raise StoreError(
            f"the store is not empty ({what}); restore with --force, which moves all that aside and deletes nothing"
        )


def _swap(
    source: Path, manifest: Manifest, database: Database, artifacts: str, say: Say
) -> list[str]:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    put = _kind(manifest, artifacts)(source, manifest, artifacts, stamp)
    if manifest.artifacts_included:
        say(f"artifacts: {artifacts}")
    put.prepare(say)
    say(f"database: {database.kind}")
    try:
        old = database.load(source / manifest.database, stamp)
    except (OSError, StoreError) as error:
        put.give_up()
        raise StoreError(f"cannot restore the database: {error}") from error
    try:
        return [*([old] if old else []), *put.place()]
    except OSError as error:
        database.undo(old)
        put.give_up()
        raise StoreError(f"cannot restore the artifacts {artifacts}: {error}") from error


def _kind(manifest: Manifest, artifacts: str) -> type[_Put]:
    if not manifest.artifacts_included:
        return _Put
    return _Folder if is_folder(artifacts) else _Remote


class _Put:
    """Artifacts of a backup on their way; these stay where they are."""

    def __init__(self, source: Path, manifest: Manifest, artifacts: str, stamp: str) -> None:
        self._source = source
        self._manifest = manifest
        self._uri = artifacts
        self._stamp = stamp

    def prepare(self, say: Say) -> None:
        """Do what takes long; nothing is in its place yet."""

    def give_up(self) -> None:
        """Nothing has been exchanged, or all of it is back."""

    def place(self) -> list[str]:
        """Exchange them; return where the old ones are now, of earlier attempts too."""
        return []


class _Folder(_Put):
    """Copied beside the old ones, then put in their place."""

    def __init__(self, source: Path, manifest: Manifest, artifacts: str, stamp: str) -> None:
        super().__init__(source, manifest, artifacts, stamp)
        # Where a link points to: there is the disk for them.
        self._target = Path(folder_of(artifacts)).resolve()
        self._new = self._target.with_name(self._target.name + ".restoring")
        self._old = self._target.with_name(f"{self._target.name}.before-{stamp}")
        self._unfinished = Unfinished(self._target)
        self._broke_off_before = self._unfinished.is_there()

    def prepare(self, say: Say) -> None:
        """Do what takes long; nothing is in its place yet."""
        try:
            shutil.rmtree(self._new, ignore_errors=True)
            self._target.parent.mkdir(parents=True, exist_ok=True)
            copy_listed(self._source, self._manifest, self._new, say)
            self._unfinished.begin([str(self._old)])
        except (OSError, StoreError) as error:
            shutil.rmtree(self._new, ignore_errors=True)
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"cannot restore the artifacts {self._target}: {error}") from error

    def give_up(self) -> None:
        """Nothing has been exchanged, or all of it is back."""
        if not self._broke_off_before:
            self._unfinished.end()

    def place(self) -> list[str]:
        """Exchange the folders; return where the old ones are now, of earlier attempts too."""
        had = self._target.exists()
        if had:
            self._target.replace(self._old)
        try:
            self._new.replace(self._target)
        except OSError:
            if had:
                self._old.replace(self._target)
            raise
        sync(self._target.parent)
        moved = self._unfinished.moved()
        self._unfinished.end()
        return moved


class _Remote(_Put):
    """To S3 or the like: written over what is there, nothing is removed."""

    def prepare(self, say: Say) -> None:
        """Upload them."""
        del say
        from mlflow.store.artifact.artifact_repository_registry import (  # noqa: PLC0415 - seconds that a folder saves
            get_artifact_repository,
        )

        try:
            get_artifact_repository(self._uri).log_artifacts(str(self._source / ARTIFACTS))
        except Exception as error:  # any store of any vendor may be behind a URI
            raise StoreError(f"cannot write the artifacts {self._uri}: {error}") from error
