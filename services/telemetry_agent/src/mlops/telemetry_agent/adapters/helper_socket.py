# SPDX-License-Identifier: Apache-2.0
"""The optional root helper's socket: property lists of powermetrics, from a source that is not trusted.

Nothing is ever sent to it. A document larger than 2 MiB is dropped, one that declares entities is refused, and no more
than 4 MiB are taken at one look; a helper that is away is tried again at the next look.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from pathlib import Path

from mlops.telemetry_agent.adapters.formats.plists import Splitter

_AT_ONCE_BYTES = 4 * 2**20
_CONNECT_S = 1.0


class HelperSocket:
    """Each call returns the newest whole documents since the last one, NUL-separated; OSError while there are none."""

    def __init__(self, path: Path, patience_s: float = 7.0) -> None:
        self._path = path
        self._patience_s = patience_s
        self._socket: socket.socket | None = None
        self._splitter = Splitter()

    def __call__(self) -> bytes:
        """Return what came since the last call."""
        until_s = time.monotonic() + self._patience_s
        while True:
            line = self._connected()
            found = self._splitter.feed(self._received(line))
            if found:
                return b"\0".join(found) + b"\0"
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not select.select([line], [], [], left_s)[0]:
                raise TimeoutError(f"{self._path} has said nothing whole yet")

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _received(self, line: socket.socket) -> bytes:
        said = bytearray()
        while len(said) < _AT_ONCE_BYTES:
            try:
                piece = line.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                self.close()
                raise
            if not piece:
                self.close()
                if not said:
                    raise ConnectionError(f"{self._path} hung up")
                break
            said += piece
        return bytes(said)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            line.settimeout(_CONNECT_S)
            try:
                line.connect(str(self._path))
            except OSError:
                with contextlib.suppress(OSError):
                    line.close()
                raise
            line.setblocking(False)
            self._socket, self._splitter = line, Splitter()
        return self._socket
