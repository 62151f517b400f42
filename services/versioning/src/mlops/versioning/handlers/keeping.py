# SPDX-License-Identifier: Apache-2.0
"""Whether the contents of versions are still what they were, and the end of those that were given up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.contracts.versioning import (
    CollectData,
    DamagedVersion,
    DataCollected,
    DataVerified,
    VerifyData,
)
from mlops.versioning.handlers.asked import versions_of
from mlops.versioning.handlers.projects import Projects
from mlops.versioning.handlers.watching import Watching
from mlops.versioning.model import Version
from mlops.versioning.ports import Registry, Upkeep

# An addition of another project may be about to name an object that it has met in the shared cache.
_GRACE = timedelta(hours=1)
# What nobody names may be somebody's who has not come to naming it.
_GRACE_OF_UNNAMED = timedelta(days=1)
_MOST_TOLD = 100


class Keeping:
    """What people wish for contents that stand."""

    def __init__(
        self,
        projects: Projects,
        upkeep: Upkeep,
        registry: Registry,
        watching: Watching,
        own_remotes: str = "",
    ) -> None:
        self._projects = projects
        self._upkeep = upkeep
        self._registry = registry
        self._watching = watching
        self._own_remotes = own_remotes

    async def do_verify_data(self, command: VerifyData) -> Sequence[Message]:
        """Read everything that the versions name again, and say which versions are not whole."""
        async with self._watching.turn(command) as told:
            place = await self._projects.place_for(command, adds=False)
            known = await self._known(command)
            oids = sorted({version.content.oid for version in known})
            found = await self._upkeep.verify(
                place, oids, repair=command.repair, deep=command.deep, told=told
            )
        damaged = [version for version in known if version.content.oid in found.lost]
        named = [DamagedVersion(name=one.name, version=one.version) for one in damaged]
        return [
            DataVerified(
                project=command.project,
                name=command.name,
                versions=len(known),
                objects=found.checked,
                size_bytes=found.size_bytes,
                repaired=found.repaired,
                repair=command.repair,
                damaged_versions=len(damaged),
                damaged=tuple(named[-_MOST_TOLD:]),
                repaired_on_remote=found.repaired_there,
                unread=found.unread,
            )
        ]

    async def do_collect_data(self, command: CollectData) -> Sequence[Message]:
        """Delete what only removed versions name, or, if wished, what nobody does."""
        async with self._watching.turn(command) as told:
            place = await self._projects.place_for(command, adds=False)
            known = await self._registry.known(command.project, removed=True)
            removed = [version for version in known if version.removed_at is not None]
            projects = await self._projects.places(archived=True)
            if command.unnamed:
                # Before it is asked what lives: an addition that ends in between would be in neither.
                self._refuse_beside_others(command)
            live = await self._registry.live()
            dead = sorted({version.content.oid for version in removed} - set(live))
            swept = await self._upkeep.sweep(
                place,
                dead,
                live,
                projects=projects,
                unnamed=command.unnamed,
                own_remotes=self._own_remotes,
                grace=_GRACE_OF_UNNAMED if command.unnamed else _GRACE,
                dry=command.dry_run,
                told=told,
            )
        return [
            DataCollected(
                project=command.project,
                versions=len(removed),
                objects=swept.objects,
                size_bytes=swept.size_bytes,
                dry_run=command.dry_run,
            )
        ]

    def _refuse_beside_others(self, command: CollectData) -> None:
        # One that has lasted longer than the grace needs objects that look forgotten; what begins from now on
        # makes each that it meets young.
        if busy := self._watching.others(command.project):
            raise RejectedError(
                f"data of project {busy[0]!r} are being worked on, in the same cache: what nobody names cannot be told "
                "from what it is about to name; try again when that is done"
            )

    async def _known(self, command: VerifyData) -> list[Version]:
        if command.name:
            return await versions_of(self._registry, command.project, command.name)
        known = await self._registry.known(command.project)
        if not known:
            raise RejectedError(
                f"project {command.project!r} has no versions of any dataset; `mlops data add PATH`"
            )
        return known
