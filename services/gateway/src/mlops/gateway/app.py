# SPDX-License-Identifier: Apache-2.0
"""Where the parts of the gateway meet: what it answers on the bus, follows, and serves over HTTP."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.types import ASGIApp

from mlops.chassis import metrics
from mlops.chassis.clock import Clock, utc_now
from mlops.chassis.service import Service
from mlops.gateway.adapters.aiohttp import AiohttpReplicas
from mlops.gateway.adapters.aiohttp_upstream import AiohttpUpstream
from mlops.gateway.adapters.files_folder import FilesFolder
from mlops.gateway.adapters.memory import MemoryOfBus
from mlops.gateway.adapters.prometheus import PrometheusMeter
from mlops.gateway.adapters.routes_file import RoutesFile
from mlops.gateway.http.dispatch import Dispatcher
from mlops.gateway.http.energy import Energy
from mlops.gateway.http.files import Tables
from mlops.gateway.http.inference import Inference
from mlops.gateway.http.intake import Intake
from mlops.gateway.http.known import KnownProjects
from mlops.gateway.http.mlflow import Mlflow
from mlops.gateway.http.monitor import Monitor
from mlops.gateway.http.nodes import Nodes
from mlops.gateway.http.outside import OutsideEvents
from mlops.gateway.http.page import Page
from mlops.gateway.http.queries import Queries
from mlops.gateway.http.site import site
from mlops.gateway.http.stream import Streams
from mlops.gateway.model.access import Keys
from mlops.gateway.model.traffic import Traffic
from mlops.gateway.ports import Files, LastRoutes, Meter, Replicas, SpokenBus, Upstream
from mlops.gateway.settings import Settings
from mlops.gateway.sources import Follower, RoutesOfServing, tidying

NAME = "gateway"


@dataclass(frozen=True)
class Gateway:
    """The wired parts: the application, and what keeps it up to date."""

    app: ASGIApp
    follower: Follower
    routes: RoutesOfServing
    streams: Streams
    memory: MemoryOfBus


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
    every, meter = timedelta(seconds=settings.routes_every_s), outside.meter
    routes = RoutesOfServing(bus, every, outside.last_routes)
    memory, traffic = MemoryOfBus(), Traffic()
    keys = Keys(settings.token.get_secret_value())
    queries = Queries(bus, memory, routes, clock)
    streams = Streams(bus, clock)
    timeout = timedelta(seconds=settings.infer_timeout_s)
    dispatcher = Dispatcher(routes, outside.replicas, traffic, meter, timeout, random.random)
    known, most_bytes = KnownProjects(bus, memory), settings.api_max_bytes
    judging = timedelta(seconds=settings.judge_timeout_s)
    app = site(
        keys,
        plain=(
            Inference(routes, dispatcher, memory, meter, settings.infer_max_bytes),
            Page(keys, queries, memory, routes),
            Mlflow(outside.mlflow),
        ),
        described=(
            streams,
            Intake(bus, known, clock, most_bytes),
            OutsideEvents(bus, known, clock, most_bytes),
            Tables(outside.files, settings.files_max_bytes),
            Monitor(bus, judging, most_bytes),
            queries,
            Nodes(memory, clock),
            Energy(memory),
        ),
    )

    async def tell_traffic(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"versions": traffic.as_json()}

    bus.answer(NAME, "traffic", tell_traffic)
    return Gateway(app, Follower(bus, memory, routes.refresh), routes, streams, memory)


async def build(service: Service) -> None:
    """Make the parts and wire them."""
    settings = Settings()
    replicas = AiohttpReplicas()
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
    if mlflow is not None:
        service.at_stop(mlflow.close)


def _mlflow(settings: Settings) -> AiohttpUpstream | None:
    if not settings.mlflow_url:
        return None
    return AiohttpUpstream(settings.mlflow_url, timedelta(seconds=settings.mlflow_timeout_s))
