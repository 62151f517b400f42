# SPDX-License-Identifier: Apache-2.0
"""Files of an import: found where the other MLflow has kept them, copied to where ours looks for them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from mlflow.exceptions import MlflowException

from mlops.tracking.adapters.backup_files import Say, files_of
from mlops.tracking.errors import StoreError
from mlops.tracking.model.places import below_root, folder_of, is_folder


class Files:
    """Moves artifacts; counts what it found, what is missing, and what stays where it is (on S3, say)."""

    def __init__(self, artifacts: Any, folder: Path, root: Path | None, say: Say) -> None:
        """Take our artifact store, where relative paths start, and where the other server kept proxied ones."""
        self._say = say
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
        found = self._find(old_uri, name)
        if found is None:
            if below_root(old_uri) is None or self._root is not None:
                return True  # a run without any file has no folder
            self.missing.append(name)
            return True
        try:
            copied = self._copy(found, below_root(new_uri) or "", again=again)
        except (OSError, MlflowException) as error:
            raise StoreError(f"cannot copy the artifacts {found} of {name}: {error}") from error
        self.copied += copied
        return True

    def _copy(self, found: Path, below: str, *, again: bool) -> bool:
        """Copy what is not there; links are left out, for they may lead to anything on this machine."""
        there = self._sizes(below) if again else {}
        copied = False
        for file in files_of(found, self._say):
            inside = file.relative_to(found)
            # Smaller is what an import that was killed has left.
            if there.get(f"{below}/{inside.as_posix()}", -1) < file.stat().st_size:
                folder = (PurePosixPath(below) / inside.parent).as_posix()
                self._artifacts.log_artifact(str(file), folder)
                copied = True
        return copied

    def _sizes(self, below: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for each in self._artifacts.list_artifacts(below):
            found |= self._sizes(each.path) if each.is_dir else {each.path: each.file_size or 0}
        return found

    def _find(self, uri: str, name: str) -> Path | None:
        # MLflow keeps files of `name` nowhere else; a database may claim any folder of this machine.
        if not _is_own(folder_of(uri) if below_root(uri) is None else below_root(uri) or "", name):
            self._say(f"left out: {uri} is no place of {name}")
            return None
        proxied = below_root(uri)
        if proxied is not None:
            candidates = [self._root / proxied] if self._root else []
        else:
            path = Path(folder_of(uri))
            candidates = [path if path.is_absolute() else self._folder / path]
            if self._root:
                # The folder was moved: its tail is still experiment, run, artifacts.
                candidates += [self._root.joinpath(*path.parts[-tail:]) for tail in (3, 4)]
        return next((each for each in candidates if each.is_dir() and not each.is_symlink()), None)


def _is_own(path: str, name: str) -> bool:
    parts = PurePosixPath(path.replace("\\", "/")).parts
    return ".." not in parts and parts[-2:] == (name, "artifacts")
