# SPDX-License-Identifier: Apache-2.0
"""Fetching: what lies on another machine comes through the gateway into this one's own cache, checked, and only once.

The cache has DVC's layout: a file is called by its content, whichever version or project it is of. A fetch that was cut
off goes on where it stopped, in another process too. The folder may be deleted whenever nobody reads from it; how it
keeps to a limit is `trimming.py`'s.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from mlops.client.errors import MLOpsClientError, RefusedError

# From an address and how much of it is there: where the answer begins, and its bytes.
Get = Callable[[str, int], AbstractContextManager[tuple[int, Iterator[bytes]]]]

FOLDER = ".dir"
_ADDRESS = re.compile(r"[0-9a-f]{32}(\.dir)?")
_AT_ONCE = 8
_PIECE = 1024 * 1024
_TRIES = 5
_PAUSE_S = 0.2
_READ_ONLY = 0o444
_FULL = (errno.ENOSPC, errno.EDQUOT)


def own_cache(environ: Mapping[str, str] | None = None) -> Path:
    """Return this user's cache of data: `MLOPS_DATA_CACHE`, or `mlops/data` where the system keeps caches."""
    env = os.environ if environ is None else environ
    if told := env.get("MLOPS_DATA_CACHE"):
        return Path(told).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "mlops" / "data"
    caches = env.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "mlops" / "data"


def fetched(address: str, get: Get, objects: Path) -> Path:
    """Bring a content, with all files of a folder, into *objects*, and return that.

    Raises RefusedError for what the gateway refuses, MLOpsClientError when it stays away or sends other bytes.
    """
    try:
        _fetch(address, get, objects)
        if address.endswith(FOLDER):
            entries = json.loads(place_of(objects, address).read_bytes())
            _fetch_all(dict.fromkeys(str(one["md5"]) for one in entries), get, objects)
    except OSError as error:
        full = error.errno in _FULL
        hint = "make room there" if full else "make it writable"
        told = f"nothing can be kept in {objects}: {error}"
        raise _failed(told, f"{hint}, or set MLOPS_DATA_CACHE to another folder") from error
    return objects


def place_of(objects: Path, address: str) -> Path:
    """Return where a content lies; MLOpsClientError for what is no address, and might lie anywhere."""
    if not _ADDRESS.fullmatch(address):
        raise _failed(f"{address[:64]!r} is no address of a content", "update the client")
    return objects / address[:2] / address[2:]


def _fetch_all(addresses: Iterable[str], get: Get, objects: Path) -> None:
    lacking = [one for one in addresses if not place_of(objects, one).is_file()]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        works = [threads.submit(_fetch, one, get, objects) for one in lacking]
        try:
            for work in works:
                work.result()
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch(address: str, get: Get, objects: Path) -> None:
    place = place_of(objects, address)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_file():
        return
    draft = place.with_name(f"{place.name}.part")
    with _alone(draft) as file:
        if place.is_file():  # who had the draft before has finished it
            draft.unlink(missing_ok=True)
            return
        _fill(file, address, get)
        draft.replace(place)
        place.chmod(_READ_ONLY)


def _fill(file: BinaryIO, address: str, get: Get) -> None:
    """Append until the content is whole; a draft that was spoilt is begun again, once."""
    spoilt = False
    while True:
        _append(file, address, get)
        file.flush()
        os.fsync(file.fileno())
        if _digest(file) == address.removesuffix(FOLDER):
            return
        file.truncate(0)
        if spoilt:
            raise _failed(
                f"the bytes that came are not those of {address}",
                "`mlops data verify` looks at them where they come from",
            )
        spoilt = True


def _append(file: BinaryIO, address: str, get: Get) -> None:
    failures = 0
    while True:
        before = file.seek(0, os.SEEK_END)
        try:
            with get(address, before) as (begins, pieces):
                file.truncate(begins)
                file.seek(begins)
                file.writelines(pieces)
        except RefusedError:
            raise
        except MLOpsClientError:
            failures = failures + 1 if file.seek(0, os.SEEK_END) <= before else 1
            if failures == _TRIES:
                raise
            time.sleep(_PAUSE_S * 2**failures)
        else:
            return


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    found = hashlib.md5(usedforsecurity=False)
    while piece := file.read(_PIECE):
        found.update(piece)
    return found.hexdigest()


@contextlib.contextmanager
def _alone(draft: Path) -> Iterator[BinaryIO]:
    """Open the draft for one process and thread at a time; it stays for the next when it is not finished."""
    while True:
        with draft.open("a+b", buffering=0) as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            if _is_at(opened.fileno(), draft):
                # Not in append mode: what comes again from the beginning must not land at the end.
                with draft.open("r+b") as file:
                    yield file
                return
            if not draft.exists() and draft.with_suffix("").is_file():
                yield opened  # finished by another while this one waited
                return


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _failed(problem: str, hint: str) -> MLOpsClientError:
    return MLOpsClientError("dataset", "open dataset", problem, hint)
