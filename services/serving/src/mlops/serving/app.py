# SPDX-License-Identifier: Apache-2.0
"""Where the parts of serving meet: the table of what it reads and answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from mlops.chassis.bus import Bus, Delivery
from mlops.chassis.clock import Clock, utc_now
from mlops.chassis.service import Service
from mlops.chassis.sidecar import Sidecar
from mlops.contracts.serving import DeployModel, RollbackModel, UndeployModel
from mlops.contracts.telemetry_agent import TelemetrySampled, ThermalRecovered, ThermalThrottled
from mlops.contracts.tracking import ModelPromoted
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.serving.adapters.gateway_traffic import GatewayTraffic
from mlops.serving.adapters.leftovers import ReplicaLeftovers
from mlops.serving.adapters.probes import HttpProbes
from mlops.serving.adapters.sidecars import RayReplicas, SidecarPackages, make_sidecar
from mlops.serving.handlers.heat import Heats
from mlops.serving.handlers.models import ModelHandlers
from mlops.serving.handlers.names import NAME
from mlops.serving.handlers.owners import Owners
from mlops.serving.handlers.projects import ProjectHandlers
from mlops.serving.handlers.queries import Queries
from mlops.serving.model import heat, metering
from mlops.serving.model.apps import app_name, route_of
from mlops.serving.ports import (
    Deployment,
    MeterBook,
    NodeHeat,
    Packages,
    Probes,
    Replicas,
    Served,
    Traffic,
)
from mlops.serving.settings import Settings
from mlops.serving.sources.fleet import Fleet
from mlops.serving.sources.leftovers import LeftPredictions
from mlops.serving.sources.meter import Meter
from mlops.serving.sources.moves import Moves
from mlops.serving.sources.packer import Packer
from mlops.serving.sources.reconcile import Reconciler
from mlops.serving.sources.recovery import Recovery

_SWEEP = timedelta(seconds=30)


@dataclass(frozen=True)
class Pace:
    """How patient serving is."""

    drain: timedelta = timedelta(seconds=6)
    start_timeout: timedelta = timedelta(seconds=180)
    tick: timedelta = timedelta(seconds=0.25)
    idle: timedelta = timedelta(seconds=5)
    cool: timedelta = heat.GROW_EVERY
    metered: timedelta = metering.EVERY
    metered_idle: timedelta = metering.IDLE_EVERY


@dataclass(frozen=True)
class Parts:
    """What `wire` has put together."""

    reconciler: Reconciler
    fleet: Fleet
    heats: Heats
    meter: Meter
    packer: Packer


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
    woken = asyncio.Event()
    meter = Meter(
        bus.documents("serving_meter", MeterBook),
        deployments,
        clock,
        pace.metered,
        pace.metered_idle,
    )
    machines = bus.documents("serving_nodes", NodeHeat)
    heats = Heats(machines, deployments, meter.places, meter.sampled, woken.set, clock, pace.cool)
    packer = Packer(packages, woken.set)
    fleet = Fleet(projects, replicas, probes, heats, meter, clock, packer.prepare)
    moves = Moves(
        deployments, packer, probes, traffic, heats, clock, pace.drain, pace.start_timeout
    )
    reconciler = Reconciler(deployments, fleet, moves, clock, pace.tick, pace.idle, woken)
    owners = Owners(projects, deployments)
    of_projects = ProjectHandlers(projects, owners, reconciler.nudge)
    of_models = ModelHandlers(projects, deployments, owners, pace.drain, reconciler.nudge)

    def url_of(project: str, model: str, version: int) -> str:
        name = app_name(project, model, version)
        # Behind one door the address is known before Ray was ever asked; a replica's own port is not.
        return door + route_of(name) if door else fleet.url_of(name)

    queries = Queries(projects, deployments, heats, meter, owners, url_of)
    in_order = Delivery(concurrency=1)
    bus.on(NAME, ProjectRegistered, of_projects.on_project, in_order)
    bus.on(NAME, ProjectUpdated, of_projects.on_project, in_order)
    bus.on(NAME, ProjectArchived, of_models.on_project_archived, in_order)
    bus.on(NAME, ModelPromoted, of_models.on_model_promoted, in_order)
    bus.on(NAME, DeployModel, of_models.do_deploy_model, in_order)
    bus.on(NAME, UndeployModel, of_models.do_undeploy_model, in_order)
    bus.on(NAME, RollbackModel, of_models.do_rollback_model, in_order)
    bus.on(NAME, ThermalThrottled, heats.on_thermal_throttled, in_order)
    bus.on(NAME, ThermalRecovered, heats.on_thermal_recovered, in_order)
    bus.on(NAME, TelemetrySampled, heats.on_telemetry_sampled, in_order)
    bus.answer(NAME, "routes", queries.routes)
    bus.answer(NAME, "limits", queries.limits)
    bus.answer(NAME, "list", queries.list_deployments)
    bus.answer(NAME, "get", queries.get_deployment)
    return Parts(reconciler, fleet, heats, meter, packer)


async def build(service: Service) -> None:
    """Make the parts and wire them."""
    settings = Settings()
    # One packs while the other looks after what answers.
    packing, running = (_sidecar(settings) for _ in range(2))
    parts = wire(
        service.bus,
        SidecarPackages(packing),
        RayReplicas(running),
        HttpProbes(),
        GatewayTraffic(service.bus),
        door="" if settings.ingress == "direct" else settings.serve_url.rstrip("/"),
        pace=_pace(settings),
    )
    left = LeftPredictions(ReplicaLeftovers(settings.state_dir(NAME)), _SWEEP)
    service.source("deployments", parts.reconciler.messages)
    service.source("recovery", Recovery(parts.heats.recoveries).messages)
    service.source("meter", parts.meter.messages)
    service.source("left-predictions", left.messages)
    service.ready_when("replicas", parts.fleet.check)
    for close in (running.close, packing.close, parts.packer.close):
        service.at_stop(close)


def _sidecar(settings: Settings) -> Sidecar:
    return make_sidecar(
        home=settings.home.resolve(),
        ray_address=settings.ray_address,
        serve_url=settings.serve_url,
        mlflow_url=settings.mlflow_url,
        ingress=settings.ingress,
        idle=timedelta(seconds=settings.sidecar_idle_s),
    )


def _pace(settings: Settings) -> Pace:
    return Pace(
        drain=timedelta(seconds=settings.drain_s),
        start_timeout=timedelta(seconds=settings.start_timeout_s),
        tick=timedelta(seconds=settings.tick_s),
        idle=timedelta(seconds=settings.idle_s),
        cool=timedelta(seconds=settings.recover_step_s),
        metered=timedelta(seconds=settings.meter_s),
        metered_idle=timedelta(seconds=settings.meter_idle_s),
    )
