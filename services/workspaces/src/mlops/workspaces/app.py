# SPDX-License-Identifier: Apache-2.0
"""Where the parts of workspaces meet: the table of what it reads and answers."""

from __future__ import annotations

from mlops.chassis.bus import Bus, Delivery
from mlops.chassis.clock import Clock, utc_now
from mlops.chassis.service import Service
from mlops.contracts.workspaces import (
    ArchiveProject,
    RegisterProject,
    UpdateProject,
    WorkspaceProvisioned,
    WorkspaceRefused,
)
from mlops.workspaces.adapters.folders import LocalFolders
from mlops.workspaces.handlers import Handlers
from mlops.workspaces.ports import Folders, Project

NAME = "workspaces"


def wire(bus: Bus, folders: Folders, clock: Clock = utc_now) -> None:
    """Subscribe everything; wishes of one type one at a time, so that two about a project keep their order."""
    handlers = Handlers(bus.documents("workspaces_projects", Project), folders, clock)
    in_order = Delivery(concurrency=1)
    bus.on(NAME, RegisterProject, handlers.do_register_project, in_order)
    bus.on(NAME, UpdateProject, handlers.do_update_project, in_order)
    bus.on(NAME, ArchiveProject, handlers.do_archive_project, in_order)
    bus.on(NAME, WorkspaceProvisioned, handlers.on_workspace_provisioned)
    bus.on(NAME, WorkspaceRefused, handlers.on_workspace_refused)
    bus.answer(NAME, "list", handlers.list_projects)
    bus.answer(NAME, "get", handlers.get_project)


async def build(service: Service) -> None:
    """Make the parts and wire them."""
    wire(service.bus, LocalFolders())
