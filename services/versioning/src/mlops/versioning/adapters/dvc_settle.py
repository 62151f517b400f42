# SPDX-License-Identifier: Apache-2.0
"""settle: what was written to the file systems of some folders is on the disk when this returns.

A row of the registry names objects; after a power cut they must be there as well as it is. One call for a file system
costs next to nothing for each of ten thousand files, an `fsync` for each file and folder would cost more than adding them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
from collections.abc import Callable

_LIBRARY = ctypes.CDLL(None, use_errno=True)
# macOS: only this reaches the disk itself, and takes with it what was handed to the drive before.
_FULL = getattr(fcntl, "F_FULLFSYNC", None)
# What a file system says that has no such call: network volumes, FUSE and others, each in its way.
_HAS_NONE = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY, errno.ENOSYS)


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
            if _LIBRARY.syncfs(opened) == 0:
                return
            number = ctypes.get_errno()
            if number != errno.ENOSYS:
                raise OSError(number, os.strerror(number), folder)
        os.sync()
        if _FULL is not None and not _can(lambda: fcntl.fcntl(opened, _FULL)):
            _can(lambda: os.fsync(opened))
    finally:
        os.close(opened)


def _can(flush: Callable[[], object]) -> bool:
    """Flush, and tell whether the file system knows how; a disk that could not take it is an error."""
    try:
        flush()
    except OSError as error:
        if error.errno not in _HAS_NONE:
            raise
        return False
    return True
