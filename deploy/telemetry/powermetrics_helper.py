# SPDX-License-Identifier: Apache-2.0
"""The root helper: runs one fixed powermetrics command and gives its output to one reader on a Unix socket.

Standard library only, no shell, nothing is read from the reader, and no argument or environment changes the command.
A reader that does not take its bytes is hung up on; the child is ended with its group. Runs on Python 3.9, as macOS
brings it. The socket is root's and its group's, 0660: to connect needs the right to write. NOT VERIFIED ON REAL HARDWARE: its test runs it with another program in powermetrics' place.
"""

# ruff: noqa: INP001 - a program that is installed alone, not part of a package

from __future__ import annotations

import grp
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

COMMAND = (
    "/usr/bin/powermetrics",
    "-f",
    "plist",
    "-i",
    "5000",
    "-s",
    "cpu_power,gpu_power,ane_power,thermal",
    "-b",
    "0",
)
SOCKET = "/var/run/mlops-powermetrics/powermetrics.sock"
GROUP = "_mlops"
MOST_WAITING_BYTES = 4 * 2**20
PIECE_BYTES = 65536


def listening(path: str, group: str) -> socket.socket:
    """Return the socket, owned by us and readable by *group*; an old one is replaced."""
    place = Path(path)
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        door.bind(path)
    finally:
        os.umask(before)
    if group:
        os.chown(path, os.geteuid(), grp.getgrnam(group).gr_gid)
    # To connect, a group needs the right to write; it sends nothing that anybody reads.
    place.chmod(0o660)
    door.listen(1)
    return door


def begun(command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Start the child with an empty environment, in a group of its own."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"},
        start_new_session=True,
    )


def ended(child: subprocess.Popen[bytes]) -> None:
    """End the child and all that it started."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def serve(reader: socket.socket, command: tuple[str, ...]) -> None:
    """Give one reader the child's output until one of the two ends; return nothing."""
    child = begun(command)
    reader.setblocking(False)
    waiting = bytearray()
    try:
        while len(waiting) <= MOST_WAITING_BYTES and step(child, reader, waiting):
            pass
    except (BrokenPipeError, ConnectionResetError):
        return
    finally:
        ended(child)


def step(child: subprocess.Popen[bytes], reader: socket.socket, waiting: bytearray) -> bool:
    """Take what the child says, give what the reader takes; return whether both are still there."""
    said = child.stdout.fileno() if child.stdout is not None else -1
    heard = reader.fileno()
    readable, writable, _ = select.select([said, heard], [heard] if waiting else [], [], 60)
    if heard in readable and not hears_on(reader):
        return False
    if said in readable:
        piece = os.read(said, PIECE_BYTES)
        waiting += piece
        if not piece:
            return False
    if writable:
        del waiting[: reader.send(waiting)]
    return True


def hears_on(reader: socket.socket) -> bool:
    """Throw away what a reader sends; return whether it is still there."""
    try:
        return bool(reader.recv(PIECE_BYTES))
    except BlockingIOError:
        return True


def main(path: str = SOCKET, group: str = GROUP, command: tuple[str, ...] = COMMAND) -> None:
    """Serve one reader after the other, without end; powermetrics runs only while somebody listens."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    door = listening(path, group)
    while True:
        reader, _ = door.accept()
        with reader:
            serve(reader, command)


if __name__ == "__main__":
    main()
