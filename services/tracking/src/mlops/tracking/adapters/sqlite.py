# SPDX-License-Identifier: Apache-2.0
"""A SQLite store is usable before MLflow sees it, or we say at once why it is not.

MLflow alone would try for a hundred seconds. Write-ahead logging is switched on (it stays with the file): one
sync per transaction instead of several, and readers do not wait for writers.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import unquote

from mlops.tracking.errors import StoreError

_SCHEME = "sqlite:///"
_PATIENCE_S = 5.0


def path_of(store_uri: str) -> Path | None:
    """Return the file of a SQLite store, None for another store."""
    if not store_uri.startswith(_SCHEME):
        return None
    return Path(unquote(store_uri.removeprefix(_SCHEME).partition("?")[0]))


def prepare(store_uri: str) -> None:
    """Make the folder, take the write lock once, switch write-ahead logging on; nothing for other stores.

    Raises StoreError.
    """
    path = path_of(store_uri)
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(path, timeout=_PATIENCE_S)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            connection.execute("PRAGMA journal_mode=WAL")
    except (sqlite3.Error, OSError) as error:
        raise StoreError(explain(path, str(error))) from error


def explain(path: Path, error: str) -> str:
    """Return what is wrong with a store's file, and the fix."""
    fixes = {
        "locked": "another process holds it; stop that (a second tracking service, or `mlflow server`?)",
        "full": f"free space on the disk of {path.parent}",
        "no space": f"free space on the disk of {path.parent}",
        "disk i/o": f"check the disk of {path.parent}: full, a quota, or faulty",
        "readonly": f"make {path} and its folder writable",
        "permission": f"make {path.parent} writable",
        "unable to open": f"make {path.parent} a writable folder",
        "not a database": "move the file away, or restore it from a backup",
        "malformed": "move the file away, or restore it from a backup",
    }
    found = next((fix for word, fix in fixes.items() if word in error.lower()), "see the error")
    return f"store {path}: {error}; {found}"
