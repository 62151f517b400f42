# SPDX-License-Identifier: Apache-2.0
"""Where the parts of the gateway meet: what it answers on the bus, follows, and serves over HTTP."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.types import ASGIApp

from mlops.chassis import metrics
from mlops.chassis.clock import Clock, utc_now
from mlops.chassis.service import Service
from mlops.chassis.tokens import Tokens
from mlops.gateway.adapters.aiohttp import AiohttpReplicas
from mlops.gateway.adapters.aiohttp_upstream import AiohttpUpstream
from mlops.gateway.adapters.files_folder import FilesFolder
from mlops.gateway.adapters.memory import MemoryOfBus
from mlops.gateway.adapters.prometheus import PrometheusMeter
from mlops.gateway.adapters.routes_file import RoutesFile
from mlops.gateway.http.alerts import Alerts
from mlops.gateway.http.bodies import Bodies
from mlops.gateway.http.callers import Callers
from mlops.gateway.http.comparisons import Comparisons
from mlops.gateway.http.data import Data
from mlops.gateway.http.dispatch import Dispatcher
from mlops.gateway.http.energy import Energy
from mlops.gateway.http.files import Tables
from mlops.gateway.http.holding import Holding
from mlops.gateway.http.inference import Inference
from mlops.gateway.http.intake import Intake
from mlops.gateway.http.known import KnownProjects
from mlops.gateway.http.mlflow import Mlflow
from mlops.gateway.http.monitor import Monitor
from mlops.gateway.http.nodes import Nodes
from mlops.gateway.http.outages import Outages
from mlops.gateway.http.outside import OutsideEvents
from mlops.gateway.http.page import Page
from mlops.gateway.http.queries import Queries
from mlops.gateway.http.reports import Reports
from mlops.gateway.http.shadows import Shadows
from mlops.gateway.http.site import site
from mlops.gateway.http.stream import Streams
from mlops.gateway.http.traffic import Traffic
from mlops.gateway.model.access import Keys
from mlops.gateway.model.places import Room
from mlops.gateway.ports import Files, LastRoutes, Meter, Replicas, SpokenBus, Upstream
from mlops.gateway.settings import Settings
from mlops.gateway.sources import Follower, RoutesOfServing, tidying

NAME = "gateway"

Close = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Gateway:
    """The wired parts: the application, and what keeps it up to date."""

    app: ASGIApp
    follower: Follower
    routes: RoutesOfServing
    streams: Streams
    memory: MemoryOfBus
    closes: tuple[Close, ...]


@dataclass(frozen=True)
class Outside:
    """What the gateway uses beside the bus."""

    replicas: Replicas
    meter: Meter
    last_routes: LastRoutes
    files: Files
    mlflow: Upstream | None = None


def wire(bus: SpokenBus, outside: Outside, settings: Settings, clock: Clock = utc_now) -> Gateway:
    """Put the parts together; it subscribes to nothing, its read models follow the history."""
    every, comparisons = timedelta(seconds=settings.routes_every_s), Comparisons(clock)
    routes = RoutesOfServing(bus, every, outside.last_routes, comparisons.begin)
    memory, token = MemoryOfBus(), settings.token.get_secret_value()
    keys = Keys(token)
    queries = Queries(bus, memory, routes, clock)
    streams = Streams(bus, clock)
    known, most_bytes = KnownProjects(bus, memory), settings.api_max_bytes
    alerts = Alerts(bus, clock, most_bytes)
    judging = timedelta(seconds=settings.judge_timeout_s)
    inference, closes = _inference(bus, outside, settings, routes, memory, comparisons)
    callers = Callers(Tokens(token), keys, clock)
    app = site(
        keys,
        callers,
        inference,
        plain=(
            Page(callers, queries, memory, routes, alerts.holding),
            Mlflow(outside.mlflow),
        ),
        described=(
            streams,
            Intake(bus, known, clock, most_bytes),
            OutsideEvents(bus, known, clock, most_bytes),
            Tables(outside.files, settings.files_max_bytes),
            Monitor(bus, judging, most_bytes),
            alerts,
            Data(bus),
            Reports(bus),
            queries,
            Nodes(memory, clock),
            Energy(memory),
        ),
    )

    return Gateway(app, Follower(bus, memory, routes.refresh), routes, streams, memory, closes)


def _inference(
    bus: SpokenBus,
    outside: Outside,
    settings: Settings,
    routes: RoutesOfServing,
    memory: MemoryOfBus,
    comparisons: Comparisons,
) -> tuple[Inference, tuple[Close, ...]]:
    async def wake(project: str, model: str) -> None:
        await bus.ask("serving", "wake", {"project": project, "model": model})

    patience = timedelta(seconds=settings.wake_timeout_s)
    holding = Holding(routes, wake, settings.wake_waiting, patience)
    traffic, shadows = Traffic(), Shadows(outside.replicas, comparisons)
    most, meter = settings.infer_under_way, outside.meter
    outages = Outages(routes, outside.replicas, patience)
    dispatcher = Dispatcher(
        routes, outside.replicas, holding, outages, traffic, meter, random.random, most
    )
    within = timedelta(seconds=settings.infer_body_timeout_s)
    bodies = Bodies(settings.infer_max_bytes, Room(settings.infer_total_bytes), within)

    async def tell_traffic(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"versions": traffic.as_json(), "waiting": holding.as_json()}

    async def tell_comparison(question: Mapping[str, Any]) -> dict[str, Any]:
        project, model = str(question.get("project", "")), str(question.get("model", ""))
        return {"comparisons": comparisons.as_json(project, model)}

    bus.answer(NAME, "traffic", tell_traffic)
    bus.answer(NAME, "comparison", tell_comparison)
    inference = Inference(routes, dispatcher, bodies, shadows, memory, meter)
    return inference, (shadows.close, outages.close)


async def build(service: Service) -> None:
    """Make the parts and wire them."""
    settings = Settings()
    timeout = timedelta(seconds=settings.infer_timeout_s)
    replicas = AiohttpReplicas(timeout, settings.token.get_secret_value())
    mlflow = _mlflow(settings)
    state = settings.state_dir(NAME)
    files = FilesFolder(
        state / "files",
        settings.files_max_bytes,
        settings.files_keep,
        settings.files_total_bytes,
    )
    outside = Outside(
        replicas,
        PrometheusMeter(metrics.REGISTRY),
        RoutesFile(state / "routes.json", utc_now),
        files,
        mlflow,
    )
    gateway = wire(service.bus, outside, settings)
    service.source("read_model", gateway.follower)
    service.source("routes", gateway.routes)
    service.source("streams", gateway.streams.close_at_stop)
    service.source("files", lambda: tidying(files))
    service.ready_when("read_model", gateway.memory.check)
    service.serve(gateway.app)
    service.at_stop(replicas.close)
    for close in gateway.closes:
        service.at_stop(close)
    if mlflow is not None:
        service.at_stop(mlflow.close)
    if settings.grpc_port is not None:
        await _speak_grpc(service, gateway.app, settings, settings.grpc_port)


async def _speak_grpc(service: Service, app: ASGIApp, settings: Settings, port: int) -> None:
    # 20 MB, for those who want it.
    from mlops.gateway.adapters.oip.server import Bounds, GrpcServer  # noqa: PLC0415

    longest = timedelta(seconds=settings.infer_body_timeout_s)
    bounds = Bounds(settings.grpc_calls, settings.infer_max_bytes, longest)
    server = GrpcServer(app, Tokens(settings.token.get_secret_value()), utc_now, bounds)
    await server.start(settings.http_host, port)
    service.at_stop(server.stop)  # the first to stop: its calls need all of the above


def _mlflow(settings: Settings) -> AiohttpUpstream | None:
    if not settings.mlflow_url:
        return None
    return AiohttpUpstream(settings.mlflow_url, timedelta(seconds=settings.mlflow_timeout_s))
