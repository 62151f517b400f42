# SPDX-License-Identifier: Apache-2.0
"""Connections: what a service bears of those who connect: so many, headers of a size, and in time; the rest go."""

from __future__ import annotations

import asyncio
import contextlib
import resource

from mlops.chassis.lean import without

with without("watchfiles"):
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 * 1024
HEAD_S = 30.0
_LINGER_S = 1.0
_WISHED_FILES = (65_536, 10_240, 4_096)
_FEWEST = 64
_OWN_FILES = 256  # of a service itself, and its connections to others
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 22\r\nconnection: close\r\n\r\n"
    b"the head is too large\n"
)


def raise_file_limit() -> int:
    """Let this process open as many files as it may, at most 65536; return how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wished in _WISHED_FILES:
        most = wished if hard == resource.RLIM_INFINITY else min(hard, wished)
        with contextlib.suppress(ValueError, OSError):  # macOS bounds it elsewhere, too
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
            break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's connection, which by itself would wait for ever for a head of any size."""

    _head_bytes = 0
    _in_head = True
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Take a connection, unless there are so many that no file would be left for the work itself."""
        super().connection_made(transport)
        if len(self.connections) > _most_connections():
            transport.abort()
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Read on; 431 when a head does not end."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            # Closed at once, what it still sends would cost the caller this answer.
            self.transport.pause_reading()
            self.loop.call_later(_LINGER_S, self.transport.close)

    def on_message_begin(self) -> None:
        """Wait for the head of one more request."""
        super().on_message_begin()
        self._in_head = True
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """Give the request to the application."""
        self._in_head, self._head_bytes = False, 0
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _most_connections() -> int:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(_FEWEST, files - files // 4 - _OWN_FILES)
