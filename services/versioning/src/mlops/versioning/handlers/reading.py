# SPDX-License-Identifier: Apache-2.0
"""Questions about what versions hold: where it lies to be read, and how two of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mlops.chassis.errors import RejectedError
from mlops.versioning import model
from mlops.versioning.handlers.asked import facts, versions_of
from mlops.versioning.handlers.errands import Errands
from mlops.versioning.handlers.listings import Listings
from mlops.versioning.handlers.projects import Projects
from mlops.versioning.model import Version
from mlops.versioning.ports import Comparison, Datasets, Registry

Question = Mapping[str, Any]
_USUAL = 1000


class Reading:
    """Answers that need contents; the project's folder is neither read nor changed for them."""

    def __init__(
        self,
        projects: Projects,
        datasets: Datasets,
        versions: Registry,
        comparison: Comparison,
        errands: Errands,
    ) -> None:
        self._projects = projects
        self._datasets = datasets
        self._listings = Listings(projects, datasets)
        self._versions = versions
        self._comparison = comparison
        self._errands = errands

    async def open(self, question: Question) -> dict[str, Any]:
        """Answer `query.versioning.open {project, name, version?}`: the folder of the objects, once all are there.

        The version is a number or an alias, the newest without one. `{"ready": false}` says that the content is being fetched: ask again.
        """
        version = await self._meant(question, "version")

        async def brought() -> dict[str, Any]:
            return {**facts(version), "objects": (await self._listings.fetched(version)).objects}

        return await self._errands.result(f"open {_key(version)}", brought)

    async def files(self, question: Question) -> dict[str, Any]:
        """Answer `query.versioning.files {project, name, version?, after?, limit?}`: the next names and addresses.

        `next` is what to ask `after` for more of them, None after the last; `{"ready": false}`: ask again.
        """
        version = await self._meant(question, "version")
        after, limit = question.get("after"), _limit(question)

        async def paged() -> dict[str, Any]:
            listing = await self._listings.of(version)
            page = listing.page(None if after is None else str(after), limit)
            rest = page[-1][0] if page and page[-1][0] != listing.names[-1] else None
            shown = [{"path": name, "hash": address} for name, address in page]
            return {**facts(version), "listed": shown, "next": rest}

        return await self._errands.result(f"files {_key(version)} {limit} {after!r}", paged)

    async def object(self, question: Question) -> dict[str, Any]:
        """Answer `query.versioning.object {project, name, version, hash}`: where the cache has an object of a version.

        One that is not the version's is refused, so nobody reads another project's data by its address.
        """
        version = await self._meant(question, "version")
        address = _text(question, "hash")

        async def found() -> dict[str, Any]:
            place = (await self._listings.of(version)).place(address)
            if place is None:
                raise RejectedError(f"{_key(version)} has no content {address!r}")
            return {"hash": address, "place": place}

        return await self._errands.result(f"object {_key(version)} {address}", found)

    async def diff(self, question: Question) -> dict[str, Any]:
        """Answer `query.versioning.diff {project, name, before, after?, key?}`; `{"ready": false}`: ask again."""
        before = await self._meant(question, "before")
        after = await self._meant(question, "after")
        key = _text(question, "key")

        async def compared() -> dict[str, Any]:
            old, new = await self._files(before), await self._files(after)
            name = PurePath(after.path).name
            found = await self._comparison.between(old, new, name, key)
            return {"before": facts(before), "after": facts(after), **found}

        asked = f"diff {_key(before)} {_key(after)} {key}"
        return await self._errands.result(asked, compared, keep=True)

    async def _meant(self, question: Question, field: str) -> Version:
        project, name = _text(question, "project"), _text(question, "name")
        if not project or not name:
            raise RejectedError("which dataset? Ask with {project, name}")
        known = await versions_of(self._versions, project, name)
        wanted = _text(question, field) or model.LATEST
        aliases = await self._versions.aliases(project, name)
        found = model.chosen(known, aliases, wanted)
        if found is None:
            named = ", ".join(sorted({one.alias for one in aliases})) or "none"
            raise RejectedError(
                f"dataset {name!r} has no version {wanted!r}; the newest is {known[-1].version}, "
                f"aliases: {named}"
            )
        return found

    async def _files(self, version: Version) -> Mapping[str, str]:
        place = await self._projects.place_of(version.project)
        return await self._datasets.files(place, version.content)


def _key(version: Version) -> str:
    return f"{version.project}/{version.name}@{version.version}"


def _limit(question: Question) -> int:
    told = _text(question, "limit") or str(_USUAL)
    if not (told.isascii() and told.isdigit() and 1 <= int(told) <= _USUAL):
        raise RejectedError(f"limit must be a whole number from 1 to {_USUAL}, not {told!r}")
    return int(told)


def _text(question: Question, field: str) -> str:
    found = question.get(field)
    return "" if found is None else str(found)
