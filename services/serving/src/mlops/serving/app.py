# SPDX-License-Identifier: Apache-2.0
"""Where the parts of serving meet: the table of what it reads and answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from mlops.chassis.bus import Bus, Delivery
from mlops.chassis.clock import Clock, utc_now
from mlops.chassis.service import Service
from mlops.contracts.serving import DeployModel, RollbackModel, UndeployModel
from mlops.contracts.telemetry_agent import ThermalRecovered, ThermalThrottled
from mlops.contracts.tracking import ModelPromoted
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.serving.adapters.gateway_traffic import GatewayTraffic
from mlops.serving.adapters.leftovers import ReplicaLeftovers
from mlops.serving.adapters.probes import HttpProbes
from mlops.serving.adapters.sidecars import RayReplicas, SidecarPackages, make_sidecar
from mlops.serving.handlers.models import ModelHandlers
from mlops.serving.handlers.names import NAME
from mlops.serving.handlers.owners import Owners
from mlops.serving.handlers.projects import ProjectHandlers
from mlops.serving.handlers.queries import Queries
from mlops.serving.model.apps import app_name, route_of
from mlops.serving.ports import (
    Deployment,
    Heat,
    Packages,
    Probes,
    Replicas,
    Served,
    Traffic,
)
from mlops.serving.settings import Settings
from mlops.serving.sources.fleet import Fleet
from mlops.serving.sources.leftovers import LeftPredictions
from mlops.serving.sources.moves import Moves
from mlops.serving.sources.reconcile import Reconciler

_SWEEP = timedelta(seconds=30)


@dataclass(frozen=True)
class Pace:
    """How patient serving is."""

    drain: timedelta = timedelta(seconds=6)
    start_timeout: timedelta = timedelta(seconds=180)
    tick: timedelta = timedelta(seconds=0.25)
    idle: timedelta = timedelta(seconds=5)


@dataclass(frozen=True)
class Parts:
    """What `wire` has put together."""

    reconciler: Reconciler
    fleet: Fleet


def wire(
    bus: Bus,
    packages: Packages,
    replicas: Replicas,
    probes: Probes,
    traffic: Traffic,
    *,
    door: str = "",
    pace: Pace = Pace(),
    clock: Clock = utc_now,
) -> Parts:
    """Subscribe everything; one at a time, so that two wishes about a model keep their order."""
    projects = bus.documents("serving_projects", Served)
    deployments = bus.documents("serving_deployments", Deployment)
    heat = bus.documents("serving_heat", Heat)
    fleet = Fleet(projects, replicas, probes, clock)
    moves = Moves(deployments, packages, probes, traffic, clock, pace.drain, pace.start_timeout)
    reconciler = Reconciler(deployments, fleet, moves, clock, pace.tick, pace.idle)
    owners = Owners(projects, deployments)
    of_projects = ProjectHandlers(projects, heat, owners, reconciler.nudge)
    of_models = ModelHandlers(projects, deployments, owners, pace.drain, reconciler.nudge)

    def url_of(project: str, model: str, version: int) -> str:
        name = app_name(project, model, version)
        # Behind one door the address is known before Ray was ever asked; a replica's own port is not.
        return door + route_of(name) if door else fleet.url_of(name)

    queries = Queries(projects, deployments, heat, owners, url_of)
    in_order = Delivery(concurrency=1)
    bus.on(NAME, ProjectRegistered, of_projects.on_project, in_order)
    bus.on(NAME, ProjectUpdated, of_projects.on_project, in_order)
    bus.on(NAME, ProjectArchived, of_models.on_project_archived, in_order)
    bus.on(NAME, ModelPromoted, of_models.on_model_promoted, in_order)
    bus.on(NAME, DeployModel, of_models.do_deploy_model, in_order)
    bus.on(NAME, UndeployModel, of_models.do_undeploy_model, in_order)
    bus.on(NAME, RollbackModel, of_models.do_rollback_model, in_order)
    bus.on(NAME, ThermalThrottled, of_projects.on_thermal_throttled, in_order)
    bus.on(NAME, ThermalRecovered, of_projects.on_thermal_recovered, in_order)
    bus.answer(NAME, "routes", queries.routes)
    bus.answer(NAME, "limits", queries.limits)
    bus.answer(NAME, "list", queries.list_deployments)
    bus.answer(NAME, "get", queries.get_deployment)
    return Parts(reconciler, fleet)


async def build(service: Service) -> None:
    """Make the parts and wire them."""
    settings = Settings()
    home = settings.home.resolve()
    sidecar = make_sidecar(
        home=home,
        ray_address=settings.ray_address,
        serve_url=settings.serve_url,
        mlflow_url=settings.mlflow_url,
        ingress=settings.ingress,
        idle=timedelta(seconds=settings.sidecar_idle_s),
    )
    parts = wire(
        service.bus,
        SidecarPackages(sidecar),
        RayReplicas(sidecar),
        HttpProbes(),
        GatewayTraffic(service.bus),
        door="" if settings.ingress == "direct" else settings.serve_url.rstrip("/"),
        pace=_pace(settings),
    )
    left = LeftPredictions(ReplicaLeftovers(settings.state_dir(NAME)), _SWEEP)
    service.source("deployments", parts.reconciler.messages)
    service.source("left-predictions", left.messages)
    service.ready_when("replicas", parts.fleet.check)
    service.at_stop(sidecar.close)


def _pace(settings: Settings) -> Pace:
    return Pace(
        drain=timedelta(seconds=settings.drain_s),
        start_timeout=timedelta(seconds=settings.start_timeout_s),
        tick=timedelta(seconds=settings.tick_s),
        idle=timedelta(seconds=settings.idle_s),
    )
