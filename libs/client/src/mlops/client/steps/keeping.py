# SPDX-License-Identifier: Apache-2.0
"""Keeping: what a training saved is kept with its run when it leaves, and comes back where it goes on.

Each workflow has a folder of its own in `[train.checkpoint].folder`, so that no training goes on from another's work. It is
kept as artifacts `checkpoints/<attempt>-<number>` of the run, whole or not at all; a later attempt on a machine that has no
such folder, or an older one, fetches the newest whole one before its command begins.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from mlops.client.steps.errors import DamagedError, PermanentError, StepError
from mlops.client.steps.folders import Folders
from mlops.client.steps.work import say

ROOT = "checkpoints"
MOST_FILES = 10_000
MOST_BYTES = 10 * 2**30
_GIB = 2**30
# A file that changed so shortly before its writer was killed may be half of one.
TORN_S = 1.0


def folder_of(project: Path, setting: str, key: str) -> Path:
    """Return the folder of a workflow's checkpoints; PermanentError for a setting that leads out of the project."""
    parts = PurePosixPath(setting).parts
    if not parts or ".." in parts or PurePosixPath(setting).is_absolute() or "\0" in setting:
        raise PermanentError(
            f"[train.checkpoint].folder is {setting!r}; name a folder inside the project, such as 'checkpoints'"
        )
    return project / setting / key


@dataclass(frozen=True)
class Keeper:
    """Keeps and fetches the folder of one workflow, for one of its attempts; without *folders* it stays where it is."""

    folders: Folders | None
    folder: Path
    attempt: int
    most_bytes: int = MOST_BYTES
    most_files: int = MOST_FILES

    def fetch(self) -> None:
        """Make the folder what the newest attempt left, unless it is that already; what is damaged is passed over."""
        if self.folders is not None:
            self._newer(self.folders, self._had())
        self.folder.mkdir(parents=True, exist_ok=True)
        _note(self._mark, str(self.attempt))

    def keep(self) -> bool:
        """Store the folder; False, and why in the log, where there is nothing, too much, or nowhere to store it."""
        files = _files(self.folder)
        size = sum(file.stat().st_size for file in files)
        if not files:
            say(f"nothing was saved in {self.folder}, so the next start begins anew")
            return False
        if self.folders is None:
            return False
        if problem := self.too_much(len(files), size):
            say(f"{problem}: it is not kept, and another machine would begin anew")
            return False
        try:
            name = self._put(self.folders)
        except StepError as error:
            say(f"the checkpoint could not be kept: {error}")
            return False
        say(f"checkpoint {name}: {len(files)} files, {size} bytes")
        return True

    def _put(self, folders: Folders) -> str:
        """Store the folder in a place of its own, and only then let go of what was there before."""
        before = folders.names(ROOT)
        name = f"{self.attempt:03}-{1 + sum(_attempt_of(one) == self.attempt for one in before)}"
        folders.put(f"{ROOT}/{name}", self.folder)
        for old in before:
            folders.drop(f"{ROOT}/{old}")
        return name

    def too_much(self, files: int, size: int) -> str:
        """Return why the folder is too large to travel, empty when it is not."""
        if files > self.most_files:
            return f"{self.folder} has {files} files, at most {self.most_files} travel"
        if size > self.most_bytes:
            has, most = size / _GIB, self.most_bytes / _GIB
            told = f"{self.folder} has {has:.3g} GiB, at most {most:.3g} GiB travel"
            return f"{told}; keep only the newest checkpoint there"
        return ""

    @property
    def _mark(self) -> Path:
        return self.folder.with_name(f".{self.folder.name}.attempt")

    def _had(self) -> int:
        """Return the last attempt that ran here with the folder that still stands, 0 when there was none."""
        if not _files(self.folder):
            return 0
        try:
            return int(self._mark.read_text())
        except (OSError, ValueError):
            return 0

    def _newer(self, folders: Folders, had: int) -> None:
        for name in reversed(folders.names(ROOT)):
            if _attempt_of(name) <= had or self._bring(folders, name):
                return

    def _bring(self, folders: Folders, name: str) -> bool:
        """Fetch a checkpoint; False where it is not whole, and one before it may be."""
        path = f"{ROOT}/{name}"
        listed = folders.sizes(path)
        if listed is None:
            return False
        problem = _unsafe(listed) or self.too_much(len(listed), sum(listed.values()))
        if problem:
            say(f"checkpoint {name} is not taken: {problem}")
            return False
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=".fetching-") as place:
            fresh = Path(place, "fresh")
            fresh.mkdir()
            try:
                folders.get(path, fresh)
            except (DamagedError, OSError) as error:
                say(f"checkpoint {name} is not taken: {error}")
                return False
            if self.folder.exists():
                self.folder.rename(Path(place, "old"))
            fresh.rename(self.folder)
        say(f"goes on from checkpoint {name}: {len(listed)} files, {sum(listed.values())} bytes")
        return True


def torn(folder: Path, since: float, until: float) -> list[Path]:
    """Return the files that changed between two times of the clock: their writer was killed, they may be half."""
    return [file for file in _files(folder) if since <= file.stat().st_mtime <= until]


def _files(folder: Path) -> list[Path]:
    """Return the ordinary files below a folder; links lead elsewhere, and do not travel."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        paths = (Path(place, name) for name in sorted(names))
        found += [path for path in paths if path.is_file() and not path.is_symlink()]
    return found


def _attempt_of(name: str) -> int:
    number, _, rest = name.partition("-")
    return int(number) if number.isdigit() and rest.isdigit() else 0


def _unsafe(names: dict[str, int]) -> str:
    """Return which name would not lie in the folder, on any system."""
    for name in names:
        path, other = PurePosixPath(name), PureWindowsPath(name)
        odd = path.is_absolute() or other.is_absolute() or other.drive or "\0" in name
        if odd or not path.parts or ".." in (*path.parts, *other.parts):
            return f"{name!r} would be written outside its folder"
    return ""


def _note(file: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
    Path(name).replace(file)
