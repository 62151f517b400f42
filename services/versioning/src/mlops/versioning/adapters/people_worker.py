# SPDX-License-Identifier: Apache-2.0
"""What people added and pushed with DVC themselves, found on a remote and brought to ours; and whether ours answers.

It is not the worker of `dvc.py`: a look at people's files must not wait behind a long addition, nor the other way round.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.config import ConfigError
from dvc.dvcfile import load_file
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage.exceptions import StageNotFound
from dvc.utils.serialize import parse_yaml

from mlops.chassis.errors import UnavailableError
from mlops.chassis.sidecar import serve
from mlops.versioning.adapters import dvc_transfer as transfer
from mlops.versioning.adapters.dvc_copy import Tell, absent, copy, silent
from mlops.versioning.adapters.dvc_locks import LOCK, PIPELINE, is_output, parted
from mlops.versioning.adapters.dvc_pace import Pace, pace_of
from mlops.versioning.adapters.dvc_reasons import explained
from mlops.versioning.adapters.dvc_s3 import Nowhere, s3_objects
from mlops.versioning.adapters.dvc_setup import ASIDE, prepare, refuse_other, remote_of

# What DVC meets in files that people have written; the last ones in what it takes for granted.
_UNREADABLE = (DvcException, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class Brings:
    """How objects come into the cache: at a pace, and somebody hears that they do."""

    pace: Pace | None
    tell: Tell

    def bring(self, repo: Repo, odb: Any, oids: set[str]) -> None:
        """Copy what the cache lacks of *oids*, each of them checked."""
        cache = repo.cache.local
        lacking = absent(cache, oids)
        copy(odb, cache, lacking, self.tell, self.pace, check=True)
        if absent(cache, lacking):
            raise UnavailableError(f"objects could not be copied from {odb.path!r}")


def claimed(
    folder: str,
    remote: str,
    cache: str,
    file: str,
    bytes_per_s: int | None = None,
    tell: Callable[[int], None] | None = None,
) -> dict[str, Any] | None:
    """Return the content that a `.dvc` file or an output names, None while no remote holds the whole of it.

    `kept` is False for an output that DVC puts on no remote: one with `cache: false`, or of a stage that is gone.
    """
    brings = Brings(pace_of(bytes_per_s), (lambda done, _: tell(done)) if tell else silent)
    with explained(remote, cache):
        prepare(folder, remote, cache)
        try:
            with Repo(folder, _wait_for_lock=True) as repo:
                refuse_other(repo, remote)
                if is_output(file):
                    return _made(repo, folder, file, brings)
                # Read once, before: people may write the file anew while remotes are asked.
                text = Path(folder, file).read_text()
                out = _out(repo, str(Path(folder, file)))
                if out is None or out.hash_info.value not in _addresses(text, file):
                    return None
                if not _is_on_a_remote(repo, out.hash_info.value, brings):
                    return None
                return _told(repo, out, text)
        except (ConfigError, DvcException) as error:
            raise UnavailableError(f"DVC in {folder!r}: {error}") from error


def touch(folder: str, remote: str, cache: str, oid: str) -> bool:
    """Raise UnavailableError when our remote cannot be asked, or lacks an object; return False where it is not ours now.

    It takes no turn, so it makes and changes nothing.
    """
    if not Path(folder, ".dvc").is_dir():
        return False
    with explained(remote, cache):
        try:
            with Repo(folder, _wait_for_lock=True) as repo:
                if remote_of(repo) != remote:
                    return False
                if not absent(odb := repo.cloud.get_remote_odb(transfer.REMOTE), {oid}):
                    return True
                if s3 := s3_objects(odb):
                    # Whoever only lists hears nothing of a bucket that is gone.
                    with contextlib.closing(s3):
                        s3.get(oid, Nowhere())
        except (ConfigError, DvcException) as error:
            raise UnavailableError(f"DVC in {folder!r}: {error}") from error
        raise UnavailableError(
            f"remote {remote}: it lacks {oid} of the newest version; `mlops data push` brings what the cache has"
        )


def unpushed(folder: str, remote: str, cache: str, asked: dict[str, str]) -> dict[str, list[str]]:
    """Return which of several `.dvc` files and outputs name, by their addresses, what no remote holds.

    `not_kept` are outputs that DVC puts on no remote, `problems` what was wrong with a remote that could not be asked.
    """
    problems: list[str] = []
    with explained(remote, cache), Repo(folder, _wait_for_lock=True) as repo:
        refuse_other(repo, remote)
        not_kept = _not_kept(repo, folder, asked, problems)
        wanted = {name: oid for name, oid in asked.items() if name not in not_kept}
        lacking = _lacking(repo, set(wanted.values()), problems)
    return {
        "unpushed": [name for name, oid in wanted.items() if oid in lacking],
        "not_kept": sorted(not_kept),
        "problems": problems,
    }


def _not_kept(repo: Repo, folder: str, names: Iterable[str], problems: list[str]) -> set[str]:
    stages, found = _Stages(repo, folder), set[str]()
    for name in filter(is_output, names):
        try:
            if stages.output(name) is None:
                found.add(name)
        except _UNREADABLE as error:  # what such a pipeline makes is waited for
            if str(error) not in problems:
                problems.append(str(error))
    return found


def _lacking(repo: Repo, oids: set[str], problems: list[str]) -> set[str]:
    for name in _remotes(repo):
        try:
            with explained(f"{name!r} of {repo.root_dir}", repo.cache.local.path):
                oids = absent(repo.cloud.get_remote_odb(name), oids)
        except UnavailableError as error:
            problems.append(str(error))
    return oids


class _Stages:
    """The stages of a project's pipelines, each pipeline read once."""

    def __init__(self, repo: Repo, folder: str) -> None:
        self._repo, self._folder = repo, folder
        self._read: dict[str, Any] = {}

    def output(self, name: str) -> Any:
        """Return an output by its name, None when it is not there or DVC does not keep it."""
        lock, stage, path = parted(name)
        if lock not in self._read:
            file = str(Path(self._folder, lock).with_name(PIPELINE))
            self._read[lock] = load_file(self._repo, file).stages
        try:
            outs = self._read[lock][stage].outs
        except StageNotFound:
            return None
        return next(
            (one for one in outs if one.def_path == path and _is_kept(self._repo, one)), None
        )


def _made(repo: Repo, folder: str, name: str, brings: Brings) -> dict[str, Any] | None:
    """Return an output of a pipeline; the record of it stays the pipeline's, so it has no text of a `.dvc` file."""
    lock, stage_name, _ = parted(name)
    out = _Stages(repo, folder).output(name)
    if out is None:
        return {"kept": False}
    if not _is_on_a_remote(repo, out.hash_info.value, brings):
        return None
    # DVC's own word for it is seen from wherever this process stands.
    above = lock.removesuffix(LOCK)
    called = f"{above}dvc.yaml:{stage_name}" if above else stage_name
    return {**_told(repo, out, ""), "stage": called}


def _out(repo: Repo, file: str) -> Any:
    outs = load_file(repo, file).stage.outs
    return outs[0] if len(outs) == 1 and _is_kept(repo, outs[0]) else None


def _is_kept(repo: Repo, out: Any) -> bool:
    kept = out.use_cache and out.hash_info and out.hash_info.name == "md5"
    return bool(kept and out.protocol == "local" and not _path(repo, out).startswith(".."))


def _addresses(text: str, file: str) -> list[str]:
    outs = parse_yaml(text, file).get("outs") or []
    return [str(one.get("md5")) for one in outs]


def _path(repo: Repo, out: Any) -> str:
    return Path(os.path.relpath(out.fs_path, repo.root_dir)).as_posix()


def _is_on_a_remote(repo: Repo, oid: str, brings: Brings) -> bool:
    """Look at ours, the project's own default and the others; what another one holds is brought to ours, too.

    It is about to be named: where it is is on the disk then, whoever brought it.
    """
    for name in _remotes(repo):
        odb = repo.cloud.get_remote_odb(name)
        if _holds(repo, oid, odb, brings):
            if name == transfer.REMOTE:
                transfer.flush(repo)
            else:
                brings.bring(repo, odb, set(transfer.objects(repo, oid)))
                transfer.push(repo, [oid], brings.tell, brings.pace)
            return True
    return False


def _remotes(repo: Repo) -> list[str]:
    own = repo.config["core"].get("remote")
    names = dict.fromkeys((transfer.REMOTE, own, *repo.config["remote"]))
    return [name for name in names if name and not name.startswith(ASIDE)]


def _holds(repo: Repo, oid: str, odb: Any, brings: Brings) -> bool:
    if not odb.exists(oid):
        return False
    brings.bring(repo, odb, {oid})
    wanted = transfer.objects(repo, oid)
    return set(wanted) <= set(odb.oids_exist(wanted))


def _told(repo: Repo, out: Any, text: str) -> dict[str, Any]:
    oid = out.hash_info.value
    files = [one for one in transfer.objects(repo, oid) if one != oid] or [oid]
    cache = repo.cache.local
    return {
        "kept": True,
        "stage": "",
        "path": _path(repo, out),
        "oid": oid,
        # Older DVC writes no size: what lies in the cache has one, what only a remote holds has none.
        "size_bytes": out.meta.size or sum(_size(cache, one) for one in files),
        "files": len(files),
        "dvc_text": text,
    }


def _size(cache: Any, oid: str) -> int:
    return int(cache.fs.size(cache.oid_to_path(oid))) if cache.exists(oid) else 0


if __name__ == "__main__":
    serve({"claimed": claimed, "touch": touch, "unpushed": unpushed})
