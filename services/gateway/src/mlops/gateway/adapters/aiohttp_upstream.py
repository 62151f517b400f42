# SPDX-License-Identifier: Apache-2.0
"""AiohttpUpstream: a pooled HTTP client for a server behind the gateway; bodies pass through piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
from yarl import URL

from mlops.gateway.adapters.aiohttp_failures import ADDED_BY_AIOHTTP, FAILURES, translated
from mlops.gateway.ports import Streamed

_CONNECT = timedelta(seconds=5)
_PIECE = 64 * 1024
_CONNECTIONS = 256


class AiohttpUpstream:
    """A server at *url*. Make it inside the running loop, close it at stop."""

    def __init__(
        self,
        url: str,
        quiet: timedelta,
        connect: timedelta = _CONNECT,
        connections: int = _CONNECTIONS,
    ) -> None:
        self.url = url.rstrip("/")
        self._quiet_s = quiet.total_seconds()
        self._connect_s = connect.total_seconds()
        # uvicorn closes idle connections after 75 s; ours are let go before, so that none is half-dead.
        connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=ADDED_BY_AIOHTTP,
            max_line_size=64 * 1024,
            max_field_size=64 * 1024,
        )

    @asynccontextmanager
    async def open(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: AsyncIterator[bytes] | None,
    ) -> AsyncIterator[Streamed]:
        """Send a request, and give its answer while it comes."""
        # `connect` bounds the wait for a free connection, too.
        limits = aiohttp.ClientTimeout(total=None, connect=self._connect_s, sock_read=self._quiet_s)
        try:
            async with self._session.request(
                method,
                URL(f"{self.url}{target}", encoded=True),
                headers=headers,
                data=body,
                timeout=limits,
                allow_redirects=False,
            ) as response:
                found = [(name.lower(), value) for name, value in response.headers.items()]
                yield Streamed(response.status, found, _pieces(response))
        except FAILURES as error:
            raise translated(error, self._connect_s, self._quiet_s) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for piece in response.content.iter_chunked(_PIECE):
        yield piece
