# SPDX-License-Identifier: Apache-2.0
"""prepare: a folder becomes a DVC project that a plain `dvc` understands; done twice, it changes nothing.

What is ours stands in `.dvc/config.local`, which DVC keeps out of git: the paths are this machine's. A project that
used DVC before keeps its cache and its default remote; ours is one more remote, `mlops`.

`cache.type` is `reflink, copy`: hard links and symbolic links would make the project's files read-only and let an
append in place change the cache; on file systems without copy-on-write the price is a second copy.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from dvc.config import Config, ConfigError
from dvc.repo import Repo
from scmrepo.exceptions import SCMError
from scmrepo.git import Git

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.versioning.adapters.dvc_transfer import REMOTE
from mlops.versioning.adapters.remotes import refuse_missing_driver

# The beginning of the names of remotes that were ours before, and have options of their own.
ASIDE = f"{REMOTE}-before-"
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
    try:
        if not _is_ours(root, remote, cache):
            _configure(root, remote, cache, fresh=fresh)
    except ConfigError as error:
        raise broken(folder, error) from error


def refuse_other(repo: Repo, remote: str) -> None:
    """Raise UnavailableError where our remote of an opened project is another one by now, or by a moment ago.

    While versions move to another remote, who asks the old one may find the new one in its place, and be told of that.
    """
    if remote_of(repo) != remote:
        raise UnavailableError(
            f"the remote of {repo.root_dir!r} is {remote_of(repo)!r} just now, not {remote!r}; try again when its versions "
            "have been brought there"
        )


def remote_of(repo: Repo) -> str | None:
    """Return where our remote of an opened project is."""
    url: str | None = repo.config["remote"].get(REMOTE, {}).get("url")
    return url


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
    if not local.is_file():
        return False
    # As DVC reads it: a path with a comma or a `#` stands there in quotes.
    held = Config.load_file(str(local))
    own = held.get("cache", {})
    has_our_cache = own.get("type") == _LINKS
    url = held["remote"].get(REMOTE, {}).get("url")
    return bool(url == remote and (not has_our_cache or own.get("dir") == cache))


def _configure(root: Path, remote: str, cache: str, *, fresh: bool) -> None:
    with Repo(str(root)) as repo:
        has_default = bool(repo.config["core"].get("remote"))
        with repo.config.edit("local", validate=False) as local:
            _lead(local["remote"], remote)
            core = local.setdefault("core", {})
            core.update(analytics=False, check_update=False)
            if not has_default:
                core["remote"] = REMOTE
            # By its links a cache is known as ours: it moves with the installation, another one stays.
            if fresh or local.get("cache", {}).get("type") == _LINKS:
                local["cache"] = {"dir": cache, "type": _LINKS}


def _lead(remotes: dict[str, dict[str, Any]], url: str) -> None:
    """Let ours be *url*, with the credentials that people gave it; those of where it was are set aside, not lost.

    While versions move to another remote both are in use, by turns.
    """
    before = remotes.pop(REMOTE, None)
    if before is not None and len(before) > 1:
        remotes[_aside(before.get("url", ""))] = before
    remotes[REMOTE] = {**remotes.pop(_aside(url), {}), "url": url}


def _aside(url: str) -> str:
    return ASIDE + hashlib.sha256(url.encode()).hexdigest()[:12]
