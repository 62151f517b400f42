# SPDX-License-Identifier: Apache-2.0
"""There: which objects a remote has, and of which of them it is known that they are what their address says.

A remote that is a folder is read. A server on S3 calls an object by the MD5 of what it took (its ETag), or by the MD5 of
the parts' MD5s: that proves a content without reading it, unless the tag is of another kind. Whatever is left unproven
is read only when asked for, since reading means downloading.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlops.versioning.adapters.dvc_bytes import md5_of
from mlops.versioning.adapters.dvc_copy import Tell, absent, each, folder_of
from mlops.versioning.adapters.dvc_pace import Moved, Pace, Part
from mlops.versioning.adapters.dvc_s3 import Held, Nowhere, Writes, part_bytes, s3_objects
from mlops.versioning.adapters.dvc_store import Store

_WORKERS = os.cpu_count() or 1
# What a plain `dvc push` sends at once; its client doubles it before it makes parts.
_PART_OF_DVC = 50 << 20
_PIECE_BYTES = 1 << 20


@dataclass
class There:
    """What was found: objects that are whole, some of them `unread`, and those that are there and damaged."""

    whole: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)


def look(
    odb: Any,
    oids: set[str],
    cache: Store,
    here: set[str],
    *,
    deep: bool,
    pace: Pace | None,
    tell: Tell,
) -> There:
    """Look at *oids* on a remote; those that are *here* are known to be whole in the cache. *deep* reads all of them."""
    if folder := folder_of(odb):
        return _in_folder(folder, oids, cache, here)
    found = There()
    if s3 := s3_objects(odb, pace):
        with contextlib.closing(s3):
            tags = Tags(s3, cache, here, found, deep=deep)
            each(tags.look, sorted(oids), tell, s3.moved)
        return found
    there = oids - absent(odb, oids)
    if not deep:
        return There(there, set(there))
    moved = Moved()

    def read(oid: str) -> None:
        sound = _read(odb, oid, pace, moved) == md5_of(oid)
        (found.whole if sound else found.damaged).add(oid)

    each(read, sorted(there), tell, moved)
    return found


def _in_folder(remote: Store, oids: set[str], cache: Store, here: set[str]) -> There:
    # One file under two names is read once.
    shared = {oid for oid in oids if cache.shares(oid, remote)}
    others = oids - shared
    with ThreadPoolExecutor(_WORKERS) as threads:
        sound = zip(others, threads.map(remote.sound, others), strict=True)
        return There({oid for oid, one in sound if one} | (shared & here))


def _read(odb: Any, oid: str, pace: Pace | None, moved: Moved) -> str:
    found = hashlib.md5(usedforsecurity=False)
    with odb.fs.open(odb.oid_to_path(oid), "rb") as file:
        while piece := file.read(pace.piece_bytes if pace else _PIECE_BYTES):
            found.update(piece)
            moved.add(len(piece))
            if pace:
                pace.pass_on(len(piece))
    return found.hexdigest()


class Asked(Protocol):
    """What a server on S3 is asked; its own promises are those of `S3Objects`."""

    def held(self, oid: str) -> Held | None:
        """Return what it says of an object, None where there is none."""

    def get(self, oid: str, file: Writes) -> str | None:
        """Read an object and return its MD5."""


class Tags:
    """Asks a server on S3 object by object.

    A tag that says something else is no proof of damage, for some servers make up their own: the object is read. Once one
    of those turned out to be whole, tags of this server are taken to say nothing, and no more is read for them.
    """

    def __init__(
        self, s3: Asked, cache: Store, here: set[str], found: There, *, deep: bool
    ) -> None:
        self._s3, self._cache, self._here, self._found = s3, cache, here, found
        self._deep = deep
        self._say_nothing = False
        self._reads = threading.Lock()

    def look(self, oid: str) -> None:
        """Add the object to where it belongs."""
        held = self._s3.held(oid)
        if held is None:
            return
        # A length that is not right is worth more than any tag: some servers let whoever writes say what the tag is.
        is_damaged = self._is_cut(oid, held) or (
            not self._is_proven(oid, held) and self._is_damaged(oid, held)
        )
        (self._found.damaged if is_damaged else self._found.whole).add(oid)

    def _is_cut(self, oid: str, held: Held) -> bool:
        return oid in self._here and held.size != self._cache.size(oid)

    def _is_proven(self, oid: str, held: Held) -> bool:
        return not self._deep and held.tag in self._right(oid, held)

    def _is_damaged(self, oid: str, held: Held) -> bool:
        """Tell what only reading can tell; what is not read counts as whole, and as unread."""
        if self._deep:
            return not self._is_sound(oid)
        if not held.is_digest:
            self._found.unread.add(oid)
            return False
        # One at a time: the first decides whether the others are worth it.
        with self._reads:
            if self._say_nothing:
                self._found.unread.add(oid)
                return False
            self._say_nothing = self._is_sound(oid)
            return not self._say_nothing

    def _is_sound(self, oid: str) -> bool:
        return self._s3.get(oid, Nowhere()) == md5_of(oid)

    def _right(self, oid: str, held: Held) -> Iterator[str]:
        """Yield the tags that a whole object may have; of one in parts they are worked out from the cache."""
        yield md5_of(oid)
        if held.parts and oid in self._here:
            for length in (part_bytes(held.size), _PART_OF_DVC):
                if -(-held.size // length) == held.parts:
                    yield _tag_of_parts(self._cache.place(oid), held.size, length)


def _tag_of_parts(file: str, size: int, length: int) -> str:
    begins = range(0, size, length)
    digests = b"".join(Part(file, one, min(length, size - one)).digest() for one in begins)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(begins)}"
