# SPDX-License-Identifier: Apache-2.0
"""DVC itself, in a process of its own: what `dvc.py` calls over standard input and output.

DVC's supported surface (`Repo`) is used, one `Repo` per call: it costs 10 ms and shares no state. Paths are always
absolute, because DVC resolves targets against the current directory.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc.config import ConfigError
from dvc.exceptions import DvcException, OutputNotFoundError, OverlappingOutputPathsError
from dvc.output import OutputAlreadyTrackedError, OutputIsIgnoredError
from dvc.repo import Repo

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.chassis.sidecar import serve
from mlops.versioning.adapters import dvc_transfer as transfer
from mlops.versioning.adapters.dvc_reasons import explained
from mlops.versioning.adapters.dvc_settle import settle
from mlops.versioning.adapters.dvc_setup import broken, prepare
from mlops.versioning.adapters.paths import existing, locate

_TRIES = 5
_REFUSALS = (OutputAlreadyTrackedError, OverlappingOutputPathsError, OutputIsIgnoredError)


def provision(folder: str, remote: str, cache: str) -> None:
    """Make the folder a DVC project with our remote and cache."""
    prepare(folder, remote, cache)


def snapshot(folder: str, remote: str, cache: str, path: str) -> dict[str, Any]:
    """Add, push, verify; in this order, so that what is returned is complete."""
    place = existing(folder, path)
    with _repo(folder, remote, cache) as repo:
        _refuse_foreign(repo, place, path)
        out = _add(repo, place, path)
        transfer.push(repo, [out.hash_info.value])
        return {
            "oid": out.hash_info.value,
            "size_bytes": out.meta.size or 0,
            "files": out.meta.nfiles if out.meta.isdir else 1,
            "dvc_text": _text_file(place).read_text(),
        }


def push(folder: str, remote: str, cache: str, oids: list[str]) -> int:
    """Transfer what the remote lacks of the given objects."""
    with _repo(folder, remote, cache) as repo:
        return transfer.push(repo, oids)


def restore(folder: str, remote: str, cache: str, path: str, oid: str, dvc_text: str) -> None:
    """Fetch the content if the cache lacks it, then let DVC put it in its place."""
    place = locate(folder, path)
    with _repo(folder, remote, cache) as repo:
        if not transfer.fetch(repo, oid):
            raise UnavailableError(f"neither cache nor remote {remote!r} holds {oid} of {path!r}")
    place.parent.mkdir(parents=True, exist_ok=True)
    with _text_kept(_text_file(place), dvc_text), _repo(folder, remote, cache) as repo:
        _checkout(repo, place, path)


def _refuse_foreign(repo: Repo, place: Path, path: str) -> None:
    # DVC would quietly change the dataset around it, or the lock file of the pipeline.
    try:
        [out, *_] = repo.find_outs_by_path(str(place), strict=False)
    except OutputNotFoundError:
        return
    if not out.stage.is_data_source:
        raise RejectedError(
            f"path {path!r} is made by {out.stage}; run that pipeline, or name other data"
        )
    if not Path(out.fs_path).parent.samefile(place.parent):
        raise RejectedError(f"path {path!r} lies inside the dataset {str(out)!r}; add that whole")


def _add(repo: Repo, place: Path, path: str) -> Any:
    for _ in range(_TRIES):
        before = _signature(place)
        # relink=False: DVC would else put a link to its cache in the place of the project's own file.
        [stage] = repo.add(str(place), relink=False)
        if _signature(place) == before or settle(repo, stage):
            return stage.outs[0]
    raise UnavailableError(
        f"{path!r} is being written to; it was added {_TRIES} times and changed each time"
    )


def _signature(place: Path) -> list[tuple[str, int, int]]:
    found = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
    stats = ((str(p), p.stat()) for p in found)
    return sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _checkout(repo: Repo, place: Path, path: str) -> None:
    try:
        repo.checkout(targets=[str(_text_file(place))])
    except DvcException as error:
        if "unsaved files" not in str(error):
            raise
        raise RejectedError(
            f"{path!r} has changes that no version holds; add it first (`mlops data add`), or remove it"
        ) from error


def _text_file(place: Path) -> Path:
    return place.with_name(place.name + ".dvc")


@contextlib.contextmanager
def _text_kept(file: Path, text: str) -> Iterator[None]:
    """Write *text*, and take it back when what follows fails."""
    before = file.read_text() if file.exists() else None
    _write(file, text)
    try:
        yield
    except BaseException:
        if before is None:
            file.unlink(missing_ok=True)
        else:
            _write(file, before)
        raise


def _write(file: Path, text: str) -> None:
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(file)


@contextlib.contextmanager
def _repo(folder: str, remote: str, cache: str) -> Iterator[Repo]:
    """Open the project; DVC's refusals become ours."""
    with explained(remote, cache):
        prepare(folder, remote, cache)
        try:
            with Repo(folder, _wait_for_lock=True) as repo:
                yield repo
        except _REFUSALS as error:
            raise RejectedError(" ".join(str(error).split())) from error
        except ConfigError as error:
            raise broken(folder, error) from error
        except DvcException as error:
            raise UnavailableError(f"DVC in {folder!r}: {error}") from error


if __name__ == "__main__":
    serve({"provision": provision, "snapshot": snapshot, "push": push, "restore": restore})
