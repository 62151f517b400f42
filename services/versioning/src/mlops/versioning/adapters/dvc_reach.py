# SPDX-License-Identifier: Apache-2.0
"""DvcReach: can a remote be asked, and does it hold what it should? A folder by stat, another one by DVC's client."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from mlops.chassis.errors import UnavailableError
from mlops.chassis.sidecar import Sidecar
from mlops.versioning.ports import Place

# Longer than a client tries a server that is away.
_ANSWER = timedelta(minutes=5)
_STAT_S = 20.0
# It is asked every few minutes, for all projects in a row.
_IDLE = timedelta(seconds=5)


class DvcReach:
    """Keeps a process only while it asks."""

    def __init__(self, own: Mapping[str, str], stat_s: float = _STAT_S) -> None:
        self._worker = Sidecar("mlops.versioning.adapters.people_worker", env=own, idle=_IDLE)
        self._stat_s = stat_s
        self._looks: dict[str, asyncio.Task[None]] = {}

    async def touch(self, place: Place, oid: str) -> None:
        """Look for an object; raise UnavailableError when it is not to be had."""
        if "://" not in place.remote:
            await self._stat(place.remote, oid)
            return
        await self._worker.call(
            "touch", _ANSWER, folder=place.folder, remote=place.remote, cache=place.cache, oid=oid
        )

    async def close(self) -> None:
        """End the process."""
        await self._worker.close()

    async def _stat(self, remote: str, oid: str) -> None:
        # A share whose server is gone may hold a thread for ever: one, and not one more at each look.
        look = self._looks.get(remote) or asyncio.create_task(asyncio.to_thread(_look, remote, oid))
        self._looks[remote] = look
        done, _ = await asyncio.wait({look}, timeout=self._stat_s)
        if not done:
            raise UnavailableError(
                f"remote {remote}: no answer within {self._stat_s:g} s; see whether what is mounted there still is"
            )
        del self._looks[remote]
        look.result()


def _look(remote: str, oid: str) -> None:
    root = Path(remote)
    try:
        root.stat()
        (root / "files" / "md5" / oid[:2] / oid[2:]).stat()
    except FileNotFoundError as error:
        gone = "it is not there" if not root.is_dir() else f"it lacks {oid} of the newest version"
        raise UnavailableError(
            f"remote {remote}: {gone}; mount it, or bring its files back (`mlops data push` brings what the cache has)"
        ) from error
    except OSError as error:
        raise UnavailableError(
            f"remote {remote}: {error.strerror}; make the folder readable for the platform's user"
        ) from error
