# SPDX-License-Identifier: Apache-2.0
"""Messages of workspaces: which projects exist and what each service made for them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mlops.contracts.message import ProjectCommand, ProjectEvent
from mlops.contracts.settings import ProjectSettings


class _ProjectChanged(ProjectEvent):
    about: ClassVar[str | None] = "project"

    settings: ProjectSettings = Field(description="Everything the project says about itself.")
    path: str | None = Field(
        default=None,
        max_length=1024,
        description="The project's folder on the registering machine.",
    )
    revision: int = Field(ge=1, description="Counts the changes of this project's settings.")


class ProjectRegistered(_ProjectChanged):
    """A project exists; every service may provision its part."""

    type: ClassVar[str] = "project.registered"


class ProjectUpdated(_ProjectChanged):
    """The settings of a project have changed."""

    type: ClassVar[str] = "project.updated"


class ProjectArchived(ProjectEvent):
    """A project is closed: nothing new starts for it; what it made stays readable."""

    type: ClassVar[str] = "project.archived"
    about: ClassVar[str | None] = "project"

    reason: str = Field(default="", max_length=500, description="Why it is closed.")


class WorkspaceProvisioned(ProjectEvent):
    """A service has made its part for a project."""

    type: ClassVar[str] = "workspace.provisioned"
    about: ClassVar[str | None] = "component"
    told_apart_by: ClassVar[str | None] = "component"
    answers: ClassVar[str] = "project.registered"

    component: str = Field(max_length=64, description="The service that provisioned.")
    names: dict[str, str] = Field(
        default_factory=dict,
        description="What it made: MLflow workspace, DVC remote, DAG prefix, endpoint …",
    )
    revision: int = Field(ge=1, description="The revision of the settings that was provisioned.")


class WorkspaceRefused(ProjectEvent):
    """A service cannot make its part for a project."""

    type: ClassVar[str] = "workspace.refused"
    about: ClassVar[str | None] = "component"
    told_apart_by: ClassVar[str | None] = "component"
    answers: ClassVar[str] = "project.registered"

    component: str = Field(max_length=64, description="The service that refused.")
    reason: str = Field(max_length=2000, description="What is wrong, and the fix.")
    revision: int = Field(ge=1, description="The revision of the settings that was refused.")


class RegisterProject(ProjectCommand):
    """Make a project known; the same settings again change nothing."""

    type: ClassVar[str] = "cmd.project.register"
    about: ClassVar[str | None] = "project"

    settings: ProjectSettings = Field(description="Everything the project says about itself.")
    path: str | None = Field(
        default=None, max_length=1024, description="The project's folder on this machine."
    )


class UpdateProject(ProjectCommand):
    """Replace the settings of a project."""

    type: ClassVar[str] = "cmd.project.update"
    about: ClassVar[str | None] = "project"

    settings: ProjectSettings = Field(description="Everything the project says about itself.")
    path: str | None = Field(
        default=None, max_length=1024, description="The project's folder on this machine."
    )


class ArchiveProject(ProjectCommand):
    """Close a project."""

    type: ClassVar[str] = "cmd.project.archive"
    about: ClassVar[str | None] = "project"

    reason: str = Field(default="", max_length=500, description="Why it is closed.")
