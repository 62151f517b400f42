# SPDX-License-Identifier: Apache-2.0
"""Children that print readings: one that is asked and ends, and one that goes on printing lines."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable, Sequence

import psutil

_QUIET = {"LC_ALL": "C", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
_MOST_BYTES = 2**20
_PAUSES_S = (1.0, 5.0, 30.0, 300.0)


class Command:
    """Run a program and return what it prints; OSError when it fails, is too slow or says too much."""

    def __init__(
        self, argv: Sequence[str], timeout_s: float = 3.0, most_bytes: int = _MOST_BYTES
    ) -> None:
        self._argv = tuple(argv)
        self._timeout_s = timeout_s
        self._most_bytes = most_bytes

    def __call__(self) -> bytes:
        """Run it once, without a shell and with an environment of its own."""
        child = subprocess.Popen(
            self._argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_QUIET,
            start_new_session=True,
        )
        try:
            return self._all_of(child)
        finally:
            _end(child)

    def _all_of(self, child: subprocess.Popen[bytes]) -> bytes:
        until_s, said = time.monotonic() + self._timeout_s, bytearray()
        with selectors.DefaultSelector() as selector:
            if child.stdout is None:
                raise OSError(f"{self._argv[0]} has no output")
            selector.register(child.stdout, selectors.EVENT_READ)
            while (left_s := until_s - time.monotonic()) > 0:
                if not selector.select(left_s):
                    break
                piece = os.read(child.stdout.fileno(), 65536)
                if not piece:
                    _wait(child, left_s)
                    if child.returncode != 0:
                        raise OSError(f"{self._argv[0]} ended with {child.returncode}")
                    return bytes(said)
                said += piece
                if len(said) > self._most_bytes:
                    raise OSError(f"{self._argv[0]} says more than {self._most_bytes} bytes")
        raise TimeoutError(f"{self._argv[0]} took longer than {self._timeout_s:g} s")


class Lines:
    """A child that goes on printing lines: each call returns the whole lines since the last one.

    It is started when first asked, and again with growing pauses when it ended. Raises OSError while there are no lines.
    """

    def __init__(
        self,
        argv: Sequence[str],
        monotonic: Callable[[], float] = time.monotonic,
        most_bytes: int = _MOST_BYTES,
        patience_s: float = 3.0,
    ) -> None:
        self._argv = tuple(argv)
        self._monotonic = monotonic
        self._most_bytes = most_bytes
        self._patience_s = patience_s
        self._child: subprocess.Popen[bytes] | None = None
        self._tail = b""
        self._ended = 0
        self._not_before_s = float("-inf")

    def __call__(self) -> bytes:
        """Return the lines since the last call, the newest at the end."""
        child = self._running()
        said = self._tail + self._read(child, 0.0)
        if b"\n" not in said and child.poll() is None:
            said += self._read(child, self._patience_s)
        whole, newline, tail = said.rpartition(b"\n")
        self._tail = tail[-self._most_bytes :]
        if child.poll() is not None and not newline:
            self._over()
            raise OSError(f"{self._argv[0]} ended with {child.returncode}")
        if not newline:
            raise TimeoutError(f"{self._argv[0]} says nothing")
        self._ended = 0
        return whole + newline

    def cpu_s(self) -> float:
        """Return the processor time of the child that runs, in seconds."""
        if self._child is None:
            return 0.0
        try:
            times = psutil.Process(self._child.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            _end(self._child)
            self._child = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is not None:
            return self._child
        if self._monotonic() < self._not_before_s:
            raise OSError(f"{self._argv[0]} ended; it is started again later")
        self._child = subprocess.Popen(
            self._argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_QUIET,
            start_new_session=True,
        )
        if self._child.stdout is not None:
            os.set_blocking(self._child.stdout.fileno(), False)
        return self._child

    def _read(self, child: subprocess.Popen[bytes], wait_s: float) -> bytes:
        if child.stdout is None:
            return b""
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            if wait_s:
                selector.select(wait_s)
        said = bytearray()
        while len(said) <= self._most_bytes:
            try:
                piece = os.read(child.stdout.fileno(), 65536)
            except BlockingIOError:
                break
            if not piece:
                _wait(child, 1.0)  # it closed its output: there is nothing more to come
                break
            said += piece
        return bytes(said[-self._most_bytes :])

    def _over(self) -> None:
        self.close()
        self._tail = b""
        pause = _PAUSES_S[min(self._ended, len(_PAUSES_S) - 1)]
        self._ended += 1
        self._not_before_s = self._monotonic() + pause


def _wait(child: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait for a child that has no more to say; one that stays is ended."""
    try:
        child.wait(max(0.1, seconds))
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.kill()
    child.wait()
    if child.stdout is not None:
        child.stdout.close()
