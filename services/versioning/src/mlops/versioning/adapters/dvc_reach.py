# SPDX-License-Identifier: Apache-2.0
"""DvcReach: can a remote be asked, and does it hold what it should? A folder by stat, another one by DVC's client."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

from mlops.chassis.errors import UnavailableError
from mlops.chassis.sidecar import Sidecar
from mlops.versioning.adapters.aside import Aside
from mlops.versioning.ports import Place

# Remotes are asked one after another: those that are away must not keep the others waiting for long.
_ANSWER = timedelta(minutes=1)
# It is asked every few minutes, for all projects in a row.
_IDLE = timedelta(seconds=5)


class DvcReach:
    """Keeps a process only while it asks."""

    def __init__(self, own: Mapping[str, str]) -> None:
        self._worker = Sidecar("mlops.versioning.adapters.people_worker", env=own, idle=_IDLE)
        self._aside: Aside[bool] = Aside()

    async def touch(self, place: Place, oid: str) -> bool:
        """Look for an object; raise UnavailableError when it is not to be had."""
        if "://" not in place.remote:
            return await self._aside.look(place.remote, partial(_look, place.remote, oid))
        told = await self._worker.call(
            "touch", _ANSWER, folder=place.folder, remote=place.remote, cache=place.cache, oid=oid
        )
        return bool(told)

    async def close(self) -> None:
        """End the process."""
        await self._worker.close()


def _look(remote: str, oid: str) -> bool:
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
    return True
