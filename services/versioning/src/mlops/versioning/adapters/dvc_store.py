# SPDX-License-Identifier: Apache-2.0
"""Store: the objects of DVC's cache, or of a remote that is a folder, at DVC's own places.

`<path>/ab/cdef…` holds what has the MD5 `abcdef…`, read-only; the listing of a folder has `.dir` at the end of its
name. An object appears whole or not at all: it is written beside the store and then moved to its place.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import platform
import stat
import time

from dvc_objects.fs.system import reflink

from mlops.versioning.adapters.dvc_bytes import (
    MODE,
    Count,
    copy,
    digest,
    forget,
    md5_of,
    put,
    silent,
)

SMALL_BYTES = 1 << 20
# Far below the grace of a sweep: an object that is met late in its youth is as young as one just made.
_YOUNG_S = 60.0
_numbers = itertools.count()


class Store:
    """Objects by address, below *path* (`…/files/md5`)."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._drafts = os.path.join(os.path.dirname(path), "drafts")
        self._draft = f"{self._drafts}{os.sep}{platform.node()}+{os.getpid()}+"
        self._ready = False
        self._clones = True

    def place(self, oid: str) -> str:
        """Return where an object lies, or would."""
        return f"{self.path}{os.sep}{oid[:2]}{os.sep}{oid[2:]}"

    def size(self, oid: str) -> int | None:
        """Return how long an object is, or None where there is none that can be trusted."""
        place = self.place(oid)
        try:
            found = os.stat(place)
        except OSError:
            return None
        return found.st_size if _protected(found) or _sound(place, oid) else None

    def keeps(self, oid: str, size: int) -> bool:
        """Tell whether the object is there in full, and make it young: it is about to be needed."""
        place = self.place(oid)
        try:
            found = os.stat(place)
        except OSError:
            return False
        if found.st_size != size or not (_protected(found) or _sound(place, oid)):
            return False
        if time.time() - found.st_mtime > _YOUNG_S:
            with contextlib.suppress(OSError):  # another user's object in a shared cache
                os.utime(place)
        return True

    def add_bytes(self, content: bytes, suffix: str = "") -> str:
        """Keep *content* and return its address."""
        oid = hashlib.md5(content, usedforsecurity=False).hexdigest() + suffix
        if not self.keeps(oid, len(content)):
            draft = self.draft()
            try:
                put(draft, content)
                self._settle(draft, oid)
            except BaseException:
                forget(draft)
                raise
        return oid

    def add_file(self, source: str, count: Count) -> tuple[str, int]:
        """Keep a copy of *source* and return its address and size: those of the copy, whatever *source* does meanwhile."""
        draft = self.draft()
        try:
            oid, size = self.copied(source, draft, count)
            self.keep(draft, oid, size)
        except BaseException:
            forget(draft)
            raise
        return oid, size

    def copied(self, source: str, draft: str, count: Count) -> tuple[str, int]:
        """Copy *source* to a draft and return the copy's address and size."""
        if self._cloned(source, draft):
            return digest(draft, count)
        return copy(source, draft, count)

    def keep(self, draft: str, oid: str, size: int) -> None:
        """Make an object of a draft."""
        if self.keeps(oid, size):
            forget(draft)
        else:
            self._settle(draft, oid)

    def bring(self, oid: str, source: Store, *, check: bool) -> None:
        """Take one object over from another store: as a clone or a hard link, or else copied and checked.

        With *check* a linked one is read too. Raises OSError; ValueError when the bytes have another address.
        """
        if not check and not self._clones and self._linked_at_once(source.place(oid), oid):
            return
        draft = self.draft()
        try:
            self._fill(draft, source.place(oid), oid, check=check)
            self._settle(draft, oid)
        except BaseException:
            forget(draft)
            raise

    def sound(self, oid: str) -> bool:
        """Read an object and tell whether it is there and what its address says."""
        try:
            return digest(self.place(oid), silent)[0] == md5_of(oid)
        except OSError:
            return False

    def shares(self, oid: str, other: Store) -> bool:
        """Tell whether the two stores hold the object as one file under two names."""
        try:
            return os.path.samefile(self.place(oid), other.place(oid))
        except OSError:
            return False

    def put_aside(self, oid: str) -> None:
        """Move what lies at an object's place to `damaged` beside the store."""
        aside = os.path.join(os.path.dirname(self.path), "damaged")
        os.makedirs(aside, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.place(oid), os.path.join(aside, oid))

    def forget_dead_drafts(self) -> None:
        """Remove what killed processes of this machine have left half written."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._drafts):
                node, _, rest = name.rpartition("+")[0].rpartition("+")
                if node == platform.node() and not _lives(int(rest)):
                    forget(os.path.join(self._drafts, name))

    def draft(self) -> str:
        """Return a name for what is about to become an object; on the store's own file system."""
        if not self._ready:
            os.makedirs(self._drafts, exist_ok=True)
            self._ready = True
        return f"{self._draft}{next(_numbers)}"

    def _settle(self, draft: str, oid: str) -> None:
        place = self.place(oid)
        try:
            os.replace(draft, place)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.replace(draft, place)

    def _fill(self, draft: str, origin: str, oid: str, *, check: bool) -> None:
        if self._cloned(origin, draft) or _linked(origin, draft):
            found = digest(draft, silent)[0] if check else md5_of(oid)
        else:
            found, _ = copy(origin, draft, silent)
        if found != md5_of(oid):
            raise ValueError(f"{origin} is damaged; run `mlops data verify`")

    def _linked_at_once(self, origin: str, oid: str) -> bool:
        place = self.place(oid)
        try:
            return _linked(origin, place)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            return _linked(origin, place)

    def _cloned(self, source: str, draft: str) -> bool:
        if not self._clones:
            return False
        self._clones = cloned(source, draft)
        if self._clones:
            os.chmod(draft, MODE)
        return self._clones


def _protected(found: os.stat_result) -> bool:
    return stat.S_IMODE(found.st_mode) == MODE


def _sound(place: str, oid: str) -> bool:
    # Writable: somebody may have written, or the file system keeps no modes. DVC looks into it too.
    sound = digest(place, silent)[0] == md5_of(oid)
    if sound:
        with contextlib.suppress(OSError):
            os.chmod(place, MODE)
    return sound


def cloned(source: str, target: str) -> bool:
    """Make *target* a copy-on-write clone of *source*; return False where the file system has none."""
    try:
        reflink(source, target)  # type: ignore[no-untyped-call] # DVC types it only on one system
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def _linked(source: str, target: str) -> bool:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links, or a file that has too many
        return False
    return _protected(os.stat(target)) or _unlinked(target)


def _unlinked(target: str) -> bool:
    # Writable, it may change under both names.
    os.unlink(target)
    return False


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
