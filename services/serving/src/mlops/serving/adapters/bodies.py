# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests: read within a size and a time, inflated within the same size, and not too much of them at once."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from mlops.serving.adapters.replies import RefusedError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_ANY_HEADER = 32 + zlib.MAX_WBITS  # zlib or gzip, told by its first bytes
_TOO_LARGE, _TOO_SLOW, _BAD, _UNKNOWN_CODING, _TOO_MANY = 413, 408, 400, 415, 429
_AT_ONCE = 4
_LARGE = 64 * 1024
# A caller that is too slow would go on being so.
_CLOSE = ((b"connection", b"close"),)


class LeftError(Exception):
    """The caller went away before its request was whole."""


class Bodies:
    """Reads bodies of at most *most_bytes*, each within *within_s*; large ones together at most four times as many."""

    def __init__(self, most_bytes: int, within_s: float) -> None:
        self._most = most_bytes
        self._within_s = within_s
        self._held = 0

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """Return a whole body, to be given to `release` later; raises RefusedError (413, 429, 408, 400, 415) or LeftError."""
        body = await self._read(headers, receive)
        if len(body) > _LARGE:
            self._held += len(body)
        return body

    def release(self, body: bytes) -> None:
        """Forget a body that is held no more."""
        if len(body) > _LARGE:
            self._held -= len(body)

    async def _read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most:
            raise self._too_large(f"Content-Length is {int(length)} bytes")
        first = await self._first(receive)
        if not first.get("more_body", False):
            body = first.get("body", b"")
            if len(body) > self._most:
                raise self._too_large(f"it has {len(body)} bytes")
        else:
            body = await self._rest(first, receive)
        coding = headers.get(b"content-encoding")
        if coding is None:
            return bytes(body)
        if len(body) > _LARGE:
            return await asyncio.to_thread(self._inflated, body, coding)
        return self._inflated(body, coding)

    async def _first(self, receive: Receive) -> MutableMapping[str, Any]:
        try:
            async with asyncio.timeout(self._within_s):
                return _whole(await receive())
        except TimeoutError:
            raise self._too_slow() from None

    async def _rest(self, first: MutableMapping[str, Any], receive: Receive) -> bytes:
        pieces: list[bytes] = []
        message, size = first, 0
        try:
            async with asyncio.timeout(self._within_s):
                while True:
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    self._held += len(pieces[-1])
                    self._check_room(size)
                    if not message.get("more_body", False):
                        return b"".join(pieces)
                    message = _whole(await receive())
        except TimeoutError:
            raise self._too_slow() from None
        finally:
            self._held -= size

    def _check_room(self, size: int) -> None:
        if size > self._most:
            raise self._too_large("it is longer")
        if self._held > _AT_ONCE * self._most:
            raise RefusedError(
                _TOO_MANY, "too many large bodies at once; come again, or send less", wait_s=1
            )

    def _inflated(self, body: bytes, coding: bytes) -> bytes:
        name = coding.decode("latin-1").strip().lower()
        if name in ("", "identity"):
            return body
        if name not in ("gzip", "x-gzip", "deflate"):
            raise RefusedError(
                _UNKNOWN_CODING,
                f"Content-Encoding {name[:40]!r} is not known here; send gzip, deflate or none",
                headers=((b"accept-encoding", b"gzip, deflate"),),
            )
        found = _inflate(body, _ANY_HEADER, self._most)
        if found is None and name == "deflate":  # some senders leave its two bytes of header out
            found = _inflate(body, -zlib.MAX_WBITS, self._most)
        if found is None:
            raise RefusedError(_BAD, f"the body is not {name}, or is cut short; send it whole")
        if len(found) > self._most:
            raise self._too_large("inflated it is longer")
        return found

    def _too_large(self, found: str) -> RefusedError:
        return RefusedError(
            _TOO_LARGE,
            f"the body is too large: at most {self._most} bytes, {found}; send fewer rows at once, "
            "or raise SERVING_REPLICA_MAX_BODY_MB of the Ray head",
        )

    def _too_slow(self) -> RefusedError:
        return RefusedError(
            _TOO_SLOW,
            f"the body did not arrive within {self._within_s:g} s; send it faster, or less at once",
            headers=_CLOSE,
        )


def _whole(message: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if message["type"] == "http.disconnect":
        raise LeftError
    return message


def _inflate(body: bytes, bits: int, most: int) -> bytes | None:
    """Return what was deflated, at most one byte more than *most*; None where it is none."""
    engine = zlib.decompressobj(bits)
    try:
        found = engine.decompress(body, most + 1)
    except zlib.error:
        return None
    if len(found) > most:
        return found
    return found if engine.eof and not engine.unused_data else None
