# SPDX-License-Identifier: Apache-2.0
"""The mender: packs a version anew whose replicas cannot start, in case its package is damaged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from mlops.chassis.bus import Documents
from mlops.chassis.errors import ChassisError
from mlops.serving.model.apps import App
from mlops.serving.ports import Deployment, Packages, Served


class Mender:
    """Works beside everything else; one attempt for each application at a time."""

    def __init__(self, packages: Packages, projects: Documents[Served]) -> None:
        self._packages = packages
        self._projects = projects
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._log = structlog.get_logger("mender")

    def mend(self, app: App, known: Deployment) -> None:
        """Begin to pack the version of an application again: what is sound stays as it is."""
        if app.name not in self._tasks:
            self._tasks[app.name] = asyncio.create_task(self._pack(app, known))

    def is_at_work(self, app: App) -> bool:
        """Return whether the package of an application is being looked at."""
        return app.name in self._tasks and not self._tasks[app.name].done()

    def forget(self, dead: Mapping[str, object]) -> None:
        """Let what is not dead any more be mended anew when it dies again."""
        for name in self._tasks.keys() - dead.keys():
            if self._tasks[name].done():
                del self._tasks[name]

    async def close(self) -> None:
        """Stop everything."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _pack(self, app: App, known: Deployment) -> None:
        served = await self._projects.get(app.project)
        plans = [one.plan for one in known.state.rollouts if one.version == app.version]
        backend = plans[-1].backend if plans else "auto"
        trusts = served is not None and served.settings.allow_pickle
        try:
            made = await self._packages.pack(
                app.project, app.model, app.version, backend, allow_pickle=trusts
            )
        except ChassisError as error:
            self._log.warning("package.not_mended", app=app.name, reason=str(error))
            return
        self._log.info("package.mended", app=app.name, bento_tag=made.bento_tag)
