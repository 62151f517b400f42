# SPDX-License-Identifier: Apache-2.0
"""What versioning needs: a place for contents, a registry of versions, and its own memory of projects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from pydantic import AwareDatetime

from mlops.contracts.datasets import DataSettings
from mlops.contracts.message import Part
from mlops.versioning.model import Alias, Content, Use, Version


@dataclass(frozen=True)
class Place:
    """Where a project's data stand: its folder, its remote, the cache that all projects share.

    To and from the remote no more than *bytes_per_s* move, if it is limited.
    """

    project: str
    folder: str
    remote: str
    cache: str
    bytes_per_s: int | None = None


@dataclass(frozen=True)
class Progress:
    """How far a long call is: `read` and `restore` go before `push`; in bytes while reading, else in files.

    Where transfers are limited, their step says so.
    """

    step: str
    done: int
    whole: int
    unit: str


@dataclass(frozen=True)
class Room:
    """What a project may hold on its remote: with the contents it holds, new ones stay below the limit."""

    held: tuple[str, ...]
    limit_bytes: int


@dataclass(frozen=True)
class Verified:
    """What was read again: how many objects, how many were put right, and which contents cannot be had whole.

    Of the repaired ones *repaired_there* were so on the remote; *unread* are there, and nothing proves their content.
    """

    checked: int
    size_bytes: int
    repaired: int
    lost: tuple[str, ...]
    repaired_there: int = 0
    unread: int = 0


@dataclass(frozen=True)
class Swept:
    """What was, or would be, deleted from cache and remote together."""

    objects: int
    size_bytes: int


Told = Callable[[Progress], None]


class Datasets(Protocol):
    """Contents of files and folders, kept by what they are.

    Promises: the project's own files are only ever read by `snapshot`, and stay writable after every call but a
    `restore` that asks for read-only ones; a path that leaves the project's folder (absolute, `..`, or through a
    link) is refused; every call may be repeated, also after the process died in the middle of it. *told* hears of a
    long call's progress, seldom and in order.
    All raise RejectedError for what can never work (with path and fix), UnavailableError for the rest.
    """

    async def provision(self, place: Place) -> None:
        """Make the project's folder known to DVC: its remote, the shared cache."""

    async def snapshot(
        self, place: Place, path: str, room: Room | None = None, told: Told | None = None
    ) -> Content:
        """Keep what stands at *path* in the cache and on the remote, and return it; both hold it then.

        Unchanged files are not read again. A file that grows meanwhile is kept as it was a moment ago, whole.
        """

    async def push(self, place: Place, oids: Sequence[str], told: Told | None = None) -> int:
        """Transfer what the remote lacks; return how many objects that were."""

    async def restore(
        self,
        place: Place,
        path: str,
        content: Content,
        *,
        held: Sequence[str] = (),
        read_only: bool = False,
        told: Told | None = None,
    ) -> None:
        """Put *content* at *path*, byte for byte, from the cache or else from the remote.

        *held* are the contents of the project's versions. Refuses to overwrite what neither they nor *content* name
        (that an object is in the cache says nothing), and changes nothing then; a file that is written to meanwhile is
        left alone and ends it in the middle. With *read_only* the files are links
        to the cache where the file system allows: at once, without a second copy, and not to be written to.
        """

    async def files(self, place: Place, content: Content) -> dict[str, str]:
        """Return where the files of *content* can be read in the cache, by their path in it (`""` for a single file).

        Brings what the cache lacks from the remote. The files are never to be written to.
        """


class Upkeep(Protocol):
    """Whether contents are still what they were, and the end of those that nobody needs."""

    async def forget(self, place: Place, path: str) -> None:
        """Take no file at *path* for unchanged at its next snapshot, whatever its size and times say."""

    async def verify(
        self,
        place: Place,
        oids: Sequence[str],
        *,
        repair: bool = True,
        deep: bool = False,
        told: Told | None = None,
    ) -> Verified:
        """Read all objects of the given contents again, in the cache and on the remote.

        With *repair* a damaged or missing object is put right from the other of the two; without, nothing changes and
        `lost` names what is not whole now. Of a remote that is no folder it is looked at what its server says of each
        object; what that does not prove is `unread`. *deep* reads everything there, too.
        """

    async def sweep(
        self,
        place: Place,
        dead: Sequence[str],
        live: Sequence[str],
        *,
        projects: Sequence[Place] = (),
        unnamed: bool = False,
        own_remotes: str = "",
        grace: timedelta,
        dry: bool,
        told: Told | None = None,
    ) -> Swept:
        """Delete from cache and remote what *dead* contents name and no *live* one does; *dry* only counts.

        *live* are the contents of all *projects*: they share the cache. What a `.dvc` file in one of their folders
        names stays too, but for a dead one that still stands in the place's own. An object younger than *grace*, counted from the call, stays: an
        addition that needs it may be under way (one that meets an old object makes it young). Where a live folder's
        listing is in no project's cache and on no project's remote nothing is deleted and UnavailableError says so.
        With *unnamed* everything else goes that neither *live* contents nor such `.dvc` files name, from the shared cache
        and from a remote in the folder *own_remotes*, not from what others may share; and what was begun on the remote
        and given up. What a killed call has left half written goes in any case.
        """


class Contents(Datasets, Upkeep, Protocol):
    """Contents and their upkeep, in one place."""


@dataclass(frozen=True)
class Claim:
    """What a `.dvc` file or an output of a pipeline is: where it stands in the project's folder, and its content.

    `stage` is the one that has made it; empty for a `.dvc` file.
    """

    path: str
    content: Content
    stage: str = ""


class Reach(Protocol):
    """Whether the remotes of projects can be used."""

    async def touch(self, place: Place, oid: str) -> bool:
        """Return True when the project's remote holds an object; UnavailableError says why it cannot be had there, and the fix.

        False while it cannot be asked at all: the project's folder is not there, or its versions move to another remote.
        Nothing is changed by it.
        """


class PeoplesFiles(Protocol):
    """What people version themselves, with DVC by hand; none of their files is changed."""

    async def look(self, folder: str) -> dict[str, str]:
        """Return a signature of each `.dvc` file and output of a pipeline below *folder*; another one means another content.

        It costs a stat for each folder and file; what is too much, or nobody's own (environments, `node_modules`,
        hidden folders, what DVC keeps), is passed by.
        """

    async def named(self, folder: str, file: str) -> tuple[str, str] | None:
        """Return the path and the address that a file or an output names, or None when it names none or several."""

    async def arrived(self, place: Place, oid: str) -> bool:
        """Return whether a stat shows that the project's remote has an object; False where that takes more."""

    async def unpushed(self, place: Place, files: Sequence[str]) -> set[str]:
        """Return those of several files and outputs that no remote of the project holds, as far as remotes can be asked."""

    async def claimed(self, place: Place, file: str) -> Claim | None:
        """Return what the file names, once the project's remote here holds all of it; None while no remote does.

        What another remote of the project holds is copied. Raises UnavailableError when one that is looked at cannot be asked.
        """


class Models(Protocol):
    """The files of registered models."""

    async def keep(self, place: Place, name: str, version: int) -> Content | None:
        """Keep a registered version's files in the cache and on the remote, and return them; None when there are none.

        The project's folder is not written to. Raises UnavailableError when the model registry is away.
        """


class Comparison(Protocol):
    """How two contents differ; they are only read."""

    async def between(
        self, old: Mapping[str, str], new: Mapping[str, str], name: str, key: str
    ) -> dict[str, Any]:
        """Return which files differ and how tables do; bounded, however large they are.

        *old* and *new* tell where each file lies ('' for a single one, which is called *name*); rows are matched by the
        column *key*, without one by all they hold. Raises RejectedError when a table lacks that column.
        """


class Versions(Protocol):
    """The registry: numbered contents by project and name. The content of a version never changes."""

    async def remember(self, wished: Version, command_id: str) -> Version:
        """Number *wished* as the next version (its own number and parent are ignored) and return it.

        A command that was remembered before gets the version it got then; content that the dataset had at
        the same path before gets that version, unless it was removed: a number is never given twice. The row
        and the command's id are one write.
        """

    async def note(self, version: Version, command_id: str) -> None:
        """Keep that a command was about *version*, once; what it got before stays."""

    async def of_command(self, command_id: str) -> Version | None:
        """Return the version that a command got, or None."""

    async def known(
        self, project: str, name: str | None = None, *, removed: bool = False
    ) -> list[Version]:
        """Return the versions of a project, or of one dataset, by name and number; those *removed* if asked."""


class Labels(Protocol):
    """What people say about versions: aliases, tags, and which ones are given up.

    Every change and its command's id are one write; a command that was applied before changes nothing.
    """

    async def point(self, version: Version, alias: str, command_id: str) -> None:
        """Let *alias* of the dataset name *version*, whatever it named before."""

    async def unpoint(self, version: Version, alias: str, command_id: str) -> None:
        """Take *alias*, which named *version*, away."""

    async def aliases(self, project: str, name: str | None = None) -> list[Alias]:
        """Return the aliases of a project, or of one dataset, by dataset and alias."""

    async def say(
        self, version: Version, tags: Sequence[str], description: str, command_id: str
    ) -> None:
        """Replace the tags and the description of *version*."""

    async def remove(self, version: Version, at: datetime, command_id: str) -> None:
        """Give *version* up, with the aliases that name it; its number stays taken."""


class Holdings(Protocol):
    """What all versions of all projects hold together, and where."""

    async def live(self) -> list[str]:
        """Return the addresses of all contents that a version of any project names, removed ones not."""

    async def moved(self, project: str, remote: str) -> None:
        """Keep that the contents of a project's versions are on *remote* now."""


class Reads(Protocol):
    """Which runs have read which versions."""

    async def record_uses(self, project: str, uses: Sequence[Use], at: datetime) -> None:
        """Keep which versions a run has read; repeating it changes nothing."""

    async def uses(self, project: str) -> list[Use]:
        """Return which versions the runs of a project have read, by run and name."""


class Registry(Versions, Labels, Holdings, Reads, Protocol):
    """Versions, what people say about them and who has read them, in one place."""


class KnownProject(Part):
    """The document of a project in the bucket `versioning_projects`."""

    folder: str | None = None
    revision: int = 0
    archived: bool = False
    at: AwareDatetime
    data: DataSettings = DataSettings()
    # Where its versions are; differs from `data.remote` until all of them have been brought there.
    remote: str = ""


class LostRemote(Part):
    """The document of a project's remote that cannot be used, in the bucket `versioning_remotes`."""

    remote: str
    lost_at: AwareDatetime
    # Whether people have heard of it.
    told: bool = False


class Addition(Part):
    """The document of an addition that is under way, in the bucket `versioning_additions`."""

    project: str
    path: str
    at: AwareDatetime
