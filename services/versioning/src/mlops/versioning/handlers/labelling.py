# SPDX-License-Identifier: Apache-2.0
"""Aliases, tags, and versions that are given up: what people say about versions, never their contents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.contracts.versioning import (
    AliasData,
    DataAliased,
    DataRemoved,
    DataTagged,
    DataUnaliased,
    RemoveData,
    TagData,
    UnaliasData,
)
from mlops.versioning import model
from mlops.versioning.handlers.asked import Turns, facts, version_of, versions_of
from mlops.versioning.model import Version
from mlops.versioning.ports import Registry

_MOST_TAGS = 20
_MOST_NAMED = 5


class Labelling:
    """Everything people say about versions."""

    def __init__(self, registry: Registry, turns: Turns, clock: Clock) -> None:
        self._registry = registry
        self._turns = turns
        self._clock = clock

    async def do_alias_data(self, command: AliasData) -> Sequence[Message]:
        """Point the alias at the version."""
        if problem := model.problem_with_alias(command.alias):
            raise RejectedError(problem)
        async with self._turns[command.project]:
            version = await self._registry.of_command(command.id)
            if version is None:
                version = await self._named(command)
                await self._registry.point(version, command.alias, command.id)
        return [DataAliased.model_validate({**facts(version), "alias": command.alias})]

    async def do_unalias_data(self, command: UnaliasData) -> Sequence[Message]:
        """Take the alias away."""
        async with self._turns[command.project]:
            version = await self._registry.of_command(command.id)
            if version is None:
                version = await self._pointed(command)
                await self._registry.unpoint(version, command.alias, command.id)
        return [DataUnaliased.model_validate({**facts(version), "alias": command.alias})]

    async def do_tag_data(self, command: TagData) -> Sequence[Message]:
        """Change the tags and the description of the version."""
        if problem := model.problem_with_tags(command.add):
            raise RejectedError(problem)
        async with self._turns[command.project]:
            version = await self._registry.of_command(command.id) or await self._say(command)
        told = {"tags": version.tags, "description": version.description}
        return [DataTagged.model_validate({**facts(version), **told})]

    async def do_remove_data(self, command: RemoveData) -> Sequence[Message]:
        """Give the version up, unless somebody names it."""
        async with self._turns[command.project]:
            version = await self._registry.of_command(command.id)
            if version is None:
                version = await self._named(command)
                await self._refuse_used(command, version)
                await self._registry.remove(version, self._clock(), command.id)
        return [DataRemoved.model_validate(facts(version))]

    async def _named(self, command: AliasData | TagData | RemoveData) -> Version:
        return await version_of(self._registry, command.project, command.name, command.version)

    async def _pointed(self, command: UnaliasData) -> Version:
        known = await versions_of(self._registry, command.project, command.name)
        aliases = await self._registry.aliases(command.project, command.name)
        numbers = {alias.alias: alias.version for alias in aliases}
        version = model.meant(known, numbers.get(command.alias), None)
        if version is None:
            raise RejectedError(
                f"dataset {command.name!r} has no alias {command.alias!r}; "
                f"it has: {', '.join(numbers) or 'none'}"
            )
        return version

    async def _say(self, command: TagData) -> Version:
        version = await self._named(command)
        tags = model.tagged(version, command.add, command.remove)
        if len(tags) > _MOST_TAGS:
            raise RejectedError(
                f"version {version.version} of {version.name!r} would have {len(tags)} tags, "
                f"at most {_MOST_TAGS} are kept; remove some"
            )
        words = version.description if command.description is None else command.description
        await self._registry.say(version, tags, words, command.id)
        return replace(version, tags=tags, description=words)

    async def _refuse_used(self, command: RemoveData, version: Version) -> None:
        aliases = await self._registry.aliases(version.project, version.name)
        uses = await self._registry.uses(version.project)
        named_by = model.names_in_use(version, aliases, uses)
        if not named_by or command.force:
            return
        more = len(named_by) - _MOST_NAMED
        rest = f" and {more} more" if more > 0 else ""
        raise RejectedError(
            f"version {version.version} of {version.name!r} is named by "
            f"{', '.join(named_by[:_MOST_NAMED])}{rest}; move the alias, or use force to give the "
            "version up all the same"
        )
