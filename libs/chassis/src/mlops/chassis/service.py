# SPDX-License-Identifier: Apache-2.0
"""Service: one process from start to graceful stop: bus, sources, health, logs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from mlops.chassis import log, metrics, tracing
from mlops.chassis.bus import Question
from mlops.chassis.bus_nats import NatsBus
from mlops.chassis.connections import raise_file_limit
from mlops.chassis.errors import ChassisError
from mlops.chassis.health import Asgi, Check, HealthServer
from mlops.chassis.settings import ServiceSettings
from mlops.contracts.message import Message

Source = Callable[[], AsyncIterator[Message]]

_GRACE = timedelta(seconds=10)
_RESTART_DELAYS_S = (0.5, 1, 2, 5, 10, 30)


class Service:
    """A running service: register handlers on `bus`, add sources and checks, then `run`."""

    def __init__(self, name: str, settings: ServiceSettings, bus: NatsBus) -> None:
        self.name = name
        self.bus = bus
        self._settings = settings
        self._sources: dict[str, Source] = {}
        self._checks: dict[str, Check] = {"bus": bus.check}
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._app: Asgi | None = None
        self._port = settings.http_port
        self._log = log.get_logger("service")
        bus.answer(name, "status", self._status)

    def source(self, name: str, messages: Source) -> None:
        """Publish what *messages* yields; it is started again, with growing pauses, when it fails.

        A message is stored before the generator goes on, so what stands after `yield` may mark it as told.
        """
        self._sources[name] = messages

    def ready_when(self, name: str, check: Check) -> None:
        """Count *check* for readiness: it returns None when well, otherwise the reason."""
        self._checks[name] = check

    def serve(self, app: Asgi) -> None:
        """Answer HTTP with *app*, beside /healthz, /readyz and /metrics."""
        self._app = app

    def at_stop(self, close: Callable[[], Awaitable[None]]) -> None:
        """Call *close* after the handlers have finished."""
        self._closers.append(close)

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Work until SIGTERM, SIGINT or *stop*; then finish what was begun."""
        stop = stop or asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        health = HealthServer(
            self._settings.http_host, self._settings.http_port, self._checks, self._app
        )
        await health.start()
        self._port = health.port
        await self.bus.start()
        sources = [
            asyncio.create_task(self._keep_telling(name, source), name=name)
            for name, source in self._sources.items()
        ]
        self._log.info("service.started", http_port=health.port)
        await stop.wait()
        await self._stop(health, sources)

    async def _status(self, _: Question) -> dict[str, Any]:
        checks = {name: await check() for name, check in self._checks.items()}
        return {
            "service": self.name,
            "ready": all(reason is None for reason in checks.values()),
            "checks": {name: reason or "ok" for name, reason in checks.items()},
            "http_port": self._port,
            "pid": os.getpid(),
        }

    async def _stop(self, health: HealthServer, sources: list[asyncio.Task[None]]) -> None:
        self._log.info("service.stopping")
        await _end(sources)
        await health.stop()
        await self.bus.stop(_GRACE)
        for close in reversed(self._closers):
            with contextlib.suppress(ChassisError, OSError):
                await close()
        self._log.info("service.stopped")

    async def _keep_telling(self, name: str, source: Source) -> None:
        failures = 0
        while True:
            try:
                async for message in source():
                    sender = f"/services/{self.name}"
                    await self.bus.publish(message.model_copy(update={"source": sender}))
                    failures = 0
            except Exception as error:  # noqa: BLE001 - a source is an edge: it must come back whatever it met
                delay = _RESTART_DELAYS_S[min(failures, len(_RESTART_DELAYS_S) - 1)]
                failures += 1
                metrics.source_failures.labels(name).inc()
                self._log.warning("source.failed", source=name, error=repr(error), again_in_s=delay)
                await asyncio.sleep(delay)
            else:
                return


def main(
    name: str,
    read_settings: Callable[[], ServiceSettings],
    build: Callable[[Service], Awaitable[None]],
) -> None:
    """Run a service until it is told to stop; what every `__main__.py` calls.

    *build* gets the service before it starts: it makes adapters, subscribes handlers, adds sources.
    """
    try:
        settings = read_settings()
    except ValidationError as error:
        _explain_settings(name, error)
        raise SystemExit(2) from None
    log.configure(name, settings.log_level)
    tracing.configure(name)
    raise_file_limit()
    _run(_start(name, settings, build))


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    # A cancellation can be lost inside a library's `asyncio.wait_for` (Python 3.11): say it again until it is heard.
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=1)


async def _start(
    name: str, settings: ServiceSettings, build: Callable[[Service], Awaitable[None]]
) -> None:
    token = settings.nats_token.get_secret_value() if settings.nats_token else None
    bus = NatsBus(
        settings.nats_url, token=token, name=name, outbox=settings.state_dir(name) / "outbox.db"
    )
    service = Service(name, settings, bus)
    await build(service)
    await service.run()


def _run(work: Awaitable[None]) -> None:
    async def awaiting() -> None:
        await work

    if sys.platform == "win32":
        asyncio.run(awaiting())
        return
    import uvloop  # noqa: PLC0415 - absent on Windows

    uvloop.run(awaiting())


def _explain_settings(name: str, error: ValidationError) -> None:
    for item in error.errors(include_url=False, include_input=False):
        where = ".".join(str(step) for step in item["loc"])
        sys.stderr.write(f"mlops {name}: setting {where}: {item['msg']}\n")
    sys.stderr.write(
        "Start the platform with `mlops up` (it writes endpoints.json), or set the variable.\n"
    )
