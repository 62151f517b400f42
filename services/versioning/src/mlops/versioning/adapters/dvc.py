# SPDX-License-Identifier: Apache-2.0
"""DvcDatasets: contents kept by DVC, which runs in a sidecar and leaves when idle."""

from __future__ import annotations

import asyncio
import hashlib
import stat
import time
import zlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from mlops.chassis.sidecar import IDLE, Hear, Sidecar
from mlops.versioning.adapters.dvc_listing import listed
from mlops.versioning.adapters.dvc_places import own_places
from mlops.versioning.model import Content
from mlops.versioning.ports import Place, Progress, Room, Swept, Told, Verified

_QUICK = timedelta(minutes=2)
# As long a call may tell nothing: a very large file is read, a server looks at all that it holds.
_LONG = timedelta(hours=2)
_WORKERS = 2
_PROTECTED = 0o444


class DvcDatasets:
    """Call the DVC workers: two, so that one project's long call does not stop all others.

    A project is always served by the same one, one call at a time.
    """

    def __init__(self, scratch: Path, idle: timedelta = IDLE) -> None:
        self._workers = [
            Sidecar("mlops.versioning.adapters.dvc_worker", env=own_places(scratch), idle=idle)
            for _ in range(_WORKERS)
        ]

    async def provision(self, place: Place) -> None:
        """Make the project's folder known to DVC."""
        await self._worker(place).call("provision", _QUICK, **_where(place))

    async def snapshot(
        self, place: Place, path: str, room: Room | None = None, told: Told | None = None
    ) -> Content:
        """Keep what stands at *path* in the cache and on the remote."""
        found = await self._worker(place).call(
            "snapshot",
            _LONG,
            hear=_hearing(told),
            **_moving(place),
            path=path,
            held=list(room.held) if room else [],
            limit_bytes=room.limit_bytes if room else None,
        )
        return Content(
            oid=str(found["oid"]),
            size_bytes=int(found["size_bytes"]),
            files=int(found["files"]),
            dvc_text=str(found["dvc_text"]),
        )

    async def forget(self, place: Place, path: str) -> None:
        """Let the next snapshot read everything at *path*."""
        await self._worker(place).call("forget", _QUICK, **_where(place), path=path)

    async def push(self, place: Place, oids: Sequence[str], told: Told | None = None) -> int:
        """Transfer what the remote lacks."""
        return int(
            await self._worker(place).call(
                "push", _LONG, hear=_hearing(told), **_moving(place), oids=list(oids)
            )
        )

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
        """Put *content* at *path*."""
        await self._worker(place).call(
            "restore",
            _LONG,
            hear=_hearing(told),
            **_moving(place),
            path=path,
            oid=content.oid,
            size_bytes=content.size_bytes,
            dvc_text=content.dvc_text,
            held=list(held),
            read_only=read_only,
        )

    async def files(self, place: Place, content: Content) -> dict[str, str]:
        """Look into the shared cache; ask the worker, which may be busy for long, only for what is not whole there."""
        found = await asyncio.to_thread(_seen, place.cache, content)
        if found is None:
            asked = await self._worker(place).call(
                "files",
                _LONG,
                hear=_unheard,
                **_moving(place),
                oid=content.oid,
                size_bytes=content.size_bytes,
            )
            listed = await asyncio.to_thread(_listed, Path(str(asked)), content.oid)
            found = {rel: str(file) for rel, file in listed.items()}
        return found

    async def verify(
        self,
        place: Place,
        oids: Sequence[str],
        *,
        repair: bool = True,
        deep: bool = False,
        told: Told | None = None,
    ) -> Verified:
        """Read all objects of the given contents again."""
        found = await self._worker(place).call(
            "verify",
            _LONG,
            hear=_hearing(told),
            **_moving(place),
            oids=list(oids),
            repair=repair,
            deep=deep,
        )
        return Verified(
            checked=int(found["checked"]),
            size_bytes=int(found["size_bytes"]),
            repaired=int(found["repaired"]),
            lost=tuple(str(oid) for oid in found["lost"]),
            repaired_there=int(found["repaired_there"]),
            unread=int(found["unread"]),
        )

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
        """Delete what only *dead* contents name."""
        # Now, and not when the worker comes to it: what was added since then is not among the live ones.
        before = time.time() - grace.total_seconds()
        found = await self._worker(place).call(
            "sweep",
            _LONG,
            hear=_hearing(told),
            **_where(place),
            dead=list(dead),
            live=list(live),
            folders=[one.folder for one in projects],
            before=before,
            unnamed=unnamed,
            own=[one for one in (place.cache, own_remotes) if one],
            dry=dry,
        )
        return Swept(int(found["objects"]), int(found["size_bytes"]))

    async def close(self) -> None:
        """End the workers."""
        await asyncio.gather(*(worker.close() for worker in self._workers))

    def _worker(self, place: Place) -> Sidecar:
        return self._workers[zlib.crc32(place.folder.encode()) % _WORKERS]


def _unheard(_: object) -> None:
    """Hear that it goes on."""


def _hearing(told: Told | None) -> Hear:
    if told is None:
        return _unheard
    return lambda said: told(
        Progress(str(said["step"]), int(said["done"]), int(said["whole"]), str(said["unit"]))
    )


def _where(place: Place) -> dict[str, Any]:
    return {"folder": place.folder, "remote": place.remote, "cache": place.cache}


def _moving(place: Place) -> dict[str, Any]:
    return {**_where(place), "bytes_per_s": place.bytes_per_s}


def _seen(cache: str, content: Content) -> dict[str, str] | None:
    held = Path(cache) / "files" / "md5"
    try:
        found = _listed(held, content.oid)
        stats = [file.stat() for file in found.values()]
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return None
    # A writable one may have been written to: the worker reads it.
    whole = all(stat.S_IMODE(one.st_mode) == _PROTECTED for one in stats)
    if not whole or sum(one.st_size for one in stats) != content.size_bytes:
        return None
    return {rel: str(file) for rel, file in found.items()}


def _listed(held: Path, oid: str) -> dict[str, Path]:
    oids = {"": oid}
    if oid.endswith(".dir"):
        read = (held / oid[:2] / oid[2:]).read_bytes()
        if hashlib.md5(read, usedforsecurity=False).hexdigest() != oid.removesuffix(".dir"):
            raise ValueError(f"the listing {oid} is damaged")
        oids = listed(oid, read)
    return {rel: held / one[:2] / one[2:] for rel, one in oids.items()}
