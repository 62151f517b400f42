# SPDX-License-Identifier: Apache-2.0
"""Files of an import: found where the other MLflow has kept them, copied to where ours looks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from mlops.tracking.errors import StoreError
from mlops.tracking.model.places import below_root, folder_of, is_folder


class Files:
    """Moves artifacts; counts what it found, what is missing, and what stays where it is (on S3, say)."""

    def __init__(self, artifacts: Any, folder: Path, root: Path | None) -> None:
        """Take our artifact store, where relative paths start, and where the other server kept proxied ones."""
        self._artifacts = artifacts
        self._folder = folder
        self._root = root
        self.copied = 0
        self.missing: list[str] = []
        self.stay = 0

    def is_movable(self, uri: str) -> bool:
        """Say whether files of this place can come along: from a folder, or from behind the other server."""
        return is_folder(uri) or below_root(uri) is not None

    def move(self, old_uri: str, new_uri: str, name: str, *, again: bool = False) -> bool:
        """Copy what lies at *old_uri*; say whether *new_uri* is where it is now.

        *again*, for what came before, copies only where nothing is yet: the files may have been named later.
        """
        if not self.is_movable(old_uri):
            self.stay += 1
            return False
        found = self._find(old_uri)
        if found is None:
            if below_root(old_uri) is None or self._root is not None:
                return True  # a run without any file has no folder
            self.missing.append(name)
            return True
        if any(found.iterdir()) and not (again and self._has(new_uri)):
            try:
                self._artifacts.log_artifacts(str(found), below_root(new_uri))
            except (OSError, MlflowException) as error:
                raise StoreError(f"cannot copy the artifacts {found} of {name}: {error}") from error
            self.copied += 1
        return True

    def _has(self, uri: str) -> bool:
        return bool(self._artifacts.list_artifacts(below_root(uri)))

    def _find(self, uri: str) -> Path | None:
        proxied = below_root(uri)
        if proxied is not None:
            candidates = [self._root / proxied] if self._root else []
        else:
            path = Path(folder_of(uri))
            candidates = [path if path.is_absolute() else self._folder / path]
            if self._root:
                # The folder was moved: its tail is still experiment, run, artifacts.
                candidates += [self._root.joinpath(*path.parts[-tail:]) for tail in (3, 4)]
        return next((each for each in candidates if each.is_dir()), None)
