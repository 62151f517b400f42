# SPDX-License-Identifier: Apache-2.0
"""Contents of datasets, as they lie in the platform's cache: `GET /api/v1/data/object`, whole or in ranges."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from mlops.gateway.errors import CallerError
from mlops.gateway.http.callers import allow
from mlops.gateway.ports import SpokenBus

_ADDRESS = re.compile(r"[0-9a-f]{32}(\.dir)?")
_BINARY: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}


class Data:
    """Streams an object of a version; which file that is, versioning says."""

    def __init__(self, bus: SpokenBus) -> None:
        self._bus = bus

    def router(self) -> APIRouter:
        """Return its path."""
        router = APIRouter(prefix="/api/v1/data", tags=["queries"])
        add = router.add_api_route
        add(
            "/object",
            self.object,
            response_model=None,
            response_class=FileResponse,
            responses=_BINARY,
        )
        add("/object", self.object, methods=["HEAD"], response_model=None, include_in_schema=False)
        return router

    async def object(
        self,
        request: Request,
        project: str,
        name: str,
        hash_: Annotated[str, Query(alias="hash", description="The object's address, an MD5.")],
        version: Annotated[str, Query(description="A number or an alias; empty: newest.")] = "",
    ) -> Response:
        """Answer the bytes of a file of a version, or of its listing (`….dir`); ranges and `If-Range` are understood."""
        allow(request.scope, project, "read")
        if not _ADDRESS.fullmatch(hash_):
            fix = "`GET /api/v1/query/versioning/files` tells the addresses of a version"
            raise CallerError(422, "this is no address of a content", hash_[:64], fix)
        asked = {"project": project, "name": name, "hash": hash_}
        if version:
            asked["version"] = version
        found = await self._bus.ask("versioning", "object", asked)
        if not found.get("ready"):
            raise CallerError(
                503,
                "the content is being fetched from the remote",
                hash_,
                "ask again",
                retry_after_s=2,
            )
        return await _content(str(found["place"]), hash_)


async def _content(place: str, address: str) -> Response:
    stats = await asyncio.to_thread(_looked_at, place)
    if stats is None:
        raise CallerError(
            503,
            "the content is not in the cache that the gateway sees",
            place,
            "open the dataset again; where gateway and versioning run on two machines, mount the cache on both",
            retry_after_s=2,
        )
    # What an address names never changes.
    headers = {"ETag": f'"{address}"', "Cache-Control": "private, immutable, max-age=31536000"}
    return FileResponse(
        place, headers=headers, media_type="application/octet-stream", stat_result=stats
    )


def _looked_at(place: str) -> os.stat_result | None:
    try:
        found = Path(place).stat()
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None
