# SPDX-License-Identifier: Apache-2.0
"""MemoryDatasets: contents in dicts, with DVC's addresses but without DVC, for tests."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.versioning.adapters.by_hand import named_by_hand
from mlops.versioning.adapters.paths import existing, files_in, locate
from mlops.versioning.model import Content
from mlops.versioning.ports import Place, Progress, Room, Swept, Told, Verified

_LISTING = ".dir"
_READ_ONLY = 0o444
_GB = 1e9


@dataclass
class MemoryDatasets:
    """Objects by address; the project's files are real. `cache` and `remote` are for looking and breaking."""

    cache: dict[str, bytes] = field(default_factory=dict)
    remote: dict[str, bytes] = field(default_factory=dict)
    provisioned: list[Place] = field(default_factory=list)
    born: dict[str, timedelta] = field(default_factory=dict)
    passed: timedelta = timedelta()

    def age(self, by: timedelta) -> None:
        """Let time pass: everything that is here is that much older."""
        self.passed += by

    async def provision(self, place: Place) -> None:
        """Note the place."""
        locate(place.folder, "any")
        self.provisioned.append(place)

    async def snapshot(
        self, place: Place, path: str, room: Room | None = None, told: Told | None = None
    ) -> Content:
        """Read the files and keep them in both places."""
        at = existing(place.folder, path)
        read = {rel: _at(at, rel).read_bytes() for rel in files_in(place.folder, at, os.walk)}
        size = sum(len(content) for content in read.values())
        if told:
            told(Progress("read", size, size, "bytes"))
        objects = {_md5(content): content for content in read.values()}
        oid = next(iter(objects), "") if at.is_file() else _listed(read, objects)
        self.cache.update(objects)
        self.born.update(dict.fromkeys(objects, self.passed))
        self._refuse_beyond(room, oid)
        await self.push(place, [oid], told)
        return Content(oid, size, len(read), f"memory: {oid}\n")

    async def forget(self, place: Place, path: str) -> None:
        """Look whether it is there; everything is read each time."""
        existing(place.folder, path)

    async def push(self, _: Place, oids: Sequence[str], told: Told | None = None) -> int:
        """Copy what the remote lacks."""
        wanted = {one for oid in oids for one in (oid, *self._files(oid).values())}
        if gone := wanted - self.cache.keys() - self.remote.keys():
            raise UnavailableError(f"neither cache nor remote holds {min(gone)}")
        missing = wanted - self.remote.keys()
        self.remote.update({oid: self.cache[oid] for oid in missing})
        if told and missing:
            told(Progress("push", len(missing), len(missing), "files"))
        return len(missing)

    async def restore(
        self,
        place: Place,
        path: str,
        content: Content,
        *,
        held: Sequence[str] = (),
        read_only: bool = False,
        told: Told | None = None,
    ) -> None:
        """Write the files back."""
        at = locate(place.folder, path)
        wanted, named = self._fetched(content.oid), self._all([content.oid, *held])
        for rel in files_in(place.folder, at, os.walk) if at.exists() else ():
            if _md5(_at(at, rel).read_bytes()) not in named & (
                self.cache.keys() | self.remote.keys()
            ):
                raise RejectedError(
                    f"{path!r} has changes that no version holds (in {rel!r}); add it first"
                )
        _clear(at)
        if content.oid.endswith(_LISTING):
            at.mkdir(parents=True, exist_ok=True)
        for done, (rel, oid) in enumerate(wanted.items(), 1):
            _write(_at(at, rel), self.cache[oid], read_only=read_only)
            if told:
                told(Progress("restore", done, len(wanted), "files"))

    async def files(self, place: Place, content: Content) -> dict[str, str]:
        """Write the objects where DVC keeps them, since they are to be read by path."""
        found = self._fetched(content.oid)
        return await asyncio.to_thread(self._shown, place, found)

    async def verify(
        self,
        _: Place,
        oids: Sequence[str],
        *,
        repair: bool = True,
        deep: bool = False,  # noqa: ARG002 - nothing here is far away
        told: Told | None = None,
    ) -> Verified:
        """Hash everything again."""
        before = {one for oid in oids for one in self._whole(oid)}
        named = {one for oid in oids for one in (oid, *self._files(oid).values())}
        broken = {one for one in named if not _is(self.remote.get(one, b""), one)}
        repaired = self._level(named - before) if repair else 0
        lost = [oid for oid in oids if not {oid, *self._files(oid).values()} <= self._whole(oid)]
        size = sum(len(self.cache[oid]) for oid in named & self.cache.keys())
        if told:
            told(Progress("verify", len(named), len(named), "files"))
        there = len(broken & self.remote.keys()) if repair else 0
        return Verified(len(named), size, repaired, tuple(sorted(set(lost))), there)

    async def sweep(
        self,
        place: Place,
        dead: Sequence[str],
        live: Sequence[str],
        *,
        projects: Sequence[Place] = (),
        unnamed: bool = False,
        own_remotes: str = "",
        grace: timedelta,
        dry: bool,
        told: Told | None = None,
    ) -> Swept:
        """Delete what only dead contents name."""
        for oid in live:
            if oid.endswith(_LISTING) and not self._either(oid) and (dead or unnamed):
                raise UnavailableError(f"the listing {oid} of a version is nowhere")
        by_hand = {
            oid
            for one in projects
            for oid in named_by_hand(one.folder)
            if one.project != place.project or oid not in dead
        }
        kept = self._all(live) | self._all(sorted(by_hand))
        named = self._all(dead) - kept
        is_own = bool(own_remotes) and Path(place.remote).is_relative_to(own_remotes)
        held = [
            (side, oid)
            for side, whole in ((self.cache, unnamed), (self.remote, unnamed and is_own))
            for oid in (side.keys() - kept if whole else named & side.keys())
            if self.born.get(oid, self.passed) + grace < self.passed
        ]
        swept = Swept(len(held), sum(len(side[oid]) for side, oid in held))
        if told and held:
            told(Progress("count" if dry else "delete", len(held), len(held), "objects"))
        for side, oid in held if not dry else ():
            del side[oid]
        return swept

    def _either(self, oid: str) -> bytes | None:
        sides = (self.cache.get(oid), self.remote.get(oid))
        return next((one for one in sides if one is not None and _is(one, oid)), None)

    def _files(self, oid: str) -> dict[str, str]:
        if not oid.endswith(_LISTING):
            return {"": oid}
        lines = json.loads(self._either(oid) or b"[]")
        return {str(line["relpath"]): str(line["md5"]) for line in lines}

    def _all(self, oids: Sequence[str]) -> set[str]:
        return {one for oid in oids for one in (oid, *self._files(oid).values())}

    def _fetched(self, oid: str) -> dict[str, str]:
        wanted = self._files(oid)
        for one in {oid, *wanted.values()} - self.cache.keys():
            if one not in self.remote:
                raise UnavailableError(f"neither cache nor remote holds {one}")
            self.cache[one] = self.remote[one]
        return wanted

    def _whole(self, oid: str) -> set[str]:
        return {
            one
            for one in (oid, *self._files(oid).values())
            if all(one in side and _is(side[one], one) for side in (self.cache, self.remote))
        }

    def _level(self, oids: set[str]) -> int:
        good = {oid: content for oid in oids if (content := self._either(oid)) is not None}
        self.cache.update(good)
        self.remote.update(good)
        for oid in oids - good.keys():
            self.cache.pop(oid, None)
            self.remote.pop(oid, None)
        return len(good)

    def _refuse_beyond(self, room: Room | None, oid: str) -> None:
        if room is None:
            return
        held, more = self._all(room.held), {oid, *self._files(oid).values()}
        used, new = (
            sum(len(self.cache[one]) for one in oids & self.cache.keys())
            for oids in (held, more - held)
        )
        if new and used + new > room.limit_bytes:
            raise RejectedError(
                f"the project's versions hold {used / _GB:.3f} GB and this content adds {new / _GB:.3f} GB: more "
                f"than [data] quota_gb = {room.limit_bytes / _GB:g}; give versions up, or raise quota_gb"
            )

    def _shown(self, place: Place, found: dict[str, str]) -> dict[str, str]:
        shown = {
            rel: Path(place.cache, "files", "md5", oid[:2], oid[2:]) for rel, oid in found.items()
        }
        for rel, file in shown.items():
            if not file.exists():
                _write(file, self.cache[found[rel]], read_only=True)
        return {rel: str(file) for rel, file in shown.items()}


def _at(place: Path, rel: str) -> Path:
    return place / rel if rel else place


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _is(content: bytes, oid: str) -> bool:
    return _md5(content) == oid.removesuffix(_LISTING)


def _listed(read: dict[str, bytes], objects: dict[str, bytes]) -> str:
    lines = [{"md5": _md5(read[rel]), "relpath": rel} for rel in sorted(read)]
    listing = json.dumps(lines, sort_keys=True).encode()
    oid = _md5(listing) + _LISTING
    objects[oid] = listing
    return oid


def _write(file: Path, content: bytes, *, read_only: bool) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_bytes(content)
    if read_only:
        file.chmod(_READ_ONLY)


def _clear(place: Path) -> None:
    if place.is_file():
        place.unlink()
    for entry in sorted(place.rglob("*"), reverse=True) if place.is_dir() else []:
        entry.rmdir() if entry.is_dir() else entry.unlink()
    if place.is_dir():
        place.rmdir()
