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
from mlops.gateway.adapters.memory import MemoryOfBus
from mlops.gateway.adapters.prometheus import PrometheusMeter
from mlops.gateway.adapters.routes_file import RoutesFile
from mlops.gateway.http.dispatch import Dispatcher
from mlops.gateway.http.inference import Inference
from mlops.gateway.http.intake import Intake
from mlops.gateway.http.page import Page
from mlops.gateway.http.queries import Queries
from mlops.gateway.http.site import site
from mlops.gateway.http.stream import Streams
from mlops.gateway.model.access import Keys
from mlops.gateway.model.traffic import Traffic
from mlops.gateway.ports import LastRoutes, Meter, Replicas, SpokenBus
from mlops.gateway.settings import Settings
from mlops.gateway.sources import Follower, RoutesOfServing

NAME = "gateway"


@dataclass(frozen=True)
class Gateway:
    """The wired parts: the application, and what keeps it up to date."""

    app: ASGIApp
    follower: Follower
    routes: RoutesOfServing
    streams: Streams
    memory: MemoryOfBus


def wire(
    bus: SpokenBus,
    replicas: Replicas,
    meter: Meter,
    last_routes: LastRoutes,
    settings: Settings,
    clock: Clock = utc_now,
) -> Gateway:
    """Put the parts together; it subscribes to nothing, its read models follow the history."""
    routes = RoutesOfServing(bus, timedelta(seconds=settings.routes_every_s), last_routes)
    memory, traffic = MemoryOfBus(), Traffic()
    keys = Keys(settings.token.get_secret_value())
    queries = Queries(bus, memory, routes, clock)
    streams = Streams(bus, clock)
    timeout = timedelta(seconds=settings.infer_timeout_s)
    dispatcher = Dispatcher(routes, replicas, traffic, meter, timeout, random.random)
    app = site(
        keys,
        Inference(routes, dispatcher, memory, meter, settings.infer_max_bytes),
        Intake(bus, memory, clock, settings.api_max_bytes),
        queries,
        streams,
        Page(keys, queries, memory, routes),
    )

    async def tell_traffic(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"versions": traffic.as_json()}

    bus.answer(NAME, "traffic", tell_traffic)
    return Gateway(app, Follower(bus, memory, routes.refresh), routes, streams, memory)


async def build(service: Service) -> None:
    """Make the parts and wire them."""
    settings = Settings()
    replicas = AiohttpReplicas()
    last_routes = RoutesFile(settings.state_dir(NAME) / "routes.json", utc_now)
    meter = PrometheusMeter(metrics.REGISTRY)
    gateway = wire(service.bus, replicas, meter, last_routes, settings)
    service.source("read_model", gateway.follower)
    service.source("routes", gateway.routes)
    service.source("streams", gateway.streams.close_at_stop)
    service.ready_when("read_model", gateway.memory.check)
    service.serve(gateway.app)
    service.at_stop(replicas.close)
