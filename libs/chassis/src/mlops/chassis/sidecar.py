# SPDX-License-Identifier: Apache-2.0
"""Sidecar: a heavy vendor library in a child process, spoken to in JSON lines.

Used where a library costs hundreds of megabytes or may take its process down with it (Evidently, Ray, BentoML):
the service stays small and alive; the child starts at the first call and ends when idle.

The child runs `serve({"name": function})`: it reads `{"call": name, "with": {...}}` lines from standard input and
writes `{"ok": ...}` or `{"error": ..., "kind": "rejected" | "unavailable"}` lines to what was its standard output;
prints of the library go to standard error. To a caller that wants to hear it a long call tells how far it is, in
`{"so_far": ...}` lines before its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from mlops.chassis import log
from mlops.chassis.errors import RejectedError, UnavailableError

IDLE = timedelta(seconds=60)
LEAVE = timedelta(seconds=10)

Hear = Callable[[Any], None]

_SO_FAR = b'{"so_far"'
_LINE_LIMIT = 64 * 1024 * 1024
_CHUNK = 1024 * 1024
_READ_AWAY_S = 2.0


class Sidecar:
    """One child process that runs a module; calls are answered one at a time, in order.

    After *idle* without a call it is told to leave, and killed when it has not done so within *leave*.
    """

    def __init__(
        self,
        module: str,
        *,
        env: Mapping[str, str] | None = None,
        idle: timedelta = IDLE,
        leave: timedelta = LEAVE,
    ) -> None:
        self._module = module
        self._env = {**os.environ, **(env or {})}
        self._idle_s = idle.total_seconds()
        self._leave_s = leave.total_seconds()
        self._child: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._retirement: asyncio.TimerHandle | None = None
        self._closings = 0
        self._leaving: set[asyncio.Task[None]] = set()
        self._log = log.get_logger("sidecar")

    async def call(
        self, function: str, timeout: timedelta, *, hear: Hear | None = None, **arguments: Any
    ) -> Any:
        """Call a function of the child; with *hear* the function gets a `tell`, and *hear* what it is told.

        Raises RejectedError when the child says that it can never work, UnavailableError when it failed, hung
        for *timeout*, or died; a hung child is killed, the next call starts a new one. A child that is heard hangs
        when it has told nothing for so long: a long call may last as long as it goes on.
        """
        closings = self._closings
        async with self._lock:
            self._stay()
            try:
                async with asyncio.timeout(timeout.total_seconds()) as limit:
                    child = await self._running(closings)
                    heard = _renewing(limit, timeout, hear)
                    reply = await self._exchange(child, function, arguments, heard)
            except TimeoutError as error:
                await self._kill()
                raise UnavailableError(
                    f"{self._module}.{function} gave no answer within {timeout.total_seconds():g} s"
                ) from error
            except asyncio.CancelledError:
                await self._kill()  # its reply would be taken for that of the next call
                raise
            finally:
                self._retire_later()
        if "ok" in reply:
            return reply["ok"]
        family = RejectedError if reply.get("kind") == "rejected" else UnavailableError
        raise family(str(reply.get("error", "no reason given")))

    async def close(self) -> None:
        """End the child, and whatever is still on its way out; calls that began before fail with UnavailableError."""
        self._closings += 1
        _end(self._child)
        async with (
            self._lock
        ):  # the call under way reads the pipe: it hears of the end, nobody else may read
            await self._kill()
        self._stay()
        await asyncio.gather(*self._leaving)

    async def _running(self, closings: int) -> asyncio.subprocess.Process:
        if closings != self._closings:
            raise UnavailableError(f"{self._module} was closed")
        if self._child is not None and self._child.returncode is None:
            return self._child
        self._log.info("sidecar.starting", module=self._module)
        self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._env,
            limit=_LINE_LIMIT,
        )
        if closings != self._closings:  # while the child came up
            _end(self._child)
        return self._child

    async def _exchange(
        self,
        child: asyncio.subprocess.Process,
        function: str,
        arguments: Mapping[str, Any],
        hear: Hear | None,
    ) -> dict[str, Any]:
        request = {"call": function, "with": arguments, "heard": hear is not None}
        line = await self._line_after(child, function, await asyncio.to_thread(_line, request))
        while hear is not None and line.startswith(_SO_FAR):
            hear(json.loads(line)["so_far"])
            line = await self._line_after(child, function, b"")
        reply: dict[str, Any] = json.loads(line)
        return reply

    async def _line_after(
        self, child: asyncio.subprocess.Process, function: str, request: bytes
    ) -> bytes:
        if child.stdin is None or child.stdout is None:
            raise UnavailableError(f"{self._module} was started without pipes")
        try:
            child.stdin.write(request)
            await child.stdin.drain()
            line = await child.stdout.readline()
        except (BrokenPipeError, ConnectionResetError) as error:
            await self._kill()
            raise UnavailableError(f"{self._module} died during {function}") from error
        except ValueError as error:
            await self._kill()
            raise UnavailableError(
                f"{self._module}.{function} answered with more than {_LINE_LIMIT} bytes"
            ) from error
        if not line:
            await self._kill()
            raise UnavailableError(f"{self._module} died during {function}")
        return line

    async def _kill(self) -> None:
        child, self._child = self._child, None
        if child is None or child.returncode is not None:
            return
        _end(child)
        await _read_away(child.stdout)
        await child.wait()

    def _stay(self) -> None:
        if self._retirement is not None:
            self._retirement.cancel()
            self._retirement = None

    def _retire_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._retirement = loop.call_later(self._idle_s, self._retire)

    def _retire(self) -> None:
        # A call that begins from here on starts a new child: none can reach the one that leaves.
        child = self._child
        if child is None or child.returncode is not None or self._lock.locked():
            return
        self._child = None
        self._log.info("sidecar.leaving", module=self._module, idle_s=self._idle_s)
        leaving = asyncio.create_task(_let_go(child, self._leave_s))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)


def _renewing(limit: asyncio.Timeout, timeout: timedelta, hear: Hear | None) -> Hear | None:
    if hear is None:
        return None
    clock = asyncio.get_running_loop().time

    def renewed(so_far: Any) -> None:
        limit.reschedule(clock() + timeout.total_seconds())
        hear(so_far)

    return renewed


def _line(request: Mapping[str, Any]) -> bytes:
    return _json(request).encode() + b"\n"


def _json(value: object) -> str:
    # Branch by branch: the encoder lets no other thread run while it writes, be it for megabytes.
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        return json.dumps(value)
    return f"{{{', '.join(f'{json.dumps(name)}: {_json(one)}' for name, one in value.items())}}}"


def _end(child: asyncio.subprocess.Process | None) -> None:
    if child is not None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()


async def _read_away(pipe: asyncio.StreamReader | None) -> None:
    # A pipe that is not read to its end is never closed; a process that the child left may hold it open.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READ_AWAY_S):
            while pipe is not None and await pipe.read(_CHUNK):
                pass


async def _let_go(child: asyncio.subprocess.Process, within_s: float) -> None:
    # End of input is the signal to leave; a library's threads may keep a process from hearing it.
    if child.stdin is not None:
        child.stdin.close()
    try:
        async with asyncio.timeout(within_s):
            await child.wait()
    except TimeoutError:
        _end(child)
        await child.wait()


def serve(functions: Mapping[str, Callable[..., Any]]) -> None:
    """Answer calls until standard input ends; what the child's `__main__` calls.

    A function may be plain (blocking): calls come one at a time. One that is heard gets a keyword `tell`, which takes
    whatever JSON can say.
    """
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever the library prints must not look like a reply

    def say(line: Mapping[str, Any]) -> None:
        replies.write(json.dumps(line) + "\n")
        replies.flush()

    for line in sys.stdin:
        request = json.loads(line)
        heard = {"tell": lambda so_far: say({"so_far": so_far})} if request.get("heard") else {}
        say(_answer(functions, request, heard))


def _answer(
    functions: Mapping[str, Callable[..., Any]], request: dict[str, Any], heard: dict[str, Any]
) -> dict[str, Any]:
    try:
        return {"ok": functions[request["call"]](**request["with"], **heard)}
    except RejectedError as error:
        return {"error": str(error), "kind": "rejected"}
    except UnavailableError as error:
        return {"error": str(error), "kind": "unavailable"}
    except Exception as error:  # noqa: BLE001 - whatever the library met becomes an answer, the child lives on
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}", "kind": "unavailable"}
