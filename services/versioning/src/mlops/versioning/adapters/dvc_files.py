# SPDX-License-Identifier: Apache-2.0
"""DvcFiles: the `.dvc` and `dvc.lock` files of a project's folder, seen by stat alone, and what they name."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath

import structlog

from mlops.chassis.errors import UnavailableError
from mlops.chassis.sidecar import IDLE, Sidecar
from mlops.versioning.adapters.aside import Aside
from mlops.versioning.adapters.dvc_locks import LOCK, Locks, is_output
from mlops.versioning.model import Content
from mlops.versioning.ports import Claim, Place

_LONG = timedelta(hours=2)
_ENDING = ".dvc"
_MOST_FOLDERS = 5000
_MOST_BYTES = 65_536
# A folder changed this lately may change again within the same tick of its clock.
_SETTLED_NS = 2_000_000_000
_PASSED_BY = ("node_modules", "__pycache__", "mlruns")
_ADDRESS = re.compile(r"^- md5: ([0-9a-f]{32}(?:\.dir)?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class _Folder:
    """A folder as it was listed; as long as its time is the same, so are its names."""

    changed_ns: int
    folders: tuple[str, ...]
    files: tuple[str, ...]


class DvcFiles:
    """Remembers every folder's names, so that a look costs a stat for each folder and `.dvc` file."""

    def __init__(self, own: Mapping[str, str], idle: timedelta = IDLE) -> None:
        self._worker = Sidecar("mlops.versioning.adapters.people_worker", env=own, idle=idle)
        self._known: dict[str, dict[str, _Folder]] = {}
        self._too_large: set[str] = set()
        self._locks = Locks()
        self._aside: Aside[bool] = Aside()

    async def look(self, folder: str) -> dict[str, str]:
        """Return the signature of each `.dvc` file and of each output of a pipeline."""
        return await asyncio.to_thread(self._look, folder)

    async def named(self, folder: str, file: str) -> tuple[str, str] | None:
        """Return the path and the address that a `.dvc` file, one of ours or a plain one, or an output names."""
        if is_output(file):
            return self._locks.named(folder, file)
        return await asyncio.to_thread(_named, folder, file)

    async def arrived(self, place: Place, oid: str) -> bool:
        """Look at a remote that is a folder of this machine."""
        object_ = Path(place.remote, "files", "md5", oid[:2], oid[2:])
        try:
            return "://" not in place.remote and await self._aside.look(
                place.remote, object_.is_file
            )
        except (OSError, UnavailableError):
            return False

    async def unpushed(self, place: Place, files: Sequence[str]) -> set[str]:
        """Ask each remote once for all of them; an output that DVC puts on none is not told again."""
        standing = {file: self._locks.standing(place.folder, file) for file in files}
        asked = {
            file: named[1] for file in files if (named := await self.named(place.folder, file))
        }
        found = await self._worker.call(
            "unpushed",
            _LONG,
            folder=place.folder,
            remote=place.remote,
            cache=place.cache,
            asked=asked,
        )
        for problem in found["problems"]:
            structlog.get_logger("people").warning(
                "claims.unasked", folder=place.folder, error=problem
            )
        for file in found["not_kept"]:
            self._locks.pass_by(place.folder, file, standing[file])
        return {*found["unpushed"], *found["not_kept"]}

    async def claimed(self, place: Place, file: str) -> Claim | None:
        """Return what a `.dvc` file or an output names, once a remote holds it."""
        # Before it is read there: what changes meanwhile is asked for anew.
        standing = self._locks.standing(place.folder, file)
        found = await self._worker.call(
            "claimed",
            _LONG,
            hear=lambda _: None,  # what takes long is not given up while objects come
            folder=place.folder,
            remote=place.remote,
            cache=place.cache,
            file=file,
            bytes_per_s=place.bytes_per_s,
        )
        if found is None:
            return None
        if not found["kept"]:
            self._locks.pass_by(place.folder, file, standing)
            return None
        content = Content(
            oid=str(found["oid"]),
            size_bytes=int(found["size_bytes"]),
            files=int(found["files"]),
            dvc_text=str(found["dvc_text"]),
        )
        return Claim(str(found["path"]), content, str(found["stage"]))

    async def close(self) -> None:
        """End the worker."""
        await self._worker.close()

    def _look(self, root: str) -> dict[str, str]:
        before, now = self._known.get(root, {}), dict[str, _Folder]()
        signatures: dict[str, str] = {}
        waiting = [root]
        while waiting and len(now) < _MOST_FOLDERS:
            at = waiting.pop()
            held = _listed(at, before.get(at), is_root=at == root)
            if held is None:
                continue
            now[at] = held
            waiting.extend(os.path.join(at, name) for name in held.folders)
            for file, signature in _signed(root, at, held.files):
                is_lock = os.path.basename(file) == LOCK
                found = self._locks.outs(root, file, signature) if is_lock else {file: signature}
                signatures.update(found)
        self._known[root] = now
        self._say_what_is_left(root, has_more=bool(waiting))
        return signatures

    def _say_what_is_left(self, root: str, *, has_more: bool) -> None:
        if has_more and root not in self._too_large:
            structlog.get_logger("people").warning(
                "folder.too_large",
                folder=root,
                folders=_MOST_FOLDERS,
                reason="the rest is not seen",
            )
        (self._too_large.add if has_more else self._too_large.discard)(root)


def _listed(at: str, before: _Folder | None, *, is_root: bool) -> _Folder | None:
    try:
        changed_ns = os.stat(at).st_mtime_ns
        if before is not None and before.changed_ns == changed_ns:
            return before
        with os.scandir(at) as entries:
            folders, files = _sorted_out(entries, is_root=is_root)
    except OSError:
        return None
    settled = time.time_ns() - changed_ns > _SETTLED_NS
    return _Folder(changed_ns if settled else -1, folders, files)


def _sorted_out(
    entries: Iterator[os.DirEntry[str]], *, is_root: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    folders: list[str] = []
    files: list[str] = []
    for entry in entries:
        if entry.name == LOCK or (entry.name.endswith(_ENDING) and entry.name != _ENDING):
            files.append(entry.name)
        elif entry.name == "pyvenv.cfg" or (entry.name == _ENDING and not is_root):
            return (), ()  # somebody's environment, or another project: what is in it is of others
        elif entry.is_dir(follow_symlinks=False) and not _is_passed_by(entry.name):
            folders.append(entry.name)
    # What DVC keeps holds no `.dvc` files, and may hold a million others.
    kept = {name.removesuffix(_ENDING) for name in files}
    return tuple(name for name in folders if name not in kept), tuple(files)


def _is_passed_by(name: str) -> bool:
    return name.startswith(".") or name in _PASSED_BY


def _signed(root: str, at: str, files: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in files:
        path = Path(at, name)
        try:
            found = path.stat()
        except OSError:
            continue
        yield (
            path.relative_to(root).as_posix(),
            f"{found.st_mtime_ns} {found.st_size} {found.st_ino}",
        )


def _named(folder: str, file: str) -> tuple[str, str] | None:
    try:
        with Path(folder, file).open(encoding="utf-8") as opened:
            found = _ADDRESS.findall(opened.read(_MOST_BYTES))
    except (OSError, UnicodeDecodeError):
        return None
    path = PurePosixPath(file)
    return (
        (path.with_name(path.name.removesuffix(_ENDING)).as_posix(), found[0])
        if len(found) == 1
        else None
    )
