# SPDX-License-Identifier: Apache-2.0
"""receive: an object comes from S3 into a store; what had come when it broke off is gone on with, in another process too."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from typing import IO

from mlops.versioning.adapters.dvc_bytes import MODE, forget, md5_of
from mlops.versioning.adapters.dvc_s3 import S3Objects
from mlops.versioning.adapters.dvc_store import Store

_ENDING = ".part"
_PIECE_BYTES = 1 << 20
# Less is fetched again sooner than it is looked for.
_WORTH_BYTES = 1 << 20
_DAY_S = 86_400.0


def receive(s3: S3Objects, target: Store, oid: str) -> None:
    """Fetch one object, checked by its address; where the remote has none, nothing happens.

    Raises ValueError when the remote holds other bytes.
    """
    with _draft(target, oid) as (place, file):
        try:
            answer = _filled(s3, oid, file)
        except BaseException:
            if not place.endswith(_ENDING) or file.tell() < _WORTH_BYTES:
                forget(place)
            raise
        if answer == md5_of(oid):
            file.flush()
            _keep(target, place, oid, file.tell())
            return
        forget(place)
    if answer is not None:
        raise ValueError(
            f"{oid} is damaged on the remote; `mlops data verify --repair` puts it right from the cache, if that still "
            "has it"
        )


def _keep(target: Store, place: str, oid: str, size: int) -> None:
    # Under a name that goes with this process: a part that is read-only could not be gone on with.
    whole = target.draft()
    os.replace(place, whole)
    try:
        os.chmod(whole, MODE)
        target.keep(whole, oid, size)
    except BaseException:
        forget(whole)
        raise


def forget_parts(store: Store, before: float) -> None:
    """Remove what nobody has gone on with since a day before *before*."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(_folder(store)):
            place = os.path.join(_folder(store), name)
            if name.endswith(_ENDING) and os.stat(place).st_mtime < before - _DAY_S:
                forget(place)


def _filled(s3: S3Objects, oid: str, file: IO[bytes]) -> str | None:
    found = hashlib.md5(usedforsecurity=False)
    while piece := file.read(_PIECE_BYTES):
        found.update(piece)
    begun = file.tell()
    answer = s3.get(oid, file, found, begun)
    if begun and answer not in (None, md5_of(oid)):
        # After a power cut the beginning may be other than what had come.
        file.seek(0)
        file.truncate()
        answer = s3.get(oid, file)
    return answer


@contextlib.contextmanager
def _draft(target: Store, oid: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Open the object's own draft, or a fresh one while another fetch, or another user, has that."""
    fresh = target.draft()
    place = os.path.join(_folder(target), oid + _ENDING)
    with contextlib.ExitStack() as opened:
        file = None
        with contextlib.suppress(PermissionError):
            file = opened.enter_context(open(place, "r+b", opener=_made))
        if file is None or not _is_alone(file, place):
            place, file = fresh, opened.enter_context(open(fresh, "r+b", opener=_made))
        yield place, file


def _made(place: str, flags: int) -> int:
    return os.open(place, flags | os.O_CREAT, 0o600)


def _is_alone(file: IO[bytes], place: str) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), os.stat(place))
    except OSError:  # also who had it has just made an object of it
        return False


def _folder(store: Store) -> str:
    return os.path.join(os.path.dirname(store.path), "drafts")
