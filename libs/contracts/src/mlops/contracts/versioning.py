# SPDX-License-Identifier: Apache-2.0
"""Messages of versioning: which versions of which datasets exist and where."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field

from mlops.contracts.message import Part, ProjectCommand, ProjectEvent

ALIAS_PATTERN = r"^[A-Za-z][A-Za-z0-9._-]{0,63}$"
AliasName = Annotated[
    str, Field(pattern=ALIAS_PATTERN, description="A name that is moved from version to version.")
]
Tag = Annotated[
    str,
    Field(
        pattern=r"^[^\s,]{1,64}$",
        description="A word people find versions by; no spaces and no commas.",
    ),
]


class _DataEvent(ProjectEvent):
    about: ClassVar[str | None] = "name"

    name: str = Field(max_length=128, description="Dataset name within the project.")
    version: int = Field(ge=1, description="Integer version of the dataset.")
    hash: str = Field(
        max_length=128, description="Content address, as in DVC (md5, `.dir` for folders)."
    )
    size_bytes: int = Field(ge=0, description="Size of the content.")
    files: int = Field(ge=0, description="Number of files.")
    path: str = Field(max_length=1024, description="Relative to the project's folder.")


class DataVersioned(_DataEvent):
    """A version of a dataset is stored, on the remote too, and can be restored."""

    type: ClassVar[str] = "data.versioned"

    remote: str = Field(max_length=1024, description="The DVC remote it is on.")
    parent_version: int | None = Field(default=None, ge=1, description="The version before.")
    run_id: str | None = Field(default=None, max_length=64, description="The run that produced it.")
    stage: str = Field(
        default="",
        max_length=256,
        description="The stage of a DVC pipeline that produced it, as DVC calls it; else empty.",
    )


class DataPushed(_DataEvent):
    """A version of a dataset is on the remote."""

    type: ClassVar[str] = "data.pushed"

    remote: str = Field(max_length=1024, description="The DVC remote it is on.")
    objects: int = Field(ge=0, description="Objects that had to be transferred.")


class DataRestored(_DataEvent):
    """A version of a dataset stands in the project's folder again, byte for byte."""

    type: ClassVar[str] = "data.restored"


class DataAliased(_DataEvent):
    """An alias of a dataset points at this version from now on."""

    type: ClassVar[str] = "data.aliased"

    alias: AliasName


class DataUnaliased(_DataEvent):
    """An alias of a dataset is gone; the version it pointed at stays."""

    type: ClassVar[str] = "data.unaliased"

    alias: AliasName


class DataTagged(_DataEvent):
    """A version of a dataset has these tags and this description from now on."""

    type: ClassVar[str] = "data.tagged"

    tags: tuple[Tag, ...] = Field(default=(), max_length=20, description="All of its tags.")
    description: str = Field(default="", max_length=500, description="What people say about it.")


class DataRemoved(_DataEvent):
    """A version of a dataset can no longer be had; its number is not given again."""

    type: ClassVar[str] = "data.removed"


class DamagedVersion(Part):
    """A version whose content is not whole."""

    name: str = Field(max_length=128, description="Dataset name within the project.")
    version: int = Field(ge=1, description="Integer version of the dataset.")


class DataVerified(ProjectEvent):
    """The contents of versions were read again and held against their addresses."""

    type: ClassVar[str] = "data.verified"
    about: ClassVar[str | None] = "name"

    name: str = Field(default="", max_length=128, description="The dataset; empty means all.")
    versions: int = Field(ge=0, description="Versions that were looked at.")
    objects: int = Field(ge=0, description="Objects that were read.")
    size_bytes: int = Field(ge=0, description="Size of what was read.")
    repaired: int = Field(ge=0, description="Objects that were put right from the other copy.")
    repair: bool = Field(description="Whether damage was to be repaired, or only found.")
    damaged_versions: int = Field(
        ge=0, description="Versions that are not whole now, after the repair if there was one."
    )
    damaged: tuple[DamagedVersion, ...] = Field(
        default=(), max_length=100, description="The newest of them."
    )
    repaired_on_remote: int = Field(
        default=0, ge=0, description="Of the objects that were put right, those of the remote."
    )
    unread: int = Field(
        default=0,
        ge=0,
        description="Objects on the remote that are there, and of whose content nothing is known without reading them.",
    )


class DataCollected(ProjectEvent):
    """The space of versions that were given up is free again."""

    type: ClassVar[str] = "data.collected"

    versions: int = Field(ge=0, description="Versions that were given up so far.")
    objects: int = Field(ge=0, description="Objects that were deleted from cache and remote.")
    size_bytes: int = Field(ge=0, description="Their size.")
    dry_run: bool = Field(description="Whether they were only counted.")


class RemoteLost(ProjectEvent):
    """The remote of a project's data cannot be used, and could not a while ago either."""

    type: ClassVar[str] = "remote.lost"
    about: ClassVar[str | None] = "remote"

    remote: str = Field(max_length=1024, description="The DVC remote.")
    reason: str = Field(max_length=2000, description="Where, why, and the fix where one is known.")
    lost_at: AwareDatetime = Field(description="When it was first seen to be so.")


class RemoteRegained(ProjectEvent):
    """The remote of a project's data can be used again, or the project needs it no more."""

    type: ClassVar[str] = "remote.regained"
    about: ClassVar[str | None] = "remote"

    remote: str = Field(max_length=1024, description="The DVC remote that was lost.")


class AddData(ProjectCommand):
    """Version the present content of a dataset; unchanged content keeps its version."""

    type: ClassVar[str] = "cmd.data.add"
    about: ClassVar[str | None] = "name"

    name: str = Field(
        default="", max_length=128, description="Dataset name; empty takes the file's name."
    )
    path: str = Field(max_length=1024, description="Relative to the project's folder.")
    run_id: str | None = Field(
        default=None, max_length=64, description="The run that produced the content."
    )
    reread: bool = Field(
        default=False,
        description="Whether every file is read again, also those whose size and times are as before.",
    )


class PushData(ProjectCommand):
    """Transfer what the remote lacks."""

    type: ClassVar[str] = "cmd.data.push"
    about: ClassVar[str | None] = "name"

    name: str = Field(max_length=128, description="Dataset name within the project.")


class PullData(ProjectCommand):
    """Fetch the newest version of a dataset, or the one that an alias points at, into the project's folder."""

    type: ClassVar[str] = "cmd.data.pull"
    about: ClassVar[str | None] = "name"

    name: str = Field(max_length=128, description="Dataset name within the project.")
    alias: str = Field(
        default="",
        max_length=64,
        description="An alias of the dataset, or a version's number; empty is the newest.",
    )


class RestoreData(ProjectCommand):
    """Put an earlier version of a dataset into the project's folder."""

    type: ClassVar[str] = "cmd.data.restore"
    about: ClassVar[str | None] = "name"

    name: str = Field(max_length=128, description="Dataset name within the project.")
    version: int = Field(ge=1, description="The version to restore.")


class AliasData(ProjectCommand):
    """Point an alias of a dataset at a version, wherever it pointed before."""

    type: ClassVar[str] = "cmd.data.alias"
    about: ClassVar[str | None] = "name"

    name: str = Field(max_length=128, description="Dataset name within the project.")
    alias: AliasName
    version: int = Field(ge=1, description="The version it is to point at.")


class UnaliasData(ProjectCommand):
    """Take an alias away from a dataset."""

    type: ClassVar[str] = "cmd.data.unalias"
    about: ClassVar[str | None] = "name"

    name: str = Field(max_length=128, description="Dataset name within the project.")
    alias: AliasName


class TagData(ProjectCommand):
    """Say something about a version of a dataset."""

    type: ClassVar[str] = "cmd.data.tag"
    about: ClassVar[str | None] = "name"

    name: str = Field(max_length=128, description="Dataset name within the project.")
    version: int = Field(ge=1, description="The version it is about.")
    add: tuple[Tag, ...] = Field(default=(), max_length=20, description="Tags it gets.")
    remove: tuple[Tag, ...] = Field(default=(), max_length=20, description="Tags it loses.")
    description: str | None = Field(
        default=None, max_length=500, description="Its new description; None leaves the old one."
    )


class RemoveData(ProjectCommand):
    """Give up a version of a dataset; its space is freed by the next collection."""

    type: ClassVar[str] = "cmd.data.remove"
    about: ClassVar[str | None] = "name"

    name: str = Field(max_length=128, description="Dataset name within the project.")
    version: int = Field(ge=1, description="The version to give up.")
    force: bool = Field(
        default=False,
        description="Whether also when an alias, a run or a registered model names it; its aliases go with it.",
    )


class VerifyData(ProjectCommand):
    """Read the contents of versions again, in the cache and on the remote."""

    type: ClassVar[str] = "cmd.data.verify"
    about: ClassVar[str | None] = "name"

    name: str = Field(default="", max_length=128, description="The dataset; empty means all.")
    repair: bool = Field(
        default=False, description="Whether a damaged copy is put right from the other one."
    )
    deep: bool = Field(
        default=False,
        description="Whether everything on a remote that is no folder is read, too: all of it is downloaded.",
    )


class CollectData(ProjectCommand):
    """Free the space of versions that were given up; what another version still needs stays."""

    type: ClassVar[str] = "cmd.data.collect"

    dry_run: bool = Field(default=False, description="Only count what would be deleted.")
    unnamed: bool = Field(
        default=False,
        description=(
            "Whether also what no version and no `.dvc` file of a registered folder names, and is older than a day: "
            "leftovers of killed and refused additions, but also what only other git branches or clones name. Only in "
            "the installation's own cache and remotes."
        ),
    )
