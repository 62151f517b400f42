# SPDX-License-Identifier: Apache-2.0
"""A restore that broke off between store and artifacts is known by a file beside the artifacts, until one has run through."""

from __future__ import annotations

from pathlib import Path

from mlops.tracking.adapters.backup_files import sync
from mlops.tracking.errors import StoreError
from mlops.tracking.model.places import folder_of, is_folder


class Unfinished:
    """The file beside *artifacts*, a folder; it names what has been moved aside."""

    def __init__(self, artifacts: Path) -> None:
        self._path = artifacts.with_name(f"{artifacts.name}.restore-unfinished")

    def begin(self, aside: list[str]) -> None:
        """Note, on the disk, that store and artifacts may no longer belong together, and where the old may be."""
        noted = dict.fromkeys([*self._noted(), *aside])
        partial = self._path.with_name(f"{self._path.name}.partial")
        partial.write_text("".join(f"{name}\n" for name in noted), encoding="utf-8")
        sync(partial)
        partial.replace(self._path)
        sync(self._path.parent)

    def is_there(self) -> bool:
        """Say whether a restore broke off."""
        return self._path.exists()

    def end(self) -> None:
        """They belong together again."""
        self._path.unlink(missing_ok=True)

    def moved(self) -> list[str]:
        """Return what earlier attempts have moved aside."""
        return [name for name in self._noted() if Path(name).exists()]

    def _noted(self) -> list[str]:
        return self._path.read_text(encoding="utf-8").splitlines() if self.is_there() else []


def check_whole(artifacts: str) -> None:
    """Return when no restore broke off half-way; StoreError with the fix otherwise."""
    if is_folder(artifacts) and Unfinished(Path(folder_of(artifacts)).resolve()).is_there():
        raise StoreError(
            f"a restore broke off: store and artifacts {artifacts} may not belong together; "
            "run the same restore again, with --force"
        )
