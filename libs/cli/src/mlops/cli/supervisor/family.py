# SPDX-License-Identifier: Apache-2.0
"""Family: every process below the supervisor and the component it comes from, also once its parents are dead.

On Linux orphans come back to the supervisor (see `orphans`), so none is missed; elsewhere a process whose parents died
is known when it was seen before.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass

from mlops.cli.supervisor import processes
from mlops.cli.supervisor.processes import Seen

NOBODY = ""


@dataclass(frozen=True)
class Kin:
    """A process, told from a later one with its pid by when it started; `component` may be NOBODY."""

    created: float
    component: str


def trace(
    machine: Mapping[int, Seen], supervisor: int, roots: Mapping[int, Kin], known: Mapping[int, Kin]
) -> dict[int, Kin]:
    """Return the living family: what is below *supervisor*, and what was seen there before.

    *roots* are the processes that the supervisor itself started. An orphan belongs to the component that it was
    seen with, else to the one whose session or mark it bears, else to NOBODY.
    """
    found = {
        pid: Kin(seen.created, _component(seen, roots, known))
        for pid, seen in machine.items()
        if pid != supervisor and (seen.parent == supervisor or _is(seen, roots) or _is(seen, known))
    }
    children, new = processes.children(machine), list(found)
    while new:
        parent = new.pop()
        for child in children.get(parent, ()):
            if child not in found:
                found[child] = Kin(machine[child].created, found[parent].component)
                new.append(child)
    return found


class Family:
    """The family of this process; `births` is held while a child is started, so that no look takes it for an orphan."""

    def __init__(self) -> None:
        self.births = asyncio.Lock()
        self._roots: dict[int, Kin] = {}
        self._kin: Mapping[int, Kin] = {}

    def born(self, pid: int, created: float, component: str) -> None:
        """Remember a child that was just started."""
        self._roots[pid] = Kin(created, component)

    def swept(self, component: str) -> None:
        """Forget the dead child of a component of which nothing lives any more."""
        self._roots = {pid: kin for pid, kin in self._roots.items() if kin.component != component}

    async def look(self) -> Mapping[int, Seen]:
        """Look around and remember; return the machine's processes."""
        async with self.births:
            machine = await asyncio.to_thread(processes.scan)
            self._kin = trace(machine, os.getpid(), self._roots, self._kin)
        return machine

    def of(self, component: str) -> dict[int, float]:
        """Return the pids of a component, with when they started."""
        return {pid: kin.created for pid, kin in self._kin.items() if kin.component == component}

    @property
    def everybody(self) -> dict[int, float]:
        """Return all pids, with when they started."""
        return {pid: kin.created for pid, kin in self._kin.items()}

    @property
    def own(self) -> frozenset[int]:
        """Return the children that were started here, dead or alive."""
        return frozenset(self._roots)


def _component(seen: Seen, roots: Mapping[int, Kin], known: Mapping[int, Kin]) -> str:
    if _is(seen, roots):
        return roots[seen.pid].component
    if _is(seen, known) and known[seen.pid].component != NOBODY:
        return known[seen.pid].component
    return roots[seen.session].component if seen.session in roots else seen.component


def _is(seen: Seen, kin: Mapping[int, Kin]) -> bool:
    return seen.pid in kin and processes.same_start(seen.created, kin[seen.pid].created)
