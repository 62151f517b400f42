# SPDX-License-Identifier: Apache-2.0
"""Figures: what each running component costs, and whether it still answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from mlops.cli.home import Home
from mlops.cli.supervisor import gates, processes
from mlops.cli.supervisor import state as told
from mlops.cli.supervisor.component import Gate
from mlops.cli.supervisor.state import Status, Told


@dataclass(frozen=True)
class Figure:
    """One component: as told, its processes, their memory, and what is wrong with its answer now."""

    status: Status
    pids: tuple[int, ...]
    memory_bytes: int
    trouble: str = ""

    @property
    def state(self) -> str:
        """Return the state, as a person wants to read it."""
        if self.trouble and self.status.state == told.READY:
            return "unhealthy"
        return self.status.state

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        status = self.status
        return {
            "component": status.name,
            "state": self.state,
            "pid": status.pid,
            "pids": list(self.pids),
            "ready_at": status.ready,
            "took_s": status.took_s,
            "restarts": status.restarts,
            "address": status.address,
            "memory_bytes": self.memory_bytes,
            "log": status.log,
            "error": self.trouble or status.error,
            "fix": status.fix,
            "optional": status.optional,
        }


def measure(home: Home, found: Told) -> list[Figure]:
    """Return figures of every component; shared memory is counted by its share, so that sums are true."""
    machine = processes.scan()
    troubles = asyncio.run(_troubles(found))
    rows, taken = [], set[int]()
    for status in found.components:
        pids = members(home, machine, status) - taken
        taken |= pids
        memory = sum(processes.memory_bytes(pid) for pid in pids)
        trouble = troubles.get(status.name, "")
        rows.append(Figure(status, tuple(sorted(pids)), memory, trouble))
    return rows


def members(home: Home, machine: dict[int, processes.Seen], status: Status) -> set[int]:
    """Return the processes of one component."""
    root = {status.pid: status.created} if status.pid and status.created else {}
    markers = [str(home.short)] if status.name == "ray" else []
    return processes.belonging(
        machine, home=str(home.root), roots=root, component=status.name, markers=markers
    )


def supervisor(found: Told) -> dict[str, Any]:
    """Return the figures of the supervisor itself."""
    memory = processes.memory_bytes(found.pid) if found.pid else 0
    return {"pid": found.pid, "memory_bytes": memory, "started_at": found.started}


async def _troubles(found: Told) -> dict[str, str]:
    asked = [one for one in found.components if one.state == told.READY and one.gate_url]
    answers = await asyncio.gather(*(gates.closed_because(Gate(url=one.gate_url)) for one in asked))
    return {one.name: answer for one, answer in zip(asked, answers, strict=True)}
