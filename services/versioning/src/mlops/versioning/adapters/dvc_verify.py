# SPDX-License-Identifier: Apache-2.0
"""verify: are objects still what their address says? A damaged or missing one is put right from the other side.

The cache, and a remote that is a folder, are read again, on all cores; what another remote can prove without being read
is `dvc_there.py`'s. What is damaged on both sides is moved out of the way, into `damaged`
beside the objects: nobody is handed it, and whoever wants to may still look into it.
"""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dvc.repo import Repo

from mlops.versioning.adapters.dvc_copy import Tell, absent, copy, folder_of, silent
from mlops.versioning.adapters.dvc_pace import Pace
from mlops.versioning.adapters.dvc_restore import contents
from mlops.versioning.adapters.dvc_store import Store
from mlops.versioning.adapters.dvc_there import look
from mlops.versioning.adapters.dvc_transfer import REMOTE

_WORKERS = os.cpu_count() or 1


def verify(
    repo: Repo,
    oids: list[str],
    *,
    repair: bool,
    tell: Tell,
    pace: Pace | None = None,
    deep: bool = False,
) -> dict[str, Any]:
    """Read the objects of *oids* again; return what `Verified` says."""
    sides = _Sides(repo, pace, repair=repair, deep=deep)
    # The listings first: only a good one says which files there are.
    sides.check({oid for oid in oids if oid.endswith(".dir")}, silent)
    named = {oid: sides.named(oid) for oid in oids}
    files = {one for found in named.values() for one in found or () if not one.endswith(".dir")}
    sides.check(files, tell)
    lost = {oid for oid, found in named.items() if found is None or not found <= sides.whole}
    return {
        "checked": sides.checked,
        "size_bytes": sides.size_bytes,
        "repaired": sides.repaired,
        "repaired_there": sides.repaired_there,
        "unread": len(sides.unread),
        "lost": sorted(lost),
    }


class _Sides:
    """Cache and remote, and what was found on them so far."""

    def __init__(self, repo: Repo, pace: Pace | None, *, repair: bool, deep: bool) -> None:
        self._cache_odb, self._remote_odb = repo.cache.local, repo.cloud.get_remote_odb(REMOTE)
        self._cache = Store(self._cache_odb.path)
        self._remote = folder_of(self._remote_odb)
        self._repair, self._deep = repair, deep
        self._pace = pace
        self.whole: set[str] = set()
        self.unread: set[str] = set()
        self.checked = self.size_bytes = self.repaired = self.repaired_there = 0

    def named(self, oid: str) -> set[str] | None:
        """Return the addresses of a content, its listing included; None when no listing is to be had."""
        if not oid.endswith(".dir"):
            return {oid}
        if oid not in self.whole and not self._cache.sound(oid):
            return None
        return {oid, *contents(self._cache, oid).values()}

    def check(self, oids: set[str], tell: Tell) -> None:
        """Look at *oids* on both sides and, if wished, put right what one side has whole."""
        # Half of the way where the other side answers object by object.
        whole = len(oids) * (1 if self._remote else 2)
        here = self._sound_here(oids, lambda done, _: tell(done, whole))
        found = look(
            self._remote_odb,
            oids,
            self._cache,
            here,
            deep=self._deep,
            pace=self._pace,
            tell=lambda done, of: tell(whole - of + done, whole),
        )
        there = found.whole
        self.checked += len(oids)
        if self._repair:
            back = self._bring_back(there - here)
            again = self._bring_again(here - there, found.damaged)
            self._set_aside(oids - here - there)
            self.repaired += len(back | again)
            self.repaired_there += len(again)
            # What was fetched has been read.
            found.unread -= there - here
            here, there = here | back, there | again
        self.unread |= found.unread
        self.whole |= here & there

    def _sound_here(self, oids: set[str], tell: Tell) -> set[str]:
        found, done = set(), 0
        with ThreadPoolExecutor(_WORKERS) as threads:
            for oid, sound in zip(oids, threads.map(self._cache.sound, oids), strict=True):
                done += 1
                tell(done, len(oids))
                if sound:
                    found.add(oid)
                    self.size_bytes += os.stat(self._cache.place(oid)).st_size
        return found

    def _bring_back(self, oids: set[str]) -> set[str]:
        if self._remote is not None:
            return _brought(self._remote, self._cache, oids)
        # What is there, damaged or not, would be a reason to bring nothing.
        for oid in oids:
            self._cache.put_aside(oid)
        try:
            self._fetch(oids)
        except ValueError:  # one is damaged there, too: the others are not to suffer
            for oid in absent(self._cache_odb, oids):
                with contextlib.suppress(ValueError):
                    self._fetch({oid})
        return {oid for oid in oids if self._cache.sound(oid)}

    def _fetch(self, oids: set[str]) -> None:
        copy(self._remote_odb, self._cache_odb, oids, silent, self._pace, check=True)

    def _bring_again(self, oids: set[str], damaged: set[str]) -> set[str]:
        if self._remote is not None:
            return _brought(self._cache, self._remote, oids)
        odb = self._remote_odb
        # DVC's transfer passes over what is there.
        for oid in oids & damaged:
            odb.fs.remove(odb.oid_to_path(oid))
        sure = copy(self._cache_odb, odb, oids, silent, self._pace, check=False)
        return sure | ((oids - sure) - absent(odb, oids - sure))

    def _set_aside(self, oids: set[str]) -> None:
        for oid in oids:
            self._cache.put_aside(oid)
            if self._remote is not None:
                self._remote.put_aside(oid)


def _brought(source: Store, target: Store, oids: set[str]) -> set[str]:
    found = set()
    for oid in oids:
        with contextlib.suppress(ValueError):
            target.bring(oid, source, check=True)
            found.add(oid)
    return found
