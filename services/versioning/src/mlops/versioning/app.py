# SPDX-License-Identifier: Apache-2.0
"""Where the parts of versioning meet: the table of what it reads and answers."""

from __future__ import annotations

import structlog

from mlops.chassis.bus import Bus
from mlops.chassis.clock import Clock, utc_now
from mlops.chassis.errors import UnavailableError
from mlops.chassis.service import Service
from mlops.contracts.tracking import RunCompleted
from mlops.contracts.versioning import AddData, PullData, PushData, RestoreData
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.adapters.sqlite import SqliteVersions
from mlops.versioning.handlers.data import Data
from mlops.versioning.handlers.lineage import Lineage
from mlops.versioning.handlers.projects import Projects
from mlops.versioning.ports import Datasets, KnownProject, Registry
from mlops.versioning.settings import Settings

NAME = "versioning"


def wire(
    bus: Bus,
    datasets: Datasets,
    versions: Registry,
    *,
    remote_root: str,
    cache: str,
    clock: Clock = utc_now,
) -> None:
    """Subscribe everything; work on one project is done one at a time by the handlers themselves."""
    documents = bus.documents("versioning_projects", KnownProject)
    projects = Projects(documents, datasets, clock, remote_root=remote_root, cache=cache)
    data = Data(projects, datasets, versions, clock)
    lineage = Lineage(versions, versions)
    bus.on(NAME, ProjectRegistered, projects.on_project_registered)
    bus.on(NAME, ProjectUpdated, projects.on_project_registered)
    bus.on(NAME, ProjectArchived, projects.on_project_archived)
    bus.on(NAME, AddData, data.do_add_data)
    bus.on(NAME, PushData, data.do_push_data)
    bus.on(NAME, PullData, data.do_pull_data)
    bus.on(NAME, RestoreData, data.do_restore_data)
    bus.on(NAME, RunCompleted, lineage.on_run_completed)
    bus.answer(NAME, "versions", lineage.list_versions)


async def build(service: Service) -> None:
    """Make the parts and wire them."""
    settings = Settings()
    folder = settings.state_dir(NAME)
    datasets = DvcDatasets(folder, settings.idle)
    try:
        versions = SqliteVersions(folder / "versions.db")
    except UnavailableError as error:
        structlog.get_logger("registry").error("registry.failed", reason=str(error))
        raise SystemExit(1) from None
    wire(
        service.bus,
        datasets,
        versions,
        remote_root=settings.remote_root,
        cache=str(settings.data_dir / "cache"),
    )
    service.at_stop(versions.close)
    service.at_stop(datasets.close)
