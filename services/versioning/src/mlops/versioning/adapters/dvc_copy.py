# SPDX-License-Identifier: Apache-2.0
"""copy: objects go from one store to another by the cheapest way there is, at a pace if one is wished.

Between folders of one file system they are clones or links: nothing is read. To and from S3 each is one request of our
own (`dvc_s3.py`). Whatever else DVC has a driver for is left to DVC's transfer; its drivers tell what they have moved
only piece by piece, so there a pace is kept on average, one object at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.transfer import transfer
from fsspec.callbacks import Callback

from mlops.chassis.errors import UnavailableError
from mlops.versioning.adapters.dvc_bytes import forget, made, md5_of
from mlops.versioning.adapters.dvc_pace import Moved, Pace, Part
from mlops.versioning.adapters.dvc_parts import receive
from mlops.versioning.adapters.dvc_s3 import WORKERS, S3Objects, s3_objects
from mlops.versioning.adapters.dvc_store import Store

Tell = Callable[[int, int], None]

# So often it is looked whether a transfer goes on, when no object has come to its end.
_LOOK_S = 5.0


def silent(_done: int, _whole: int) -> None:
    """Hear nothing of how far a transfer is."""


def folder_of(odb: Any) -> Store | None:
    """Return the store of a remote that is a folder of this machine, None of another one."""
    return Store(odb.path) if odb.fs.protocol == "local" else None


def absent(odb: Any, oids: set[str]) -> set[str]:
    """Return which objects a store does not hold."""
    if store := folder_of(odb):
        return {oid for oid in oids if store.size(oid) is None}
    if not oids:
        return set()
    # Its driver keeps what it has listed; others write there too, and so do we, past the driver.
    odb.fs.fs.invalidate_cache()
    return oids - set(odb.oids_exist(list(oids)))


def copy(
    source: Any, target: Any, oids: set[str], tell: Tell, pace: Pace | None, *, check: bool
) -> set[str]:
    """Copy what *source* holds of *oids*; return those of which the target itself has said that it holds them.

    With *check* also what is only linked is read. Raises UnavailableError, ValueError for what has another address.
    """
    if not oids:
        return set()
    here, there = folder_of(source), folder_of(target)
    if here and there:
        _take_over(here, there, oids, tell, pace, check=check)
        return set()
    if here and (s3 := s3_objects(target, pace)):
        with contextlib.closing(s3):
            return _sent(here, s3, oids, tell)
    if there and (s3 := s3_objects(source, pace)):
        with contextlib.closing(s3):
            each(lambda oid: receive(s3, there, oid), sorted(oids), tell, s3.moved)
        return set()
    _left_to_dvc(source, target, oids, tell, pace)
    return set()


def _take_over(
    source: Store, target: Store, oids: set[str], tell: Tell, pace: Pace | None, *, check: bool
) -> None:
    held = [oid for oid in oids if source.size(oid) is not None]
    if pace and _apart(source, target):
        moved = Moved()
        each(lambda oid: _carry(source, target, oid, pace, moved), held, tell, moved)
        return
    for done, oid in enumerate(held, 1):
        target.bring(oid, source, check=check)
        tell(done, len(held))


def _apart(source: Store, target: Store) -> bool:
    os.makedirs(target.path, exist_ok=True)
    return os.stat(source.path).st_dev != os.stat(target.path).st_dev


def _carry(source: Store, target: Store, oid: str, pace: Pace, moved: Moved) -> None:
    place, draft = source.place(oid), target.draft()
    found, size = hashlib.md5(usedforsecurity=False), os.stat(place).st_size
    try:
        with (
            Part(place, 0, size).opened(pace, moved) as reader,
            open(draft, "wb", opener=made) as file,
        ):
            while piece := reader.read(pace.piece_bytes):
                found.update(piece)
                file.write(piece)
        if found.hexdigest() != md5_of(oid):
            raise ValueError(f"{place} is damaged; run `mlops data verify`")
        target.keep(draft, oid, size)
    finally:
        forget(draft)


def _sent(source: Store, s3: S3Objects, oids: set[str], tell: Tell) -> set[str]:
    held = sorted(oid for oid in oids if source.size(oid) is not None)
    each(lambda oid: s3.put(oid, source.place(oid)), held, tell, s3.moved)
    return set(held)


def each(work: Callable[[str], None], oids: list[str], tell: Tell, moved: Moved) -> None:
    """Do *work* on all, some at once; the first error ends it.

    While bytes move it is told where it stands, also when one large object takes hours: who hears nothing gives up.
    """
    with ThreadPoolExecutor(WORKERS) as threads:
        try:
            before = 0
            for done, one in enumerate([threads.submit(work, oid) for oid in oids]):
                while not one.done() and not wait([one], _LOOK_S).done:
                    if moved.bytes != before:
                        before = moved.bytes
                        tell(done, len(oids))
                one.result()
                tell(done + 1, len(oids))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _left_to_dvc(source: Any, target: Any, oids: set[str], tell: Tell, pace: Pace | None) -> None:
    held = oids & set(source.oids_exist(list(oids)))
    if not held:
        return
    infos = {HashInfo("md5", oid) for oid in held}
    told = _Told(tell, pace)
    jobs = 1 if pace else None
    if failed := transfer(source, target, infos, jobs=jobs, verify=True, callback=told).failed:
        raise UnavailableError(f"{len(failed)} objects could not be copied to {target.path!r}")


class _Told(Callback):  # type: ignore[misc] # fsspec has no types
    """Tells how many objects of how many are through."""

    def __init__(self, tell: Tell, pace: Pace | None) -> None:
        super().__init__()
        self._tell = tell
        self._pace = pace

    def call(self, *_: Any, **__: Any) -> None:
        """Pass on where it stands; fsspec calls this after each step."""
        self._tell(self.value, self.size or 0)

    def branched(self, *_: Any, **__: Any) -> Callback:
        """Return what hears of the bytes of one object."""
        return _Piecewise(self._pace, self.call)


class _Piecewise(Callback):  # type: ignore[misc] # fsspec has no types
    """Lets a driver go on when what it has moved may have moved, and tells that it does."""

    def __init__(self, pace: Pace | None, tell: Callable[[], None]) -> None:
        super().__init__()
        self._pace, self._tell = pace, tell
        self._passed = 0

    def call(self, *_: Any, **__: Any) -> None:
        """Wait for what has moved since the last time."""
        moved, self._passed = self.value - self._passed, self.value
        if moved > 0:
            self._tell()
            if self._pace:
                self._pace.pass_on(moved)
