# SPDX-License-Identifier: Apache-2.0
"""Where the parts of versioning meet: the table of what it reads and answers."""

from __future__ import annotations

import asyncio

import structlog

from mlops.chassis.bus import Bus
from mlops.chassis.clock import Clock, utc_now
from mlops.chassis.errors import UnavailableError
from mlops.chassis.service import Service
from mlops.contracts.tracking import ModelRegistered, RunCompleted
from mlops.contracts.versioning import (
    AddData,
    AliasData,
    CollectData,
    PullData,
    PushData,
    RemoveData,
    RestoreData,
    TagData,
    UnaliasData,
    VerifyData,
)
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.versioning import sources
from mlops.versioning.adapters.differences import FileDifferences
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.adapters.dvc_files import DvcFiles
from mlops.versioning.adapters.dvc_places import own_places
from mlops.versioning.adapters.dvc_reach import DvcReach
from mlops.versioning.adapters.mlflow_models import MlflowModels
from mlops.versioning.adapters.sqlite import SqliteVersions
from mlops.versioning.handlers.additions import Additions
from mlops.versioning.handlers.artifacts import Artifacts
from mlops.versioning.handlers.asked import Turns
from mlops.versioning.handlers.data import Data
from mlops.versioning.handlers.errands import Errands
from mlops.versioning.handlers.keeping import Keeping
from mlops.versioning.handlers.labelling import Labelling
from mlops.versioning.handlers.lineage import Lineage
from mlops.versioning.handlers.people import People
from mlops.versioning.handlers.projects import Projects
from mlops.versioning.handlers.reading import Reading
from mlops.versioning.handlers.remotes import RemoteWatch
from mlops.versioning.handlers.watching import Watching
from mlops.versioning.ports import (
    Addition,
    Comparison,
    Contents,
    KnownProject,
    LostRemote,
    Models,
    PeoplesFiles,
    Registry,
)
from mlops.versioning.settings import Settings

NAME = "versioning"
# People's own additions are looked for this often.
_LOOK_S = 3.0
# A remote that is lost is looked at this often; one that is well, more seldom.
_REMOTE_S = 60.0


def wire(
    bus: Bus,
    datasets: Contents,
    versions: Registry,
    comparison: Comparison,
    errands: Errands,
    people: PeoplesFiles,
    *,
    models: Models | None = None,
    remote_root: str,
    own_remotes: str = "",
    cache: str,
    bandwidth: str = "",
    clock: Clock = utc_now,
) -> People:
    """Subscribe everything, and return who looks at people's own additions.

    Work on one project is done one at a time by the handlers themselves.
    """
    documents = bus.documents("versioning_projects", KnownProject)
    turns = Turns(asyncio.Lock)
    watching = Watching(turns)
    projects = Projects(
        documents,
        datasets,
        versions,
        turns,
        clock,
        remote_root=remote_root,
        cache=cache,
        bandwidth=bandwidth,
    )
    data = Data(projects, datasets, versions, watching, clock)
    labelling = Labelling(versions, turns, clock)
    keeping = Keeping(projects, datasets, versions, watching, own_remotes)
    lineage = Lineage(versions)
    reading = Reading(projects, datasets, versions, comparison, errands)
    additions = Additions(bus.documents("versioning_additions", Addition), data, clock)
    _listen(bus, projects, additions, data, labelling, keeping)
    bus.on(NAME, RunCompleted, lineage.on_run_completed)
    if models is not None:
        artifacts = Artifacts(projects, models, versions, turns, clock)
        bus.on(NAME, ModelRegistered, artifacts.on_model_registered)
    bus.answer(NAME, "versions", lineage.list_versions)
    bus.answer(NAME, "progress", watching.progress)
    bus.answer(NAME, "open", reading.open)
    bus.answer(NAME, "files", reading.files)
    bus.answer(NAME, "object", reading.object)
    bus.answer(NAME, "diff", reading.diff)
    return People(projects, people, versions, turns, additions, clock)


def _listen(
    bus: Bus,
    projects: Projects,
    additions: Additions,
    data: Data,
    labelling: Labelling,
    keeping: Keeping,
) -> None:
    """Subscribe what projects and people wish."""
    bus.on(NAME, ProjectRegistered, projects.on_project_registered)
    bus.on(NAME, ProjectUpdated, projects.on_project_registered)
    bus.on(NAME, ProjectArchived, projects.on_project_archived)
    bus.on(NAME, AddData, additions.do_add_data)
    bus.on(NAME, PushData, data.do_push_data)
    bus.on(NAME, PullData, data.do_pull_data)
    bus.on(NAME, RestoreData, data.do_restore_data)
    bus.on(NAME, AliasData, labelling.do_alias_data)
    bus.on(NAME, UnaliasData, labelling.do_unalias_data)
    bus.on(NAME, TagData, labelling.do_tag_data)
    bus.on(NAME, RemoveData, labelling.do_remove_data)
    bus.on(NAME, VerifyData, keeping.do_verify_data)
    bus.on(NAME, CollectData, keeping.do_collect_data)


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
    comparison = FileDifferences(settings.idle)
    errands = Errands()
    own = own_places(folder)
    files = DvcFiles(own, settings.idle)
    models = MlflowModels(settings.mlflow_url, own, settings.idle)
    people = wire(
        service.bus,
        datasets,
        versions,
        comparison,
        errands,
        files,
        models=models if settings.mlflow_url else None,
        remote_root=settings.remote_root,
        own_remotes=str(settings.own_remotes),
        cache=str(settings.data_dir / "cache"),
        bandwidth=settings.bandwidth,
    )
    service.source("people", lambda: sources.looks(people.look, lambda: asyncio.sleep(_LOOK_S)))
    reach = DvcReach(own)
    lost = service.bus.documents("versioning_remotes", LostRemote)
    watch = RemoteWatch(people.projects, versions, reach, lost, utc_now)
    service.source("remotes", lambda: sources.looks(watch.look, lambda: asyncio.sleep(_REMOTE_S)))
    service.at_stop(reach.close)
    service.at_stop(errands.close)
    service.at_stop(versions.close)
    service.at_stop(datasets.close)
    service.at_stop(comparison.close)
    service.at_stop(files.close)
    service.at_stop(models.close)
