# SPDX-License-Identifier: Apache-2.0
"""Listings: which objects a version consists of, kept a while: who fetches 100 000 files asks for each of them."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import PurePath

from mlops.chassis.errors import UnavailableError
from mlops.versioning.handlers.projects import Projects
from mlops.versioning.model import Version
from mlops.versioning.ports import Datasets

# Of all listings that are kept; the last one is kept however long it is.
_MOST_FILES = 200_000
# An answer must fit into one message of the bus.
_MOST_BYTES = 200_000


@dataclass(frozen=True)
class Listing:
    """The folder of the cache's objects, and the files' addresses by their names, in the order of names."""

    objects: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    known: frozenset[str]

    def place(self, address: str) -> str | None:
        """Return where an object of the version lies; None for one that is not the version's."""
        if address not in self.known:
            return None
        return f"{self.objects}/{address[:2]}/{address[2:]}"

    def page(self, after: str | None, limit: int) -> list[tuple[str, str]]:
        """Return names and addresses behind *after*: at most *limit*, and what fits into an answer."""
        start = 0 if after is None else bisect_right(self.names, after)
        found: list[tuple[str, str]] = []
        room = _MOST_BYTES
        for name, address in zip(self.names[start:], self.addresses[start:], strict=True):
            room -= len(name.encode()) + len(address)
            if len(found) == limit or (found and room < 0):
                break
            found.append((name, address))
        return found


class Listings:
    """Asks for the content of a version, which is fetched if the cache lacks it, and remembers what it consists of."""

    def __init__(self, projects: Projects, datasets: Datasets) -> None:
        self._projects = projects
        self._datasets = datasets
        self._kept: OrderedDict[tuple[str, str], Listing] = OrderedDict()

    async def fetched(self, version: Version) -> Listing:
        """Return the listing; all of the content is in the cache then."""
        place = await self._projects.place_of(version.project)
        files = await self._datasets.files(place, version.content)
        if not files:
            raise UnavailableError(f"{version.name}@{version.version} holds no file")
        listing = _listing(files, version)
        self._keep((version.project, version.content.oid), listing)
        return listing

    async def of(self, version: Version) -> Listing:
        """Return the listing; what was fetched a while ago is not looked at again."""
        key = (version.project, version.content.oid)
        held = self._kept.get(key)
        if held is None:
            return await self.fetched(version)
        self._kept.move_to_end(key)
        return held

    def _keep(self, key: tuple[str, str], listing: Listing) -> None:
        self._kept.pop(key, None)
        self._kept[key] = listing
        held = sum(len(one.names) for one in self._kept.values())
        while len(self._kept) > 1 and held > _MOST_FILES:
            _, gone = self._kept.popitem(last=False)
            held -= len(gone.names)


def _listing(files: dict[str, str], version: Version) -> Listing:
    # Two letters of an object's address are its folder, the rest its name.
    first = PurePath(next(iter(files.values())))
    pairs = sorted((name or PurePath(version.path).name, at) for name, at in files.items())
    addresses = tuple("".join(at.rsplit("/", 2)[1:]) for _, at in pairs)
    return Listing(
        objects=str(first.parent.parent),
        names=tuple(name for name, _ in pairs),
        addresses=addresses,
        known=frozenset((*addresses, version.content.oid)),
    )
