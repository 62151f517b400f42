# SPDX-License-Identifier: Apache-2.0
"""FileMemory: the agent's open episode and untold edges in one small file; and who this node is."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
import threading
from pathlib import Path

import psutil
import structlog
from pydantic import TypeAdapter, ValidationError

from mlops.telemetry_agent.errors import AlreadyRunningError
from mlops.telemetry_agent.ports import Kept

_KEPT = TypeAdapter(Kept)
_NODE = r"[a-z0-9][a-z0-9-]{0,62}"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class FileMemory:
    """Replace the whole file at each change; one at a time, because a save goes on when its task is cancelled."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._turn = threading.Lock()

    def load(self) -> Kept:
        """Return what was kept; a file that cannot be read is put aside, because going on matters more."""
        with self._turn:
            return self._load()

    def save(self, kept: Kept) -> None:
        """Write a new file and put it in the place of the old one."""
        with self._turn:
            _replace(self._file, _KEPT.dump_json(kept))

    def _load(self) -> Kept:
        if not self._file.exists():
            return Kept()
        try:
            return _KEPT.validate_json(self._file.read_bytes())
        except (ValidationError, OSError) as error:
            aside = self._file.with_suffix(".unreadable")
            structlog.get_logger("telemetry").warning(
                "state.unreadable", error=repr(error), kept_as=str(aside)
            )
            self._file.replace(aside)
            return Kept()


def node_id(folder: Path) -> str:
    """Return the id of this node: random, made once, and nothing that names the machine or its owner."""
    file = folder / "node_id"
    known = file.read_text(errors="replace").strip() if file.exists() else ""
    if re.fullmatch(_NODE, known):
        return known
    made = f"node-{secrets.token_hex(4)}"
    _replace(file, f"{made}\n".encode())
    return made


def owner_id(folder: Path) -> str:
    """Return what tells this installation's agent from another one of the same name; random, made once."""
    file = folder / "owner"
    known = file.read_text(errors="replace").strip() if file.exists() else ""
    if re.fullmatch(r"[0-9a-f]{16}", known):
        return known
    made = secrets.token_hex(8)
    _replace(file, f"{made}\n".encode())
    return made


class Alone:
    """The folder of state is one process's: a second agent on it would write over the first one's memory."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "agent.lock").open("w")
        if sys.platform == "win32":
            return
        import fcntl  # noqa: PLC0415 - absent on Windows

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise AlreadyRunningError(
                f"an agent with the state in {folder} runs already; stop it, or set MLOPS_HOME to another folder"
            ) from None

    def close(self) -> None:
        """Let the folder go."""
        self._file.close()


def boot_id() -> str:
    """Return what is the same until the machine starts anew, without being the kernel's own id."""
    try:
        native = _BOOT_ID.read_text().strip()
    except OSError:
        native = str(round(psutil.boot_time(), -1))
    return hashlib.sha256(f"mlops:{native}".encode()).hexdigest()[:16]


def _replace(file: Path, content: bytes) -> None:
    """Write a whole file in place of the old one; a crash leaves the one or the other."""
    fresh = file.with_suffix(".new")
    with fresh.open("wb") as written:
        written.write(content)
        written.flush()
        os.fsync(written.fileno())
    fresh.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or a power cut may bring the old name back
    finally:
        os.close(folder)
