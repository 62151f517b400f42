# SPDX-License-Identifier: Apache-2.0
"""KnownProjects: refuses facts of a project that nobody registered; nobody downstream would ever say so."""

from __future__ import annotations

from mlops.chassis.bus import Bus
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.chassis.tokens import Caller
from mlops.gateway.errors import CallerError
from mlops.gateway.ports import Memory


class KnownProjects:
    """The projects that the bus told of, and workspaces for those it has not told of yet."""

    def __init__(self, bus: Bus, memory: Memory) -> None:
        self._bus = bus
        self._memory = memory

    async def check(self, project: str, caller: Caller) -> None:
        """Return when the project is registered, or nobody can tell; CallerError 404 when it is not."""
        projects = self._memory.world.projects
        if project in projects:
            return
        try:
            await self._bus.ask("workspaces", "get", {"project": project})
        except RejectedError as error:
            known = ", ".join(sorted(filter(caller.sees, projects))) or "none yet"
            raise CallerError(
                404,
                "no such project",
                project,
                f"register it with `mlops register`; registered are: {known}",
            ) from error
        except (UnavailableError, TimeoutError):
            return  # nobody can tell at the moment; a fact must not be lost for that
