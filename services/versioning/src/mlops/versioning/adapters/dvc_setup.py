# SPDX-License-Identifier: Apache-2.0
"""prepare: a folder becomes a DVC project that a plain `dvc` understands; done twice, it changes nothing.

What is ours stands in `.dvc/config.local`, which DVC keeps out of git: the paths are this machine's. A project that
used DVC before keeps its cache and its default remote; ours is one more remote, `mlops`.

`cache.type` is `reflink, copy`: hard links and symbolic links would make the project's files read-only and let an
append in place change the cache; on file systems without copy-on-write the price is a second copy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dvc.config import ConfigError
from dvc.repo import Repo
from scmrepo.exceptions import SCMError
from scmrepo.git import Git

from mlops.chassis.errors import RejectedError
from mlops.versioning.adapters.dvc_transfer import REMOTE
from mlops.versioning.adapters.remotes import refuse_missing_driver

_LINKS = ["reflink", "copy"]


def prepare(folder: str, remote: str, cache: str) -> None:
    """Make or complete the DVC project in *folder*."""
    refuse_missing_driver(remote)
    root = Path(folder)
    if not root.is_dir():
        raise RejectedError(
            f"the project's folder {folder!r} does not exist; register the project again"
        )
    fresh = not (root / ".dvc").is_dir() or _died(root / ".dvc")
    if fresh:
        _init(root)
    if not _is_ours(root, remote, cache):
        try:
            _configure(root, remote, cache, fresh=fresh)
        except ConfigError as error:
            raise broken(folder, error) from error


def broken(folder: str, error: ConfigError) -> RejectedError:
    """Return the refusal of a project whose configuration DVC cannot read."""
    reason = " ".join(str(error).split()).rstrip(".")
    return RejectedError(f"{reason}; correct the configuration in {str(Path(folder) / '.dvc')!r}")


def _died(own: Path) -> bool:
    # Killed while it was made; one with more in it is somebody's, and nothing of it may go.
    return {entry.name for entry in own.iterdir()} <= {"tmp", ".gitignore"}


def _init(root: Path) -> None:
    top = _git_top(root)
    subdir = top not in (None, root.resolve())
    Repo.init(str(root), no_scm=top is None, subdir=subdir, force=True).close()


def _git_top(root: Path) -> Path | None:
    """Return the top of the git work tree, or None where there is none or it ignores the folder."""
    try:
        git: Any = Git(str(root), search_parent_directories=True)
    except SCMError:
        return None
    try:
        if git.is_ignored(str(root.resolve() / ".dvc" / "config")):
            return None
        return Path(git.root_dir).resolve()
    finally:
        git.close()


def _is_ours(root: Path, remote: str, cache: str) -> bool:
    local = root / ".dvc" / "config.local"
    lines = {line.strip() for line in local.read_text().splitlines()} if local.is_file() else set()
    has_our_cache = f"type = {', '.join(_LINKS)}" in lines
    return f"url = {remote}" in lines and (not has_our_cache or f"dir = {cache}" in lines)


def _configure(root: Path, remote: str, cache: str, *, fresh: bool) -> None:
    with Repo(str(root)) as repo:
        has_default = bool(repo.config["core"].get("remote"))
        with repo.config.edit("local", validate=False) as local:
            local.setdefault("remote", {})[REMOTE] = {"url": remote}
            core = local.setdefault("core", {})
            core.update(analytics=False, check_update=False)
            if not has_default:
                core["remote"] = REMOTE
            # By its links a cache is known as ours: it moves with the installation, another one stays.
            if fresh or local.get("cache", {}).get("type") == _LINKS:
                local["cache"] = {"dir": cache, "type": _LINKS}
