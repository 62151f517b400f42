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

from dvc.repo import Repo
from scmrepo.exceptions import SCMError
from scmrepo.git import Git

from mlops.chassis.errors import RejectedError
from mlops.versioning.adapters.dvc_transfer import REMOTE


def prepare(folder: str, remote: str, cache: str) -> None:
    """Make or complete the DVC project in *folder*."""
    root = Path(folder)
    if not root.is_dir():
        raise RejectedError(
            f"the project's folder {folder!r} does not exist; register the project again"
        )
    fresh = not (root / ".dvc").is_dir()
    if fresh:
        _init(root)
    if not _is_ours(root, remote):
        _configure(root, remote, cache, fresh=fresh)


def _init(root: Path) -> None:
    top = _git_top(root)
    Repo.init(str(root), no_scm=top is None, subdir=top not in (None, root.resolve())).close()


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


def _is_ours(root: Path, remote: str) -> bool:
    local = root / ".dvc" / "config.local"
    return local.is_file() and f"url = {remote}\n" in local.read_text() + "\n"


def _configure(root: Path, remote: str, cache: str, *, fresh: bool) -> None:
    with Repo(str(root)) as repo:
        has_default = bool(repo.config["core"].get("remote"))
        with repo.config.edit("local", validate=False) as local:
            local.setdefault("remote", {})[REMOTE] = {"url": remote}
            core = local.setdefault("core", {})
            core.update(analytics=False, check_update=False)
            if not has_default:
                core["remote"] = REMOTE
            if fresh:
                local["cache"] = {"dir": cache, "type": ["reflink", "copy"]}
