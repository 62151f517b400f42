# SPDX-License-Identifier: Apache-2.0
"""Messages of versioning: which versions of which datasets exist and where."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mlops.contracts.message import ProjectCommand, ProjectEvent


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


class DataPushed(_DataEvent):
    """A version of a dataset is on the remote."""

    type: ClassVar[str] = "data.pushed"

    remote: str = Field(max_length=1024, description="The DVC remote it is on.")
    objects: int = Field(ge=0, description="Objects that had to be transferred.")


class DataRestored(_DataEvent):
    """A version of a dataset stands in the project's folder again, byte for byte."""

    type: ClassVar[str] = "data.restored"


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


class PushData(ProjectCommand):
    """Transfer what the remote lacks."""

    type: ClassVar[str] = "cmd.data.push"
    about: ClassVar[str | None] = "name"

    name: str = Field(max_length=128, description="Dataset name within the project.")


class PullData(ProjectCommand):
    """Fetch the newest version of a dataset into the project's folder."""

    type: ClassVar[str] = "cmd.data.pull"
    about: ClassVar[str | None] = "name"

    name: str = Field(max_length=128, description="Dataset name within the project.")


class RestoreData(ProjectCommand):
    """Put an earlier version of a dataset into the project's folder."""

    type: ClassVar[str] = "cmd.data.restore"
    about: ClassVar[str | None] = "name"

    name: str = Field(max_length=128, description="Dataset name within the project.")
    version: int = Field(ge=1, description="The version to restore.")
