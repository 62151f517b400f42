# SPDX-License-Identifier: Apache-2.0
"""Tables that callers bring as a file: `POST /api/v1/files?name=table.csv`, the bytes as the body."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import json_answer, pieces_of
from mlops.gateway.model.tables import kind_of
from mlops.gateway.ports import Files, FullShelfError, NoTableError, TooLargeError

_BINARY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Tables:
    """Takes CSV and Parquet."""

    def __init__(self, files: Files, most_bytes: int) -> None:
        self._files = files
        self._most_bytes = most_bytes

    def router(self) -> APIRouter:
        """Return its path."""
        router = APIRouter(prefix="/api/v1", tags=["intake"])
        router.add_api_route(
            "/files",
            self.take,
            methods=["POST"],
            status_code=201,
            response_model=None,
            openapi_extra=_BINARY,
        )
        return router

    async def take(
        self,
        request: Request,
        name: Annotated[str, Query(max_length=255, description="Ends with .csv or .parquet.")],
    ) -> Response:
        """Keep a table; answers `{uri, sha256, bytes}`, by which monitoring finds it."""
        kind = kind_of(name)
        if kind is None:
            raise CallerError(
                415, "neither CSV nor Parquet", name, "name the file .csv or .parquet"
            )
        self._check_length(request.headers.get("content-length", ""))
        try:
            stored = await self._files.store(kind, pieces_of(request))
        except NoTableError as error:
            fix = "send CSV with a header line in UTF-8, or Parquet"
            raise CallerError(
                400, f"the file is no {kind.name}", f"{name}: {error}", fix
            ) from error
        except TooLargeError as error:
            raise self._too_large() from error
        except FullShelfError as error:
            raise CallerError(
                507,
                "the gateway has no room for the file",
                str(error),
                "make room on its disk, or raise GATEWAY_FILES_TOTAL_BYTES, and send it again",
            ) from error
        found = {"uri": stored.uri, "sha256": stored.sha256, "bytes": stored.bytes}
        return json_answer(found, 201)

    def _check_length(self, told: str) -> None:
        if told.isdecimal() and int(told) > self._most_bytes:
            raise self._too_large()

    def _too_large(self) -> CallerError:
        return CallerError(
            413,
            "the file is too large",
            f"more than {self._most_bytes} bytes",
            "send fewer rows, or Parquet, or raise GATEWAY_FILES_MAX_BYTES",
        )
