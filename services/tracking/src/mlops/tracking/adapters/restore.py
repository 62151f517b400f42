# SPDX-License-Identifier: Apache-2.0
"""Restore: a backup takes the place of store and artifacts; everything is checked first, and nothing is thrown away.

Events that were told when the backup was made are marked so in it and are not told again; the few that were not are
told after the restore, under the ids they always had.
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
    copy_tree,
    read_manifest,
)
from mlops.tracking.adapters.locks import lock_of
from mlops.tracking.adapters.schema import knows
from mlops.tracking.adapters.sqlite import path_of
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
    say(f"checking {len(manifest.files)} files")
    check(source, manifest, say)
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
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    put = _Artifacts(source, artifacts, stamp) if manifest.artifacts_included else None
    if put is not None:
        say(f"artifacts: {artifacts}")
        put.prepare(say)
    say(f"database: {database.kind}")
    try:
        old = database.load(source / manifest.database, stamp)
    except OSError as error:
        raise StoreError(f"cannot restore the database: {error}") from error
    aside = [old] if old else []
    if put is not None:
        try:
            aside += put.place()
        except OSError as error:
            database.undo(old)
            raise StoreError(f"cannot restore the artifacts {artifacts}: {error}") from error
    return aside


class _Artifacts:
    """The artifacts of a backup on their way: copied beside the old ones, then put in their place."""

    def __init__(self, source: Path, artifacts: str, stamp: str) -> None:
        self._source = source / ARTIFACTS
        self._uri = artifacts
        self._target = Path(folder_of(artifacts))
        self._new = self._target.with_name(self._target.name + ".restoring")
        self._old = self._target.with_name(f"{self._target.name}.before-{stamp}")

    def prepare(self, say: Say) -> None:
        """Do what takes long; nothing is in its place yet."""
        if not is_folder(self._uri):
            self._upload()
            return
        try:
            shutil.rmtree(self._new, ignore_errors=True)
            self._target.parent.mkdir(parents=True, exist_ok=True)
            copy_tree(self._source, self._new, ARTIFACTS, say)
        except OSError as error:
            shutil.rmtree(self._new, ignore_errors=True)
            raise StoreError(f"cannot restore the artifacts {self._uri}: {error}") from error

    def place(self) -> list[str]:
        """Exchange the folders; return where the old one is now."""
        if not is_folder(self._uri):
            return []
        had = self._target.exists()
        if had:
            self._target.replace(self._old)
        self._new.replace(self._target)
        return [str(self._old)] if had else []

    def _upload(self) -> None:
        from mlflow.store.artifact.artifact_repository_registry import (  # noqa: PLC0415 - seconds that a folder saves
            get_artifact_repository,
        )

        try:
            get_artifact_repository(self._uri).log_artifacts(str(self._source))
        except Exception as error:  # any store of any vendor may be behind a URI
            raise StoreError(f"cannot write the artifacts {self._uri}: {error}") from error
