# SPDX-License-Identifier: Apache-2.0
"""Where the parts of serving meet: the table of what it reads and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from mlops.chassis import metrics
from mlops.chassis.bus import Bus, Delivery, Documents
from mlops.chassis.clock import Clock, utc_now
from mlops.chassis.service import Service
from mlops.chassis.sidecar import Sidecar
from mlops.contracts.monitoring import PerformanceDegraded
from mlops.contracts.serving import DeployModel, RollbackModel, UndeployModel
from mlops.contracts.telemetry_agent import TelemetrySampled, ThermalRecovered, ThermalThrottled
from mlops.contracts.tracking import ModelPromoted
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.serving.adapters.figures import ServingFigures
from mlops.serving.adapters.gateway_traffic import GatewayTraffic
from mlops.serving.adapters.leftovers import ReplicaLeftovers
from mlops.serving.adapters.machine import machine_bytes
from mlops.serving.adapters.probes import HttpProbes
from mlops.serving.adapters.sidecars import RayReplicas, SidecarPackages, make_sidecar
from mlops.serving.handlers.heat import Heats
from mlops.serving.handlers.models import ModelHandlers
from mlops.serving.handlers.names import NAME
from mlops.serving.handlers.owners import Owners
from mlops.serving.handlers.projects import ProjectHandlers
from mlops.serving.handlers.promotions import Promotions
from mlops.serving.handlers.quality import QualityHandlers
from mlops.serving.handlers.queries import Queries
from mlops.serving.handlers.status import Status
from mlops.serving.handlers.wake import Wakes
from mlops.serving.handlers.wanted import Wanted
from mlops.serving.model import heat, metering
from mlops.serving.model.apps import app_name, route_of
from mlops.serving.model.room import GIB, capacity_of
from mlops.serving.ports import (
    Deployment,
    Loss,
    MeterBook,
    Nap,
    NodeHeat,
    Packages,
    Probes,
    Promoted,
    Replicas,
    Served,
    Traffic,
)
from mlops.serving.settings import Settings
from mlops.serving.sources.aftermath import Aftermath
from mlops.serving.sources.answering import Answering
from mlops.serving.sources.fleet import Fleet
from mlops.serving.sources.judging import Judge
from mlops.serving.sources.leftovers import LeftPredictions
from mlops.serving.sources.losses import Losses
from mlops.serving.sources.mender import Mender
from mlops.serving.sources.meter import Meter
from mlops.serving.sources.moves import Moves
from mlops.serving.sources.naps import Naps
from mlops.serving.sources.packer import Packer
from mlops.serving.sources.reconcile import Reconciler
from mlops.serving.sources.recovery import Recovery
from mlops.serving.sources.rooms import Rooms
from mlops.serving.sources.showing import Showing
from mlops.serving.sources.writes import Writes

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
    naps: Naps
    losses: Losses
    mender: Mender
    showing: Showing


def wire(
    bus: Bus,
    packages: Packages,
    replicas: Replicas,
    probes: Probes,
    traffic: Traffic,
    *,
    door: str = "",
    capacity_bytes: int = 8 * GIB,
    pace: Pace = Pace(),
    clock: Clock = utc_now,
) -> Parts:
    """Subscribe everything; one at a time, so that two wishes about a model keep their order."""
    ground = _Ground(
        bus,
        bus.documents("serving_projects", Served),
        bus.documents("serving_deployments", Deployment),
        asyncio.Event(),
        clock,
        pace,
    )
    meter, heats = _listeners(ground)
    packer, mender = Packer(packages, ground.woken.set), Mender(packages, ground.projects)
    naps, losses, answering = _watchers(ground, meter, traffic)
    rooms = Rooms(ground.projects, heats, meter, meter, naps, capacity_bytes, clock)
    fleet = Fleet(
        ground.projects, replicas, probes, rooms, answering, losses, mender, clock, packer.prepare
    )
    judge = Judge(traffic, meter, probes, clock)
    reconciler = _reconciler(ground, fleet, packer, judge, heats)
    owners = Owners(ground.projects, ground.deployments)

    def url_of(project: str, model: str, version: int) -> str:
        name = app_name(project, model, version)
        # Behind one door the address is known before Ray was ever asked; a replica's own port is not.
        return door + route_of(name) if door else fleet.url_of(name)

    _subscribe(ground, owners, heats, reconciler.nudge)
    status = Status(heats, meter, naps, judge.last, clock)
    known = (ground.projects, ground.deployments)
    _answer(bus, Queries(*known, heats, meter, naps, status, owners, url_of, fleet.room))
    bus.answer(NAME, "wake", Wakes(owners, naps).wake)
    showing = Showing(fleet, meter, naps)
    return Parts(reconciler, fleet, heats, meter, packer, naps, losses, mender, showing)


@dataclass(frozen=True)
class _Ground:
    """What all parts stand on."""

    bus: Bus
    projects: Documents[Served]
    deployments: Documents[Deployment]
    woken: asyncio.Event
    clock: Clock
    pace: Pace


def _listeners(ground: _Ground) -> tuple[Meter, Heats]:
    bus, pace, clock = ground.bus, ground.pace, ground.clock
    book = bus.documents("serving_meter", MeterBook)
    meter = Meter(book, ground.deployments, clock, pace.metered, pace.metered_idle)
    machines = bus.documents("serving_nodes", NodeHeat)
    heats = Heats(
        machines,
        ground.deployments,
        meter.places,
        meter.sampled,
        ground.woken.set,
        clock,
        pace.cool,
    )
    return meter, heats


def _watchers(ground: _Ground, meter: Meter, traffic: Traffic) -> tuple[Naps, Losses, Answering]:
    answering = Answering(ground.clock)
    naps = Naps(
        ground.bus.documents("serving_naps", Nap),
        ground.deployments,
        ground.projects,
        meter,
        traffic,
        answering,
        ground.woken.set,
        ground.clock,
        ground.pace.drain,
    )
    losses = Losses(ground.bus.documents("serving_losses", Loss), meter, ground.clock)
    return naps, losses, answering


def _reconciler(
    ground: _Ground, fleet: Fleet, packer: Packer, judge: Judge, heats: Heats
) -> Reconciler:
    deployments, clock, pace = ground.deployments, ground.clock, ground.pace
    writes = Writes(deployments, clock, pace.drain)
    moves = Moves(writes, packer, judge, heats, clock, pace.start_timeout)
    aftermath = Aftermath(deployments, judge, clock, pace.drain)
    return Reconciler(
        deployments, fleet, moves, aftermath, clock, pace.tick, pace.idle, ground.woken
    )


def _answer(bus: Bus, queries: Queries) -> None:
    bus.answer(NAME, "routes", queries.routes)
    bus.answer(NAME, "limits", queries.limits)
    bus.answer(NAME, "list", queries.list_deployments)
    bus.answer(NAME, "get", queries.get_deployment)


def _subscribe(ground: _Ground, owners: Owners, heats: Heats, nudge: Callable[[], None]) -> None:
    bus, projects, deployments = ground.bus, ground.projects, ground.deployments
    clock, drain = ground.clock, ground.pace.drain
    wanted = Wanted(deployments, drain, nudge)
    remembered = bus.documents("serving_promotions", Promoted)
    promotions = Promotions(remembered, projects, wanted, clock)
    of_projects = ProjectHandlers(projects, owners, promotions, nudge)
    of_models = ModelHandlers(
        projects, deployments, owners, wanted, promotions, drain, nudge, clock
    )
    of_quality = QualityHandlers(deployments, clock, drain, nudge)
    in_order = Delivery(concurrency=1)
    bus.on(NAME, ProjectRegistered, of_projects.on_project, in_order)
    bus.on(NAME, ProjectUpdated, of_projects.on_project, in_order)
    bus.on(NAME, ProjectArchived, of_models.on_project_archived, in_order)
    bus.on(NAME, ModelPromoted, promotions.on_model_promoted, in_order)
    bus.on(NAME, DeployModel, of_models.do_deploy_model, in_order)
    bus.on(NAME, UndeployModel, of_models.do_undeploy_model, in_order)
    bus.on(NAME, RollbackModel, of_models.do_rollback_model, in_order)
    bus.on(NAME, PerformanceDegraded, of_quality.on_performance_degraded, in_order)
    bus.on(NAME, ThermalThrottled, heats.on_thermal_throttled, in_order)
    bus.on(NAME, ThermalRecovered, heats.on_thermal_recovered, in_order)
    bus.on(NAME, TelemetrySampled, heats.on_telemetry_sampled, in_order)


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
        capacity_bytes=_capacity(settings),
        pace=_pace(settings),
    )
    left = LeftPredictions(ReplicaLeftovers(settings.state_dir(NAME)), _SWEEP)
    showing = parts.showing
    ServingFigures(showing.versions, showing.room, showing.woken).offer(metrics.REGISTRY)
    service.source("deployments", parts.reconciler.messages)
    service.source("recovery", Recovery(parts.heats.recoveries).messages)
    service.source("meter", parts.meter.messages)
    service.source("naps", parts.naps.messages)
    service.source("losses", parts.losses.messages)
    service.source("left-predictions", left.messages)
    service.ready_when("replicas", parts.fleet.check)
    for close in (running.close, packing.close, parts.packer.close, parts.mender.close):
        service.at_stop(close)


def _sidecar(settings: Settings) -> Sidecar:
    return make_sidecar(
        home=settings.home.resolve(),
        ray_address=settings.ray_address,
        serve_url=settings.serve_url,
        mlflow_url=settings.mlflow_url,
        ingress=settings.ingress,
        backend=settings.backend,
        idle=timedelta(seconds=settings.sidecar_idle_s),
    )


def _capacity(settings: Settings) -> int:
    if settings.memory_gb is not None:
        return int(settings.memory_gb * GIB)
    return capacity_of(machine_bytes())


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
