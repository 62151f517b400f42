# SPDX-License-Identifier: Apache-2.0
"""The versions a run reads, as its tags: the newest of each dataset of the project, or the ones this process has opened."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

PREFIX = "mlops.dataset."
_MOST = 64


def dataset_tags(answer: Any) -> dict[str, str]:
    """Return `mlops.dataset.<name>` = `<version>@<hash>` from what versioning answers; nothing from anything else."""
    versions = answer.get("versions") if isinstance(answer, Mapping) else None
    newest: dict[str, tuple[int, str]] = {}
    for one in versions if isinstance(versions, list) else ():
        try:
            found = int(one["version"]), str(one["hash"])
            name = str(one["name"])
        except (KeyError, TypeError, ValueError):
            continue
        newest[name] = max(found, newest.get(name, found))
    pairs = sorted(newest.items())[:_MOST]
    return {f"{PREFIX}{name}": f"{version}@{hash_}" for name, (version, hash_) in pairs}


class Opened:
    """Which versions this process has opened; what it says of a run is never taken back by what is newest."""

    def __init__(self) -> None:
        self._tags: dict[str, dict[str, str]] = {}
        self._one_at_a_time = threading.Lock()

    def note(
        self, project: str, tag: Mapping[str, str], tell: Callable[[Mapping[str, str]], None]
    ) -> None:
        """Keep the tag of a version, and *tell* it."""
        with self._one_at_a_time:
            self._tags.setdefault(project, {}).update(tag)
            tell(tag)

    def tell(
        self, project: str, tags: Mapping[str, str], tell: Callable[[Mapping[str, str]], None]
    ) -> None:
        """*tell* the tags of a run that begins, those of opened versions instead of their own."""
        with self._one_at_a_time:
            tell({**tags, **self._tags.get(project, {})})

    def after_fork(self) -> None:
        """Let a child go on that was forked while another thread told something."""
        self._one_at_a_time = threading.Lock()


opened = Opened()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=opened.after_fork)
