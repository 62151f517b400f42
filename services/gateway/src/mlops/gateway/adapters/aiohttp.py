# SPDX-License-Identifier: Apache-2.0
"""AiohttpReplicas: one pooled HTTP client for all replicas; bytes in, bytes out, long answers piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import aiohttp
from yarl import URL

from mlops.gateway.adapters.aiohttp_failures import ADDED_BY_AIOHTTP, FAILURES, translated
from mlops.gateway.ports import Reply

_CONNECT_S = 2.0
_WHOLE = 1024 * 1024  # an answer of up to so many bytes is read before it is passed on
_PIECE = 256 * 1024
_EVENTS = "text/event-stream"
_URLS = 4096


class AiohttpReplicas:
    """Replicas over HTTP, which are shown *token*, and may say nothing for *quiet*.

    Make it inside the running loop, close it at stop.
    """

    def __init__(self, quiet: timedelta, token: str) -> None:
        # Replicas close idle connections after 75 s and more; ours are let go before, so that none is half-dead.
        # How many requests are under way is bounded before they come here.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
        self._quiet_s = quiet.total_seconds()
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"Authorization": f"Bearer {token}"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=ADDED_BY_AIOHTTP,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_S, sock_read=self._quiet_s
            ),
        )
        self._urls: dict[str, URL] = {}

    async def send(
        self, method: str, url: str, body: bytes | bytearray, headers: Mapping[str, str]
    ) -> Reply:
        """Ask a replica once."""
        given: bytes | bytearray | AsyncIterator[bytes] | None = body or None
        if len(body) > _WHOLE:
            headers, given = {**headers, "content-length": str(len(body))}, _pieces_of(body)
        try:
            response = await self._session.request(
                method, self._url(url), data=given, headers=headers, allow_redirects=False
            )
            try:
                return await self._reply(response)
            except BaseException:
                response.close()
                raise
        except FAILURES as error:
            raise translated(error, _CONNECT_S, self._quiet_s) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _reply(self, response: aiohttp.ClientResponse) -> Reply:
        headers = response.headers
        told = response.content_length
        if told is not None and told <= _WHOLE:
            return Reply(response.status, await response.read(), headers)
        is_events = headers.get("Content-Type", "").startswith(_EVENTS)
        began = b"" if is_events else await _first(response)
        if not is_events and response.content.at_eof():
            return Reply(response.status, began, headers)

        def close() -> None:
            response.close()

        return Reply(response.status, began, headers, self._rest(response), [close])

    async def _rest(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for piece in response.content.iter_any():
                yield piece
        except FAILURES as error:
            raise translated(error, _CONNECT_S, self._quiet_s) from error

    def _url(self, text: str) -> URL:
        found = self._urls.get(text)
        if found is None:
            if len(self._urls) >= _URLS:
                self._urls.clear()
            found = self._urls[text] = URL(text, encoded=True)
        return found


async def _first(response: aiohttp.ClientResponse) -> bytes:
    """Return the beginning of an answer whose length is long or not told; all of it where it is short."""
    began = bytearray()
    async for piece in response.content.iter_any():
        began += piece
        if len(began) > _WHOLE:
            break
    return bytes(began)


async def _pieces_of(body: bytes | bytearray) -> AsyncIterator[bytes]:
    for at in range(0, len(body), _PIECE):
        yield bytes(body[at : at + _PIECE])
