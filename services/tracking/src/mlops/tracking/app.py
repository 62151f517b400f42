# SPDX-License-Identifier: Apache-2.0
"""Where the parts of tracking meet: MLflow's app at the door, the outbox's relay, and the gate."""

from __future__ import annotations

import asyncio

import structlog

from mlops.chassis.bus import Bus, Delivery
from mlops.chassis.clock import utc_now
from mlops.chassis.service import Service
from mlops.contracts.tracking import ModelRegistered, PromoteModel, RunCompleted, RunFailed
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.tracking.adapters.mlflow_server import open_server
from mlops.tracking.adapters.sqlite import path_of
from mlops.tracking.errors import StoreError
from mlops.tracking.handlers.gate import Gate
from mlops.tracking.handlers.projects import NAME, Projects, TrackedProject
from mlops.tracking.ports import Catalogue, Registry, Workspaces
from mlops.tracking.settings import Settings
from mlops.tracking.sources.relay import Relay


def wire(
    bus: Bus, registry: Registry, catalogue: Catalogue, workspaces: Workspaces, tracking_uri: str
) -> None:
    """Subscribe everything."""
    documents = bus.documents("tracking_projects", TrackedProject)
    projects = Projects(documents, workspaces, tracking_uri)
    gate = Gate(registry, catalogue, documents)
    in_order = Delivery(concurrency=1)
    bus.on(NAME, ProjectRegistered, projects.on_project_changed, in_order)
    bus.on(NAME, ProjectUpdated, projects.on_project_changed, in_order)
    bus.on(NAME, ProjectArchived, projects.on_project_archived, in_order)
    bus.on(NAME, ModelRegistered, gate.on_model_registered, in_order)
    bus.on(NAME, RunCompleted, gate.on_run_ended, in_order)
    bus.on(NAME, RunFailed, gate.on_run_ended, in_order)
    bus.on(NAME, PromoteModel, gate.do_promote_model, in_order)


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
    from mlops.tracking.adapters.beside import beside  # noqa: PLC0415
    from mlops.tracking.adapters.mlflow_files import ModelFiles  # noqa: PLC0415
    from mlops.tracking.adapters.mlflow_registry import MlflowRegistry  # noqa: PLC0415
    from mlops.tracking.adapters.mlflow_runs import MlflowRuns  # noqa: PLC0415
    from mlops.tracking.adapters.outbox_rows import SqlRows  # noqa: PLC0415
    from mlops.tracking.adapters.store_watch import StoreWatch  # noqa: PLC0415

    engine = beside(server.engine)
    rows = SqlRows(engine)
    rows.open()
    runs = MlflowRuns(engine, ModelFiles(server.tracking, server.artifacts))
    watch = StoreWatch(path_of(settings.store), settings.least_free_mb, rows.probe)
    watch.open()
    registry = MlflowRegistry(server, runs)
    wire(service.bus, registry, registry, registry, settings.tracking_uri)
    service.source("outbox", Relay(rows, runs, utc_now, settings.keep_told).tell)
    service.ready_when("store", watch.check)
    service.serve(server.app)
    service.at_stop(watch.close)
    service.at_stop(rows.close)
