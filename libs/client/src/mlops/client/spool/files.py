# SPDX-License-Identifier: Apache-2.0
"""Files come into the spool as copies; where the file system can share blocks a copy costs nothing."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import sys
from pathlib import Path

_FICLONE = 0x40049409  # linux/fs.h


def copy(source: Path, target: Path) -> None:
    """Copy a file; later changes of *source* do not show in *target*."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not _cloned(source, target):
        shutil.copyfile(source, target)  # copy_file_range or sendfile where there is one


def _cloned(source: Path, target: Path) -> bool:
    if sys.platform == "darwin":
        return _cloned_on_macos(source, target)
    if sys.platform != "linux":
        return False
    with contextlib.suppress(OSError), source.open("rb") as old, target.open("wb") as new:
        fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
        return True
    return False


def _cloned_on_macos(source: Path, target: Path) -> bool:
    with contextlib.suppress(OSError, AttributeError):
        clonefile = ctypes.CDLL(None).clonefile
        return bool(clonefile(os.fsencode(source), os.fsencode(target), 0) == 0)
    return False
