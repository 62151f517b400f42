# SPDX-License-Identifier: Apache-2.0
"""Where the parts of tracking meet: MLflow's app at the door, the outbox's relay, and the gate."""

from __future__ import annotations

import asyncio
import os
import time

import structlog

from mlops.chassis.bus import Bus, Delivery, Question
from mlops.chassis.clock import Clock, utc_now
from mlops.chassis.health import Check
from mlops.chassis.service import Service
from mlops.contracts.orchestration_bridge import (
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowQueued,
    WorkflowStarted,
)
from mlops.contracts.telemetry_agent import TelemetrySampled
from mlops.contracts.tracking import (
    ModelRegistered,
    PromoteModel,
    RunCompleted,
    RunFailed,
    RunStale,
    RunStarted,
)
from mlops.contracts.versioning import DataRestored, DataVersioned
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.tracking.adapters.dvc_files import DvcFiles
from mlops.tracking.adapters.mlflow_server import open_server
from mlops.tracking.adapters.openlineage import open_sink
from mlops.tracking.adapters.sqlite import path_of
from mlops.tracking.errors import StoreError
from mlops.tracking.handlers.datasets import Datasets, KnownData
from mlops.tracking.handlers.energy import NodeEnergy, RunEnergy
from mlops.tracking.handlers.gate import Gate
from mlops.tracking.handlers.lineage import NAME as LINEAGE
from mlops.tracking.handlers.lineage import PATIENT, Lineage
from mlops.tracking.handlers.model_queries import ModelQueries
from mlops.tracking.handlers.projects import NAME, Projects, TrackedProject
from mlops.tracking.handlers.queries import RunQueries
from mlops.tracking.handlers.workflows import Workflows
from mlops.tracking.ports import (
    Catalogue,
    Leader,
    Lives,
    NamedData,
    Packages,
    Presences,
    Readings,
    Registry,
    Shelf,
    Workspaces,
)
from mlops.tracking.settings import Settings
from mlops.tracking.sources.reaper import Reaper
from mlops.tracking.sources.relay import Relay


def wire(
    bus: Bus,
    registry: Registry,
    catalogue: Catalogue,
    workspaces: Workspaces,
    lives: Lives,
    tracking_uri: str,
) -> None:
    """Subscribe everything."""
    documents = bus.documents("tracking_projects", TrackedProject)
    projects = Projects(documents, workspaces, tracking_uri)
    gate = Gate(registry, catalogue, documents)
    workflows = Workflows(lives)
    in_order = Delivery(concurrency=1)
    bus.on(NAME, ProjectRegistered, projects.on_project_changed, in_order)
    bus.on(NAME, ProjectUpdated, projects.on_project_changed, in_order)
    bus.on(NAME, ProjectArchived, projects.on_project_archived, in_order)
    bus.on(NAME, ModelRegistered, gate.on_model_registered, in_order)
    bus.on(NAME, RunCompleted, gate.on_run_ended, in_order)
    bus.on(NAME, RunFailed, gate.on_run_ended, in_order)
    bus.on(NAME, RunStale, gate.on_run_ended, in_order)
    bus.on(NAME, WorkflowFailed, workflows.on_workflow_failed)
    bus.on(NAME, WorkflowCancelled, workflows.on_workflow_cancelled)
    bus.on(NAME, PromoteModel, gate.do_promote_model, in_order)


def wire_queries(bus: Bus, readings: Readings, shelf: Shelf, packages: Packages) -> None:
    """Answer what people ask about runs and models."""
    about_runs = RunQueries(readings, bus.documents("tracking_projects", TrackedProject))
    about_models = ModelQueries(shelf, readings, packages)
    bus.answer(NAME, "runs", about_runs.runs)
    bus.answer(NAME, "run", about_runs.run)
    bus.answer(NAME, "points", about_runs.points)
    bus.answer(NAME, "compare", about_runs.compare)
    bus.answer(NAME, "techniques", about_runs.techniques)
    bus.answer(NAME, "models", about_models.models)
    bus.answer(NAME, "model", about_models.model)


def wire_energy(bus: Bus, presences: Presences, clock: Clock = utc_now) -> RunEnergy:
    """Count what runs take of their machines that do not tell it themselves."""
    energy = RunEnergy(bus.documents("tracking_energy", NodeEnergy), presences, clock)
    bus.on(NAME, TelemetrySampled, energy.on_telemetry_sampled, Delivery(concurrency=1))
    return energy


def wire_datasets(bus: Bus, files: NamedData) -> Datasets:
    """Keep which versions of datasets there are, to say which ones a run has read."""
    documents = bus.documents("tracking_data", KnownData)
    datasets = Datasets(documents, bus.documents("tracking_projects", TrackedProject), files)
    bus.on(NAME, DataVersioned, datasets.on_data_versioned)
    bus.on(NAME, DataRestored, datasets.on_data_restored)
    return datasets


def wire_lineage(bus: Bus, lineage: Lineage) -> None:
    """Tell the sink of lineage, where one is configured; under a name of its own, so that it holds nobody back."""
    bus.on(LINEAGE, RunStarted, lineage.on_run_started, PATIENT)
    bus.on(LINEAGE, RunCompleted, lineage.on_run_completed, PATIENT)
    bus.on(LINEAGE, RunFailed, lineage.on_run_failed, PATIENT)
    bus.on(LINEAGE, RunStale, lineage.on_run_stale, PATIENT)
    bus.on(LINEAGE, ModelRegistered, lineage.on_model_registered, PATIENT)
    bus.on(LINEAGE, WorkflowQueued, lineage.on_workflow_queued, PATIENT)
    bus.on(LINEAGE, WorkflowStarted, lineage.on_workflow_started, PATIENT)
    bus.on(LINEAGE, WorkflowCompleted, lineage.on_workflow_completed, PATIENT)
    bus.on(LINEAGE, WorkflowFailed, lineage.on_workflow_failed, PATIENT)
    bus.on(LINEAGE, WorkflowCancelled, lineage.on_workflow_cancelled, PATIENT)


def look_after(
    service: Service, lives: Lives, leader: Leader, deaf: Check, settings: Settings
) -> None:
    """End runs of dead processes, and answer who does: one process of all that share the store."""

    async def who(_: Question) -> dict[str, object]:
        return {"leader": await leader.who(), "leads": await leader.leads()}

    reaper = Reaper(lives, leader, deaf, utc_now, time.monotonic)
    every, stale, silent = settings.reap_every, settings.stale_after, settings.silent_after
    service.source("reaper", lambda: reaper.watch(every, stale, silent))
    service.bus.answer(NAME, "leader", who)


async def build(service: Service) -> None:
    """Open MLflow, wire the gate, and tell what the outbox holds."""
    try:
        await _build(service, Settings())
    except StoreError as error:
        structlog.get_logger("store").error("store.failed", reason=str(error))
        raise SystemExit(1) from None


async def _build(service: Service, settings: Settings) -> None:
    server = await asyncio.to_thread(open_server, settings.store, settings.artifacts_uri)
    # Not at the top: whoever imports mlflow before open_server gives it the wrong environment.
    from mlops.tracking.adapters.artifact_watch import ArtifactWatch  # noqa: PLC0415
    from mlops.tracking.adapters.beside import beside  # noqa: PLC0415
    from mlops.tracking.adapters.guards import guard  # noqa: PLC0415
    from mlops.tracking.adapters.leader import Lead  # noqa: PLC0415
    from mlops.tracking.adapters.locks import lock_of  # noqa: PLC0415
    from mlops.tracking.adapters.mlflow_files import ModelFiles  # noqa: PLC0415
    from mlops.tracking.adapters.mlflow_lives import MlflowLives  # noqa: PLC0415
    from mlops.tracking.adapters.mlflow_presences import MlflowPresences  # noqa: PLC0415
    from mlops.tracking.adapters.mlflow_registry import MlflowRegistry  # noqa: PLC0415
    from mlops.tracking.adapters.mlflow_runs import MlflowRuns  # noqa: PLC0415
    from mlops.tracking.adapters.outbox_rows import SqlRows  # noqa: PLC0415
    from mlops.tracking.adapters.packages import RememberedPackages  # noqa: PLC0415
    from mlops.tracking.adapters.reading_models import SqlShelf  # noqa: PLC0415
    from mlops.tracking.adapters.reading_runs import SqlReadings  # noqa: PLC0415
    from mlops.tracking.adapters.store_watch import StoreWatch  # noqa: PLC0415

    engine = beside(server.engine)
    rows = SqlRows(engine)
    rows.open()
    guard()
    files = ModelFiles(server.tracking, server.artifacts)
    runs = MlflowRuns(engine, files)
    watch = StoreWatch(path_of(settings.store), settings.least_free_mb, rows.probe)
    watch.open()
    registry = MlflowRegistry(server, runs)
    lives = MlflowLives(engine, server.engine, rows.wake)
    wire(service.bus, registry, registry, registry, lives, settings.tracking_uri)
    sink = open_sink(settings.home.resolve(), os.environ)
    if sink is not None:
        wire_lineage(service.bus, Lineage(sink, runs, registry))
        service.at_stop(sink.close)
    packages = RememberedPackages(files.read)
    wire_queries(service.bus, SqlReadings(engine), SqlShelf(engine), packages)
    service.at_stop(packages.close)
    lead = Lead(lock_of(settings.store), service.bus.check)
    energy = wire_energy(service.bus, MlflowPresences(engine, server.engine))
    read = wire_datasets(service.bus, DvcFiles())
    relay = Relay(rows, runs, lead, utc_now, settings.keep_told, energy, read)
    service.source("outbox", relay.tell)
    look_after(service, lives, lead, watch.check, settings)
    service.at_stop(lead.close)
    service.ready_when("store", watch.check)
    service.ready_when("artifacts", ArtifactWatch(settings.artifacts_uri, server.artifacts).check)
    service.serve(server.app)
    service.at_stop(watch.close)
    service.at_stop(rows.close)
