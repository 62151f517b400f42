# SPDX-License-Identifier: Apache-2.0
"""Whether the remotes that hold versions can be used: looked at now and then, told when one was lost and when it is back.

The service itself stays ready: one project's remote is no reason for another's to wait.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import ChassisError
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.versioning import RemoteLost, RemoteRegained
from mlops.versioning.handlers.projects import Projects
from mlops.versioning.ports import LostRemote, Place, Reach, Versions

EVERY = timedelta(minutes=10)
# A server that is started again, or a share that is mounted again, is no news.
PATIENCE = timedelta(minutes=3)
_LONGEST = 2000


class RemoteWatch:
    """Remembers in a document which remotes are lost, so that their return is told after a restart, too."""

    def __init__(
        self,
        projects: Projects,
        versions: Versions,
        reach: Reach,
        lost: Documents[LostRemote],
        clock: Clock,
    ) -> None:
        self._projects = projects
        self._versions = versions
        self._reach = reach
        self._lost = lost
        self._clock = clock
        self._looked_at: dict[str, datetime] = {}

    async def look(self) -> AsyncGenerator[Message, None]:
        """Look at what is due, and yield what is new; it must be stored before the next step."""
        lost, places = await self._lost.all(), await self._projects.places()
        for project in lost.keys() - {one.project for one in places}:
            async for message in self._over(project, lost[project]):
                yield message
        for place in places:
            known = lost.get(place.project)
            if not self._is_due(place, known):
                continue
            self._looked_at[place.remote] = self._clock()
            problem = await self._problem(place)
            if problem is None:
                continue
            async for message in self._compare(place, known, problem):
                yield message

    def _is_due(self, place: Place, known: LostRemote | None) -> bool:
        looked_at = self._looked_at.get(place.remote)
        if looked_at is None:
            return True
        # One that has been away for long is asked seldom, for each answer is waited for.
        wait = EVERY if known is None else min(EVERY, (looked_at - known.lost_at) / 2)
        return self._clock() - looked_at >= wait

    async def _problem(self, place: Place) -> str | None:
        """Return what keeps the remote from giving back the newest version, None while that cannot be told.

        Nothing when there is none to give.
        """
        held = [
            one for one in await self._versions.known(place.project) if one.remote == place.remote
        ]
        if not held:
            return ""
        newest = max(held, key=lambda one: one.created_at)
        try:
            if not await self._reach.touch(place, newest.content.oid):
                return None
        except ChassisError as error:
            return str(error)[:_LONGEST]
        return ""

    async def _compare(
        self, place: Place, known: LostRemote | None, problem: str
    ) -> AsyncGenerator[Message, None]:
        if known is not None and (not problem or known.remote != place.remote):
            async for message in self._over(place.project, known):
                yield message
            known = None
        if not problem:
            return
        now = self._clock()
        if known is None:
            known = LostRemote(remote=place.remote, lost_at=now)
            await self._keep(place.project, known, "seen")
        if not known.told and now - known.lost_at >= PATIENCE:
            yield RemoteLost(
                project=place.project,
                id=_id(place.project, known, RemoteLost.type),
                remote=known.remote,
                reason=problem,
                lost_at=known.lost_at,
            )
            await self._keep(place.project, known.model_copy(update={"told": True}), "told")

    async def _over(self, project: str, known: LostRemote) -> AsyncGenerator[Message, None]:
        if known.told:
            yield RemoteRegained(
                project=project,
                id=_id(project, known, RemoteRegained.type),
                remote=known.remote,
            )
        await self._lost.delete(project)

    async def _keep(self, project: str, fresh: LostRemote, step: str) -> None:
        applied = f"{project} {fresh.remote} {fresh.lost_at.isoformat()} {step}"
        await self._lost.change(project, lambda _: fresh, applied=applied)


def _id(project: str, known: LostRemote, type_: str) -> str:
    # The same each time: a death between telling and noting tells nothing twice.
    return follow_up_id(f"{project} {known.remote} {known.lost_at.isoformat()}", type_, 0)
