# SPDX-License-Identifier: Apache-2.0
"""Trimming: this user's cache of data keeps to a limit; what was used longest ago goes first, what is open now stays.

A note per content that was fetched, `used/<address>`, has the time of its last use, and whoever has opened the content
holds a lock on it for as long as the process lives, so that all processes see both. Nothing is trimmed while anybody
fetches: what is there already may be a part of it. Only in a folder that the client itself has made is anything trimmed,
and only what a note names: DVC may keep its own objects there by now.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mlops.client.datasets.fetching import FOLDER, place_of
from mlops.client.errors import BadInputError, MLOpsClientError

LIMIT = "MLOPS_DATA_CACHE_GB"
USUAL_GB = 50.0
# As backups and cleaners know it.
_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# Data that the mlops client has fetched; it may be deleted.\n"
)


def limit_bytes(environ: Mapping[str, str] | None = None) -> int:
    """Return how much may be kept that is not open: `MLOPS_DATA_CACHE_GB` gigabytes, 50 unless it is said."""
    told = (os.environ if environ is None else environ).get(LIMIT, "")
    try:
        limit = float(told or USUAL_GB)
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:
        problem = f"{LIMIT} is {told[:64]!r}, which is no number of gigabytes"
        raise BadInputError(
            "dataset", "open dataset", problem, "say 50, for example; 0 keeps nothing"
        )
    return int(limit * 1e9)


@contextlib.contextmanager
def nothing_goes(objects: Path) -> Iterator[None]:
    """Let nobody trim meanwhile."""
    with contextlib.ExitStack() as locked:
        # A cache that can only be read is trimmed by nobody from here.
        with contextlib.suppress(OSError):
            _tag(objects)
            locked.enter_context(_locked(_cache(objects) / "lock", fcntl.LOCK_SH))
        yield


def hold(address: str, objects: Path) -> BinaryIO | None:
    """Note that a content is the client's own and used now; it is not trimmed until what is returned is closed.

    None where no note can be kept: it may be trimmed by others then, and what is mapped stays readable all the same.
    """
    note = _note(objects, address)
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
        note.parent.mkdir(parents=True, exist_ok=True)
        held = opened.enter_context(note.open("ab"))
        fcntl.flock(held, fcntl.LOCK_SH)
        os.utime(note)
        opened.pop_all()
        return held
    return None


def trim(objects: Path, limit: int) -> None:
    """Remove what was used longest ago, until no more than *limit* bytes are left or all that is left is open.

    What cannot be removed stays, without a word: the data that were asked for are there.
    """
    lock = _cache(objects) / "lock"
    with contextlib.suppress(OSError), _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
        if not _is_own(objects):
            return
        notes = _notes(objects)
        kept = _kept(objects, notes)
        _remove(kept, sum(one.size for one in kept) - limit)
        _forget(objects, notes)


def _remove(kept: list[_Kept], too_much: int) -> None:
    for one in sorted(kept, key=lambda one: (one.used_at, one.is_listing)):
        if too_much > 0 and not one.is_open:
            one.place.unlink(missing_ok=True)
            too_much -= one.size


def _forget(objects: Path, notes: list[_Note]) -> None:
    for note in notes:
        if not note.is_open and _at(objects, note.address) is None:
            _note(objects, note.address).unlink(missing_ok=True)


@dataclass
class _Kept:
    """A file of the cache that the client has fetched, or half of one.

    Of one content a listing goes last: without it nobody could tell that the others are the client's.
    """

    place: Path
    size: int
    used_at: float = 0.0
    is_open: bool = False

    @property
    def is_listing(self) -> bool:
        return self.place.name.endswith(FOLDER)


@dataclass(frozen=True)
class _Note:
    address: str
    used_at: float
    is_open: bool


def _kept(objects: Path, notes: list[_Note]) -> list[_Kept]:
    found = dict[str, _Kept]()
    for note in notes:
        for address in _named(objects, note.address):
            one = found.get(address) or _at(objects, address)
            if one is not None:
                one.used_at = max(one.used_at, note.used_at)
                one.is_open = one.is_open or note.is_open
                found[address] = one
    halves = [_Kept(half, half.stat().st_size) for half in objects.glob("??/*.part")]
    return [*found.values(), *halves]


def _at(objects: Path, address: str) -> _Kept | None:
    # Somebody may have put something among the notes that is none.
    with contextlib.suppress(FileNotFoundError, MLOpsClientError):
        place = place_of(objects, address)
        return _Kept(place, place.stat().st_size)
    return None


def _notes(objects: Path) -> list[_Note]:
    notes = (_cache(objects) / "used").glob("*")
    return [_Note(one.name, one.stat().st_mtime, _is_locked(one)) for one in notes]


def _is_locked(note: Path) -> bool:
    with note.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _named(objects: Path, address: str) -> set[str]:
    if not address.endswith(FOLDER):
        return {address}
    try:
        entries = json.loads(place_of(objects, address).read_bytes())
    except (OSError, ValueError, MLOpsClientError):
        return {address}
    return {address, *(str(one["md5"]) for one in entries)}


def _tag(objects: Path) -> None:
    tag = _cache(objects) / "CACHEDIR.TAG"
    if not objects.exists():
        tag.parent.mkdir(parents=True, exist_ok=True)
        tag.write_text(_TAG)


def _is_own(objects: Path) -> bool:
    return (_cache(objects) / "CACHEDIR.TAG").read_text() == _TAG


@contextlib.contextmanager
def _locked(lock: Path, how: int) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("ab") as opened:
        fcntl.flock(opened, how)
        yield


def _cache(objects: Path) -> Path:
    return objects.parent.parent


def _note(objects: Path, address: str) -> Path:
    return _cache(objects) / "used" / address
