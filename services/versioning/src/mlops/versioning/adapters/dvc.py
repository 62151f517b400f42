# SPDX-License-Identifier: Apache-2.0
"""DvcDatasets: contents kept by DVC, which runs in a sidecar and leaves when idle."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from mlops.chassis.sidecar import IDLE, Sidecar
from mlops.versioning.model import Content
from mlops.versioning.ports import Place

_QUICK = timedelta(minutes=2)
_LONG = timedelta(hours=2)


class DvcDatasets:
    """Call the DVC worker; calls of all projects are answered one at a time, in order."""

    def __init__(self, scratch: Path, idle: timedelta = IDLE) -> None:
        # DVC's own places: without them it writes to the user's and the system's configuration.
        own = {
            "DVC_NO_ANALYTICS": "1",
            "DVC_GLOBAL_CONFIG_DIR": str(scratch / "dvc" / "global"),
            "DVC_SYSTEM_CONFIG_DIR": str(scratch / "dvc" / "system"),
            "DVC_SITE_CACHE_DIR": str(scratch / "dvc" / "site-cache"),
        }
        self._worker = Sidecar("mlops.versioning.adapters.dvc_worker", env=own, idle=idle)

    async def provision(self, place: Place) -> None:
        """Make the project's folder known to DVC."""
        await self._worker.call("provision", _QUICK, **_where(place))

    async def snapshot(self, place: Place, path: str) -> Content:
        """Keep what stands at *path* in the cache and on the remote."""
        found = await self._worker.call("snapshot", _LONG, **_where(place), path=path)
        return Content(
            oid=str(found["oid"]),
            size_bytes=int(found["size_bytes"]),
            files=int(found["files"]),
            dvc_text=str(found["dvc_text"]),
        )

    async def push(self, place: Place, oids: Sequence[str]) -> int:
        """Transfer what the remote lacks."""
        return int(await self._worker.call("push", _LONG, **_where(place), oids=list(oids)))

    async def restore(self, place: Place, path: str, content: Content) -> None:
        """Put *content* at *path*."""
        await self._worker.call(
            "restore", _LONG, **_where(place), path=path, oid=content.oid, dvc_text=content.dvc_text
        )

    async def close(self) -> None:
        """End the worker."""
        await self._worker.close()


def _where(place: Place) -> dict[str, str]:
    return {"folder": place.folder, "remote": place.remote, "cache": place.cache}
