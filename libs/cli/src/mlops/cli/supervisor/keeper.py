# SPDX-License-Identifier: Apache-2.0
"""Keeper: keeps one component running: starts it, waits for its gate, starts it again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from mlops.cli.supervisor import backoff, gates, logs, processes
from mlops.cli.supervisor import state as told
from mlops.cli.supervisor.component import Component
from mlops.cli.supervisor.family import NOBODY, Family
from mlops.cli.supervisor.slots import Slots
from mlops.cli.supervisor.state import Status

_ASK_AGAIN_S = 0.25
_LOOKS = 6
_SWEEPS = 5
_SWEEP_GRACE_S = 3.0


class StartError(Exception):
    """A component could not be started, did not become ready, or did not stay so."""


class Keeper:
    """One component; *changed* is called after each change of `status`."""

    def __init__(
        self,
        component: Component,
        home: Path,
        log: Path,
        environment: Mapping[str, str],
        slots: Slots,
        rank: int,
        changed: Callable[[], None],
        family: Family,
    ) -> None:
        self.component = component
        self.status = Status(
            component.name,
            since=time.time(),
            address=component.address,
            log=str(log),
            gate_url=component.gate.url,
            optional=component.optional,
        )
        self.ready = asyncio.Event()
        self.past: dict[int, float] = {}
        self._home = home
        self._log = log
        self._environment = {
            **environment,
            **component.env,
            processes.HOME_MARK: str(home),
            processes.COMPONENT_MARK: component.name,
        }
        self._slots = slots
        self._rank = rank
        self._log_begins = 0
        self._changed = changed
        self._family = family
        self._child: asyncio.subprocess.Process | None = None
        self._stopping = False

    async def keep(self, needs: list[asyncio.Event]) -> None:
        """Keep it running until `stop`; a component with `once` is run until it succeeded."""
        for need in needs:
            await need.wait()
        while not self._stopping:
            ready_for_s = await self._life()
            if self._stopping or self.status.state == told.DONE:
                return
            failures = backoff.failures_after(self.status.failures, ready_for_s)
            pause = backoff.delay_s(failures)
            self._tell(
                state=told.BACKOFF,
                failures=failures,
                restarts=self.status.restarts + 1,
                retry_at=time.time() + pause,
            )
            await asyncio.sleep(pause)

    async def stop(self) -> None:
        """End it and all it has started: first asked, then killed."""
        self._stopping = True
        if self.status.state != told.DONE:
            self._tell(state=told.STOPPING)
        child = self._child
        if child is not None and child.returncode is None:
            _signal_group(child.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.component.grace_s):
                    await child.wait()
        await self._sweep()
        self._tell(state=told.STOPPED, pid=None, created=None)

    async def _life(self) -> float | None:
        """Run it once; return how long it was ready, None when it never was."""
        ready_at: float | None = None
        try:
            async with self._slots.one(self._rank):
                child = await self._start()
                await self._wait_until_ready(child)
            ready_at = time.monotonic()
            if self.component.once:
                return None
            await self._wait_until_over(child)
            self._tell(error=self._epitaph(child.returncode), fix=self.component.fix)
        except StartError as error:
            self._tell(error=str(error), fix=self.status.fix or self.component.fix)
        await self._sweep()
        self._tell(pid=None, created=None)
        return None if ready_at is None else time.monotonic() - ready_at

    async def _start(self) -> asyncio.subprocess.Process:
        self._tell(state=told.STARTING, started=time.time(), ready=None, retry_at=None, fix="")
        try:
            self.component.prepare()
            logs.turn_over(self._log)
            self._log_begins = logs.size(self._log)
            child = await self._spawn()
        except FileNotFoundError as error:
            self._tell(fix="run `./mlops setup` to repair the environment")
            raise StartError(f"{error.filename} is missing") from error
        except OSError as error:
            raise StartError(f"cannot be started: {error}") from error
        self._tell(pid=child.pid, created=self.past[child.pid])
        return child

    async def _spawn(self) -> asyncio.subprocess.Process:
        async with self._family.births:
            with self._log.open("ab") as log:
                child = await asyncio.create_subprocess_exec(
                    *self.component.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment,
                    cwd=self._home,
                    start_new_session=True,
                )
            self._child = child
            self.past[child.pid] = processes.created(child.pid)
            self._family.born(child.pid, self.past[child.pid], self.component.name)
        return child

    async def _wait_until_ready(self, child: asyncio.subprocess.Process) -> None:
        gate = self.component.gate
        deadline = time.monotonic() + gate.within_s
        why = "it is still running"
        while time.monotonic() < deadline:
            if child.returncode is not None:
                break
            if not self.component.once:
                why = await gates.closed_because(gate)
            if not why and child.returncode is None:
                self._open(told.READY)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ASK_AGAIN_S):
                    await child.wait()
        if child.returncode == 0 and self.component.once:
            self._open(told.DONE)
            return
        if child.returncode is not None:
            raise StartError(self._epitaph(child.returncode))
        raise StartError(f"not ready after {gate.within_s:g} s: {why}{self._tail()}")

    async def _wait_until_over(self, child: asyncio.subprocess.Process) -> None:
        """Wait for its end; StartError when it lives and its gate has been shut for too long."""
        gate, open_at = self.component.gate, time.monotonic()
        look_s = None if gate.shut_s is None else gate.shut_s / _LOOKS
        while child.returncode is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(look_s):
                    await child.wait()
            if child.returncode is not None or gate.shut_s is None:
                return
            why = await gates.closed_because(gate)
            if not why:
                open_at = time.monotonic()
            elif time.monotonic() - open_at > gate.shut_s and not self._stopping:
                raise StartError(f"not ready any more for {gate.shut_s:g} s: {why}")

    def _open(self, state: str) -> None:
        now = time.time()
        took = now - (self.status.started or now)
        pid = None if state == told.DONE else self.status.pid
        self._tell(state=state, ready=now, took_s=round(took, 2), error="", fix="", pid=pid)
        self.ready.set()

    async def _sweep(self) -> None:
        """End what a dead component left behind, again until nothing is found: the dying may start others."""
        for _ in range(_SWEEPS):
            found = await self._left()
            if not found:
                self.past.clear()
                self._family.swept(self.component.name)
                return
            await asyncio.to_thread(processes.end, found, _SWEEP_GRACE_S)

    async def _left(self) -> set[int]:
        """Return its session, its descendants, its own folder's users, and orphans that are nobody else's."""
        machine = await self._family.look()
        known = {**self._family.of(NOBODY), **self._family.of(self.component.name)}
        return processes.belonging(
            machine,
            home=str(self._home),
            roots={**known, **self.past},
            component=self.component.name,
            markers=[self.component.marker],
        )

    def _epitaph(self, code: int | None) -> str:
        how = (
            f"was killed by signal {-code}"
            if code is not None and code < 0
            else f"ended with code {code}"
        )
        return f"{how}{self._tail()}"

    def _tail(self) -> str:
        lines = logs.last_lines(self._log, begin=self._log_begins)
        return ("; its log ends:\n  " + "\n  ".join(lines)) if lines else ""

    def _tell(self, **changes: object) -> None:
        if changes.get("state", self.status.state) != self.status.state:
            changes["since"] = time.time()
        self.status = replace(self.status, **changes)  # type: ignore[arg-type]  # names and types are Status's own
        self._changed()


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
