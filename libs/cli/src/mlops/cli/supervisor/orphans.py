# SPDX-License-Identifier: Apache-2.0
"""Orphans: on Linux they come back to this process, however far down and in whatever session, and are buried here."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Container

import psutil

_PR_SET_CHILD_SUBREAPER = 36


def adopt() -> bool:
    """Become the parent of every descendant whose own parent dies; return False where no system call does that."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def bury(own: Container[int]) -> None:
    """Let the dead orphans go; the dead among *own* are left to whoever started them and waits for them."""
    if not _anybody_died():
        return
    for child in psutil.Process().children():
        if child.pid in own:
            continue
        with contextlib.suppress(psutil.Error, ChildProcessError):
            if child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)


def _anybody_died() -> bool:
    """Return whether any child is dead and not yet waited for; a single system call."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False
