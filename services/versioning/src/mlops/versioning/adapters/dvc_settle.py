# SPDX-License-Identifier: Apache-2.0
"""settle: what was written to the file systems of some folders is on the disk when this returns.

A row of the registry names objects; after a power cut they must be there as well as it is. One call for a file system
costs next to nothing for each of ten thousand files, an `fsync` for each file and folder would cost more than adding them.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os

_LIBRARY = ctypes.CDLL(None, use_errno=True)
# macOS: only this reaches the disk itself, and takes with it what was handed to the drive before.
_FULL = getattr(fcntl, "F_FULLFSYNC", None)


def settle(*folders: str) -> None:
    """Return when everything below *folders* is on its disk; raises OSError when a disk could not take it."""
    seen: set[int] = set()
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            device = os.stat(folder).st_dev
            if device not in seen:
                seen.add(device)
                _settle(folder)


def _settle(folder: str) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        if hasattr(_LIBRARY, "syncfs"):
            if _LIBRARY.syncfs(opened) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), folder)
            return
        os.sync()
        if _FULL is not None:
            fcntl.fcntl(opened, _FULL)
    finally:
        os.close(opened)
