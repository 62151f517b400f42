# SPDX-License-Identifier: Apache-2.0
"""Replicas, packages, probes and traffic in memory, for tests and trials: they keep the ports' promises."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.serving.model.apps import App, bento_tag
from mlops.serving.model.evidence import Comparison, Counts
from mlops.serving.model.state import Package
from mlops.serving.ports import AppState, Condition


@dataclass
class MemoryPackages:
    """Packs anything but what *broken* names, unless *away*; what is *slow* is packed when it is set.

    Versions in *pickled* are pickles. *packed* is what was asked for.
    """

    broken: dict[int, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    away: bool = False
    kept: list[str] = field(default_factory=list)
    slow: asyncio.Event | None = None
    pickled: set[int] = field(default_factory=set)
    packed: list[tuple[str, str, int, str]] = field(default_factory=list)

    async def prepare(self) -> None:
        """Do nothing."""

    async def keep_only(self, project: str, model: str, bento_tags: Sequence[str]) -> None:  # noqa: ARG002 - one model
        """Remember what was kept."""
        self.kept = list(bento_tags)

    async def pack(
        self, project: str, model: str, version: int, backend: str, *, allow_pickle: bool = False
    ) -> Package:
        """Return the package of a version."""
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            raise UnavailableError("the registry is away")
        if version in self.broken:
            raise RejectedError(self.broken[version])
        if version in self.pickled and not allow_pickle:
            raise RejectedError(
                "it is kept as a pickle; set [serve] allow_pickle = true to trust it"
            )
        self.packed.append((project, model, version, backend))
        tag = bento_tag(project, model, version, backend)
        return Package(version, tag, "sklearn", "in memory", f"run-{version}", self.metrics)


@dataclass
class MemoryReplicas:
    """Applications that start at the next look, but for those that are *stuck* or *broken* (tag to reason).

    Those that are *limping* have lost one replica, and another one answers. *counts* are their replicas, else the least.
    What *lingers* leaves only when it is taken out of *leaving*.
    """

    limping: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    away: bool = False
    apps: dict[str, App] = field(default_factory=dict)
    starts: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    lingers: bool = False
    leaving: set[str] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)

    async def prepare(self) -> None:
        """Do nothing but refuse while away."""
        self._check()

    async def apply(self, apps: Sequence[App]) -> None:
        """Want exactly these; another package begins anew."""
        self._check()
        wanted = {app.name: app for app in apps}
        for name in self.apps.keys() - wanted.keys():
            self._seen.discard(name)
            self.leaving |= {name} if self.lingers else set()
        for name, app in wanted.items():
            if name not in self.apps or self.apps[name].bento_tag != app.bento_tag:
                self.starts.append(name)
                self._seen.discard(name)
        self.apps = wanted

    async def states(self) -> dict[str, AppState]:
        """Return how each does: starting at the first look, running or failed at the next."""
        self._check()
        found = {name: self._state(app) for name, app in self.apps.items()}
        self._seen.update(self.apps)
        return {name: AppState(Condition.LEAVING, 0) for name in self.leaving} | found

    async def ready(self, url: str, app: App) -> bool:
        """Answer probes (`Probes`): what runs is ready."""
        known = self.apps.get(app.name)
        runs = known is not None and app.name in self._seen and known.bento_tag not in self.broken
        return bool(url) and runs and not self.away

    def lose_everything(self) -> None:
        """Become the empty home that comes back after it was away."""
        self.apps.clear()
        self._seen.clear()
        self.away = False

    def _check(self) -> None:
        if self.away:
            raise UnavailableError("the replicas' home is away")

    def _state(self, app: App) -> AppState:
        url = f"memory:/{app.route}"
        if app.name not in self._seen or app.name in self.stuck:
            return AppState(Condition.STARTING, url=url)
        if app.name in self.limping:
            return AppState(Condition.FAILED, 1, "a replica has died", url)
        if app.bento_tag in self.broken:
            return AppState(Condition.FAILED, reason=self.broken[app.bento_tag], url=url)
        replicas = self.counts.get(app.name, app.min_replicas)
        return AppState(Condition.RUNNING, replicas=replicas, url=url)


@dataclass
class MemoryTraffic:
    """Counts as a test sets them."""

    by_version: dict[int, Counts] | None = None
    compared: dict[int, Comparison] | None = None

    async def counts(self, project: str, model: str) -> dict[int, Counts] | None:  # noqa: ARG002 - one model
        """Return what was set."""
        return self.by_version

    async def comparisons(self, project: str, model: str) -> dict[int, Comparison] | None:  # noqa: ARG002 - one model
        """Return what was set."""
        return self.compared
