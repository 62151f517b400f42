# SPDX-License-Identifier: Apache-2.0
"""Daemon: all keepers together: what starts when, what the state file says, and the way down."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence

from mlops.cli.home import Home
from mlops.cli.supervisor import logs, orphans, processes
from mlops.cli.supervisor import state as told
from mlops.cli.supervisor.component import Component, stop_order
from mlops.cli.supervisor.family import Family
from mlops.cli.supervisor.keeper import Keeper
from mlops.cli.supervisor.slots import Slots
from mlops.cli.supervisor.state import Told

STARTING, RUNNING, STOPPING, STOPPED = "starting", "running", "stopping", "stopped"
_LOOK_AT_LOGS_S = 60.0
_LOOK_AT_FAMILY_S = 5.0
_BURY_S = 0.5
_REST_GRACE_S = 3.0
_CLEAR_GRACE_S = 5.0
_LEAST_STARTS_AT_ONCE = 3


class Daemon:
    """Keeps *components* running until it is told to stop."""

    def __init__(
        self, home: Home, components: Sequence[Component], environment: Mapping[str, str]
    ) -> None:
        self._home = home
        self._started = time.time()
        self._phase = STARTING
        self._complained = False
        self._family = Family()
        slots = Slots(max(_LEAST_STARTS_AT_ONCE, os.cpu_count() or 1))
        self._keepers = {
            component.name: Keeper(
                component,
                home.root,
                home.log(component.name),
                environment,
                slots,
                rank,
                self._tell,
                self._family,
            )
            for rank, component in enumerate(components)
        }

    async def run(self) -> None:
        """Start everything, keep it running, and end it all on SIGTERM or SIGINT."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        adopts = orphans.adopt()
        self._tell()
        burials = asyncio.create_task(self._bury_orphans(adopts=adopts))
        work = [asyncio.create_task(self._keep(keeper)) for keeper in self._keepers.values()]
        work += [
            asyncio.create_task(self._turn_over_logs()),
            asyncio.create_task(self._know_the_family()),
        ]
        await stop.wait()
        say("stopping")
        self._phase = STOPPING
        await self._stop(work)
        await asyncio.to_thread(self._end_the_rest)
        burials.cancel()
        self._phase = STOPPED
        self._tell()
        say("stopped")

    async def _keep(self, keeper: Keeper) -> None:
        needs = [self._keepers[name].ready for name in keeper.component.needs]
        await keeper.keep(needs)

    async def _stop(self, work: list[asyncio.Task[None]]) -> None:
        components = [keeper.component for keeper in self._keepers.values()]
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        for group in stop_order(components):
            await asyncio.gather(*(self._keepers[component.name].stop() for component in group))

    async def _turn_over_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_AT_LOGS_S)
            for path in self._home.logs.glob("*.log"):
                try:
                    await asyncio.to_thread(logs.turn_over_open, path)
                except OSError as error:
                    say(f"cannot turn over {path}: {error}")

    async def _know_the_family(self) -> None:
        """Write down who lives, for a `down` or an `up` after this process was killed."""
        told_before: dict[int, float] = {}
        while True:
            await asyncio.sleep(_LOOK_AT_FAMILY_S)
            await self._family.look()
            if self._family.everybody != told_before:
                told_before = self._family.everybody
                self._tell()

    async def _bury_orphans(self, *, adopts: bool) -> None:
        while adopts:
            await asyncio.sleep(_BURY_S)
            async with self._family.births:
                orphans.bury(self._family.own)

    def _end_the_rest(self) -> None:
        """End whatever is still below this process: nothing of it is anybody's now."""
        ended, left = processes.end_all(lambda: processes.below(os.getpid()), _REST_GRACE_S)
        if ended:
            say(f"ended {len(ended)} processes that no component owned: {sorted(ended)}")
        if left:
            say(f"cannot end {left}")

    def _tell(self) -> None:
        statuses = tuple(keeper.status for keeper in self._keepers.values())
        if self._phase == STARTING and all(status.up or status.optional for status in statuses):
            self._phase = RUNNING
            say(f"all ready after {time.time() - self._started:.1f} s")
        content = Told(
            pid=os.getpid(),
            created=processes.created(os.getpid()),
            phase=self._phase,
            started=self._started,
            components=statuses,
            past=() if self._phase == STOPPED else tuple(self._living().items()),
            first=processes.first(),
        )
        try:
            told.write(self._home, content)
        except OSError as error:
            # A full disk must not take down what runs.
            if not self._complained:
                say(f"cannot write {self._home.state}: {error}")
            self._complained = True
        else:
            self._complained = False

    def _living(self) -> dict[int, float]:
        started = [keeper.past for keeper in self._keepers.values()]
        return {
            pid: at for known in (self._family.everybody, *started) for pid, at in known.items()
        }


def clear(home: Home, markers: Sequence[str]) -> list[int]:
    """End what an earlier supervisor of this home left running; return what could not be ended."""

    def find() -> set[int]:
        roots = told.read(home).roots
        return processes.belonging(
            processes.scan(), home=str(home.root), roots=roots, markers=markers
        )

    ended, left = processes.end_all(find, _CLEAR_GRACE_S)
    if ended:
        say(f"ended {len(ended)} processes that an earlier supervisor left: {sorted(ended)}")
    return left


def say(what: str) -> None:
    """Write a line to the supervisor's own log."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    sys.stderr.write(f"{stamp} supervisor: {what}\n")
    sys.stderr.flush()
