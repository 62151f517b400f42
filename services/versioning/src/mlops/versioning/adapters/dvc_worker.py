# SPDX-License-Identifier: Apache-2.0
"""DVC itself, in a process of its own: what `dvc.py` calls over standard input and output.

One `Repo` per call: it costs 10 ms and shares no state. Paths are always absolute, because DVC resolves targets
against the current directory.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from typing import Any

from dvc.config import ConfigError
from dvc.exceptions import DvcException, OverlappingOutputPathsError
from dvc.output import OutputAlreadyTrackedError, OutputIsIgnoredError
from dvc.repo import Repo

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.chassis.sidecar import serve
from mlops.versioning.adapters import dvc_transfer as transfer
from mlops.versioning.adapters.dvc_add import add, known_of
from mlops.versioning.adapters.dvc_copy import Tell, silent
from mlops.versioning.adapters.dvc_look import Safe, Wish
from mlops.versioning.adapters.dvc_pace import Pace, pace_of
from mlops.versioning.adapters.dvc_reasons import explained
from mlops.versioning.adapters.dvc_restore import contents
from mlops.versioning.adapters.dvc_restore import restore as put_back
from mlops.versioning.adapters.dvc_room import check
from mlops.versioning.adapters.dvc_setup import broken, prepare, refuse_other
from mlops.versioning.adapters.dvc_store import Store
from mlops.versioning.adapters.dvc_sweep import Asked
from mlops.versioning.adapters.dvc_sweep import sweep as delete
from mlops.versioning.adapters.dvc_verify import verify as look_again
from mlops.versioning.adapters.paths import existing, locate

Say = Callable[[dict[str, Any]], None]

_OFTEN_S = 0.2
# A call on ten thousand files makes about so many objects.
_FRESH_OBJECTS = 200_000
_REFUSALS = (OutputAlreadyTrackedError, OverlappingOutputPathsError, OutputIsIgnoredError)


def provision(folder: str, remote: str, cache: str) -> None:
    """Make the folder a DVC project with our remote and cache."""
    prepare(folder, remote, cache)


def snapshot(
    folder: str,
    remote: str,
    cache: str,
    path: str,
    *,
    bytes_per_s: int | None = None,
    held: list[str] | None = None,
    limit_bytes: int | None = None,
    tell: Say | None = None,
) -> dict[str, Any]:
    """Look for room while it is added, push, verify; in this order, so that what is returned is complete."""
    place = existing(folder, path)
    pace = pace_of(bytes_per_s)
    with _repo(folder, remote, cache) as repo:

        def allow(oid: str) -> None:
            if limit_bytes is not None:
                check(Store(repo.cache.local.path), oid, held or [], limit_bytes)

        added = add(repo, place, path, _teller(tell, "read", "bytes"), allow)
        transfer.push(repo, [added.oid], _teller(tell, _moving("push", pace), "files"), pace)
        return {
            "oid": added.oid,
            "size_bytes": added.size_bytes,
            "files": added.files,
            "dvc_text": added.dvc_text,
        }


def forget(folder: str, remote: str, cache: str, path: str) -> None:
    """Forget which content the files at a path had when they were last read."""
    place = existing(folder, path)
    with _repo(folder, remote, cache) as repo:
        known_of(repo, place).file.unlink(missing_ok=True)


def push(
    folder: str,
    remote: str,
    cache: str,
    oids: list[str],
    *,
    bytes_per_s: int | None = None,
    tell: Say | None = None,
) -> int:
    """Transfer what the remote lacks of the given contents."""
    pace = pace_of(bytes_per_s)
    with _repo(folder, remote, cache) as repo:
        return transfer.push(repo, oids, _teller(tell, _moving("push", pace), "files"), pace)


def restore(
    folder: str,
    remote: str,
    cache: str,
    path: str,
    oid: str,
    size_bytes: int,
    dvc_text: str,
    *,
    held: list[str],
    read_only: bool,
    bytes_per_s: int | None = None,
    tell: Say | None = None,
) -> None:
    """Fetch the content if the cache lacks it, then put it in its place."""
    place, pace = locate(folder, path), pace_of(bytes_per_s)
    with _repo(folder, remote, cache) as repo:
        telling = _teller(tell, _moving("fetch", pace), "files")
        files = _whole(repo, path, oid, size_bytes, telling, pace)
        wish = Wish(place, path, dvc_text, files, read_only)
        put_back(repo, wish, _safe(repo, [oid, *held], pace), _teller(tell, "restore", "files"))


def files(
    folder: str,
    remote: str,
    cache: str,
    oid: str,
    size_bytes: int,
    *,
    bytes_per_s: int | None = None,
    tell: Say | None = None,
) -> str:
    """Fetch the content if the cache lacks it, and tell the folder of its objects; who asks reads the listing there."""
    with _repo(folder, remote, cache) as repo:
        pace = pace_of(bytes_per_s)
        _whole(repo, oid, oid, size_bytes, _teller(tell, _moving("fetch", pace), "files"), pace)
        return str(repo.cache.local.path)


def verify(
    folder: str,
    remote: str,
    cache: str,
    oids: list[str],
    *,
    repair: bool,
    deep: bool = False,
    bytes_per_s: int | None = None,
    tell: Say | None = None,
) -> dict[str, Any]:
    """Read the objects of the given contents again."""
    with _repo(folder, remote, cache) as repo:
        telling = _teller(tell, "verify", "files")
        pace = pace_of(bytes_per_s)
        return look_again(repo, oids, repair=repair, tell=telling, pace=pace, deep=deep)


def sweep(
    folder: str,
    remote: str,
    cache: str,
    dead: list[str],
    live: list[str],
    *,
    folders: list[str],
    before: float,
    unnamed: bool,
    own: list[str],
    dry: bool,
    tell: Say | None = None,
) -> dict[str, int]:
    """Delete what only the dead contents name, or, with *unnamed*, what nobody does."""
    with _repo(folder, remote, cache) as repo:
        telling = _teller(tell, "count" if dry else "delete", "objects")
        asked = Asked(dead, live, folders, before, unnamed=unnamed, own=tuple(own))
        return delete(repo, asked, dry=dry, tell=telling)


def _whole(
    repo: Repo, path: str, oid: str, size_bytes: int, tell: Tell, pace: Pace | None
) -> dict[str, str]:
    """Return the addresses of a content's files, all of them in the cache and as long as they were."""
    files = _held(repo, oid, size_bytes)
    if files is None:
        files = _fetched(repo, path, oid, tell, pace)
        if _held(repo, oid, size_bytes) is None:
            # An object is shorter, or longer, than it was: a disk was full, or somebody wrote into the cache.
            look_again(repo, [oid], repair=True, tell=silent, pace=pace)
            files = _fetched(repo, path, oid, silent, pace)
    return files


def _fetched(repo: Repo, path: str, oid: str, tell: Tell, pace: Pace | None) -> dict[str, str]:
    if not transfer.fetch(repo, oid, tell, pace):
        remote = repo.cloud.get_remote_odb(transfer.REMOTE).path
        raise UnavailableError(f"neither cache nor remote {remote!r} holds {oid} of {path!r}")
    return contents(Store(repo.cache.local.path), oid)


def _held(repo: Repo, oid: str, size_bytes: int) -> dict[str, str] | None:
    """Return the addresses of a content's files when the cache holds all of them, as long as they were."""
    store = Store(repo.cache.local.path)
    try:
        files = contents(store, oid)
    except FileNotFoundError:
        return None
    sizes = [store.size(one) for one in files.values()]
    return files if sum(size or 0 for size in sizes) == size_bytes and None not in sizes else None


def _safe(repo: Repo, held: list[str], pace: Pace | None) -> Safe:
    """Return what tells which addresses a version names; an object in the cache alone may be nobody's tomorrow."""

    def safe(wanted: set[str]) -> set[str]:
        named: set[str] = set()
        for oid in held:
            named |= transfer.named(repo, oid, pace)
            if wanted <= named:
                break
        return transfer.held(repo, wanted & named)

    return safe


def _moving(step: str, pace: Pace | None) -> str:
    return f"{step}, {pace}:" if pace else step


def _teller(say: Say | None, step: str, unit: str) -> Tell:
    """Return what passes progress on, a few times a second; nothing where nobody listens."""
    if say is None:
        return silent
    last = 0.0

    def tell(done: int, whole: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done >= whole or now - last > _OFTEN_S:
            last = now
            say({"step": step, "done": done, "whole": whole, "unit": unit})

    return tell


@contextlib.contextmanager
def _repo(folder: str, remote: str, cache: str) -> Iterator[Repo]:
    """Open the project; DVC's refusals become ours."""
    with explained(remote, cache):
        prepare(folder, remote, cache)
        try:
            with Repo(folder, _wait_for_lock=True) as repo:
                refuse_other(repo, remote)
                yield repo
        except _REFUSALS as error:
            raise RejectedError(" ".join(str(error).split())) from error
        except ConfigError as error:
            raise broken(folder, error) from error
        except DvcException as error:
            raise UnavailableError(f"DVC in {folder!r}: {error}") from error


if __name__ == "__main__":
    # What was imported stays: to look for garbage in it again and again cost a fourth of a call on many small files.
    gc.freeze()
    gc.set_threshold(_FRESH_OBJECTS)
    serve(
        {
            "provision": provision,
            "snapshot": snapshot,
            "forget": forget,
            "push": push,
            "restore": restore,
            "files": files,
            "verify": verify,
            "sweep": sweep,
        }
    )
