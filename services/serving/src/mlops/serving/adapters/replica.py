# SPDX-License-Identifier: Apache-2.0
"""The replica: one packed model version in Ray Serve, answering every protocol itself.

Ray imports this module in its own processes (`import_path` of the application). The Bento is loaded natively; its
predictions leave as `prediction.logged`. Nothing here imports MLflow.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray import serve

from mlops.chassis import log
from mlops.chassis.errors import ChassisError
from mlops.serving.adapters.confinement import limit_memory, stay_on_loopback
from mlops.serving.adapters.ingress import Ingress
from mlops.serving.adapters.limits import NAME
from mlops.serving.adapters.replica_assembly import assemble, load
from mlops.serving.adapters.replica_settings import ReplicaSettings

# Far more than a replica lets wait itself: it tells callers why, and when to come again, and counts them. Ray would not.
_MOST_ONGOING = 10_000


class Replica:
    """One version of one model; constructed by Ray, once per replica."""

    def __init__(self, args: dict[str, Any]) -> None:
        log.configure(NAME)
        is_alone = stay_on_loopback()
        limit_memory(float(args["memory_gb"]))
        settings = ReplicaSettings(home=Path(args["home"]))
        self._parts = assemble(args, load(args), settings, is_alone=is_alone)
        self._tasks: list[asyncio.Task[None]] = []

    async def __serve_build_asgi_app__(self) -> Ingress:
        """Begin what needs the running loop, and return what answers; Ray asks once, in the loop that answers."""
        bus, parts = self._parts.bus, self._parts
        if bus is not None:
            self._tasks = [
                asyncio.create_task(bus.start(), name="bus"),
                asyncio.create_task(parts.log.run(), name="prediction-log"),
                asyncio.create_task(parts.limits.follow(bus), name="limits"),
                asyncio.create_task(parts.limits.listen(bus), name="changes"),
            ]
        return parts.ingress

    async def reconfigure(self, config: dict[str, Any] | None) -> None:
        """Take Ray's `user_config`, at the start and whenever it changes, in the loop that answers."""
        self._parts.limits.declare(config)

    async def check_health(self) -> None:
        """Raise when the log has died, or when only a new process helps."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()
        self._parts.keeper.check()

    async def __del__(self) -> None:
        bus, parts = self._parts.bus, self._parts
        if bus is None:
            return
        await parts.log.flush()
        with suppress(ChassisError):
            await parts.limits.ask(bus)  # the last word of what it has counted
        for task in self._tasks:
            task.cancel()
        await bus.stop()


def build(args: dict[str, Any]) -> Any:
    """Return the application of one version; Ray calls it with the `args` of its configuration."""
    deployment = serve.deployment(
        name="replica",
        max_ongoing_requests=_MOST_ONGOING,
        health_check_period_s=2,
        health_check_timeout_s=10,
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=10,
        max_constructor_retry_count=2,
        ray_actor_options={"num_cpus": 0.05},
    )
    # Without an application here Ray takes what `__serve_build_asgi_app__` returns.
    return deployment(serve.ingress()(Replica)).bind(args)
