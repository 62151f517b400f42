# SPDX-License-Identifier: Apache-2.0
"""Drafts: a restored file is made beside the project's data and comes to its place whole, or not at all."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field

from mlops.chassis.errors import RejectedError
from mlops.versioning.adapters.dvc_bytes import duplicate, forget
from mlops.versioning.adapters.dvc_store import cloned

_numbers = itertools.count()


@dataclass
class Drafts:
    """Puts objects in their places by way of a folder; clones until the file system has refused it once."""

    folder: str
    mode: int
    _clones: bool = field(default=True, init=False)

    def linked(self, source: str, target: str) -> bool:
        """Put a hard link in a place; return False where none can be, as to another file system."""
        draft = self._next()
        try:
            os.link(source, draft)
        except FileNotFoundError:
            raise
        except OSError:
            return False
        _move(draft, target)
        return True

    def copied(self, source: str, target: str) -> None:
        """Put a clone, or else a copy, with the wished mode in a place."""
        draft = self._next()
        try:
            self._clones = self._clones and cloned(source, draft)
            if not self._clones:
                duplicate(source, draft)
            os.chmod(draft, self.mode)
            _move(draft, target)
        except BaseException:
            forget(draft)
            raise

    def _next(self) -> str:
        return os.path.join(self.folder, f"draft.{os.getpid()}.{next(_numbers)}")


def _move(draft: str, target: str) -> None:
    if os.path.isdir(target) and not os.path.islink(target):
        raise RejectedError(
            f"a folder stands at {target!r}, with files in it that DVC ignores; move them away"
        )
    try:
        os.replace(draft, target)
    except OSError:
        # The dataset lies on another file system than the project.
        beside = os.path.join(os.path.dirname(target), f".mlops-{os.getpid()}")
        try:
            forget(beside)
            duplicate(draft, beside)
            os.chmod(beside, os.stat(draft).st_mode & 0o777)
            os.replace(beside, target)
        except BaseException:
            forget(beside)
            raise
        os.unlink(draft)
