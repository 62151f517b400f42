# SPDX-License-Identifier: Apache-2.0
"""Neighbours: the processes of this user whose runs use an accelerator of this machine, one file each while they do."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dxg")
_NO_DEVICE = ("/dev/nvidiactl", "/dev/nvidia-modeset", "/dev/nvidia-caps")


class Neighbours:
    """Who uses the GPU or the neural engine, as far as runs of this client do; their parts are equal."""

    def __init__(self, folder: Path | None = None) -> None:
        user = os.getuid() if hasattr(os, "getuid") else 0
        self._folder = folder or Path(tempfile.gettempdir()) / f"mlops-accelerators-{user}"

    def count(self) -> int:
        """Return how many use it, this process included; from now on it is one of them."""
        mine = self._folder / str(os.getpid())
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mine.touch()
            return max(1, sum(_lives(one) for one in self._folder.iterdir()))
        except OSError:
            return 1

    def leave(self) -> None:
        """This process uses it no more."""
        with suppress(OSError):
            (self._folder / str(os.getpid())).unlink()


def accelerated(processes: Iterable[int]) -> bool:
    """Return whether this process, or one of *processes*, has an accelerator in use.

    Linux tells by the devices that are open. A Mac does not tell, so the frameworks that this process has loaded are
    asked what they hold; what its children hold there is not known.
    """
    return any(map(_holds_device, processes)) or _mlx_holds() or _mps_holds()


def _holds_device(process: int) -> bool:
    with suppress(OSError):
        for opened in Path(f"/proc/{process}/fd").iterdir():
            if _is_device(opened):
                return True
    return False


def _is_device(opened: Path) -> bool:
    try:
        target = str(opened.readlink())
    except OSError:  # closed meanwhile
        return False
    return target.startswith(_DEVICES) and not target.startswith(_NO_DEVICE)


def _mlx_holds() -> bool:
    return sys.platform == "darwin" and _positive("mlx.core", "get_active_memory")


def _mps_holds() -> bool:
    return _positive("torch.mps", "current_allocated_memory") if sys.platform == "darwin" else False


def _positive(module: str, function: str) -> bool:
    ask: Any = getattr(sys.modules.get(module), function, None)
    try:
        return bool(ask is not None and ask() > 0)
    except Exception:  # noqa: BLE001 - whatever a framework is about must not disturb a training
        return False


def _lives(file: Path) -> bool:
    if not file.name.isdecimal():
        return False
    try:
        os.kill(int(file.name), 0)
    except ProcessLookupError:
        with suppress(OSError):
            file.unlink()
        return False
    except (OSError, OverflowError):
        return True
    return True
