# SPDX-License-Identifier: Apache-2.0
"""FolderShelf and SidecarShelf: files of reports are read from a folder, or from object storage through a child process."""

from __future__ import annotations

import asyncio
import os
from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops.chassis.errors import UnavailableError
from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.adapters.places import Place
from mlops.monitoring.ports import Piece, Shelved

WORKER = "mlops.monitoring.adapters.shelf_worker"


class FolderShelf:
    """Reports of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def pages(self, folders: Sequence[str]) -> list[Shelved]:
        """Return the pages below some folders, or all for none."""
        return await asyncio.to_thread(self._pages, folders)

    async def piece(self, path: str, offset: int, most: int) -> Piece | None:
        """Return a part of a file."""
        return await asyncio.to_thread(self._piece, path, offset, most)

    def _pages(self, folders: Sequence[str]) -> list[Shelved]:
        found = []
        for folder in folders or ("",):
            for path in (self._root / folder).rglob("*.html"):
                try:
                    told = path.stat()
                except FileNotFoundError:
                    continue  # it has just grown too old
                name = path.relative_to(self._root).as_posix()
                found.append(Shelved(name, told.st_size, _moment(told.st_mtime)))
        return found

    def _piece(self, path: str, offset: int, most: int) -> Piece | None:
        try:
            with (self._root / path).open("rb") as file:
                told = os.fstat(file.fileno())  # of what was opened: another may stand there by now
                file.seek(offset)
                return Piece(file.read(most), told.st_size, _moment(told.st_mtime))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise UnavailableError(f"the report {path!r} cannot be read: {error}") from error


class SidecarShelf:
    """Reports in object storage; its library needs memory that the service does not keep."""

    def __init__(self, root: Place, sidecar: Sidecar, timeout: timedelta) -> None:
        self._root = root
        self._sidecar = sidecar
        self._timeout = timeout

    async def pages(self, folders: Sequence[str]) -> list[Shelved]:
        """Return the pages below some folders, or all for none."""
        root = self._root.address
        told = await self._sidecar.call("pages", self._timeout, root=root, folders=list(folders))
        return [Shelved(str(name), int(size), _moment(at)) for name, size, at in told]

    async def piece(self, path: str, offset: int, most: int) -> Piece | None:
        """Return a part of a file."""
        address = self._root.at(path).address
        told = await self._sidecar.call(
            "piece", self._timeout, address=address, offset=offset, most=most
        )
        if told is None:
            return None
        return Piece(b64decode(told["content"]), int(told["size"]), _moment(told["at"]))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
