# SPDX-License-Identifier: Apache-2.0
"""The fleet: every application that must run, and that the replicas are told so, again when they lost some."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import UnavailableError
from mlops.contracts.settings import ServeSettings
from mlops.serving.model.apps import App
from mlops.serving.model.heat import replicas_at
from mlops.serving.model.rollout import RUNNING
from mlops.serving.model.state import needed
from mlops.serving.ports import (
    AppState,
    Condition,
    Counting,
    Deployment,
    Probes,
    Replicas,
    Served,
    Weather,
)
from mlops.serving.sources.moves import World

_HEAL_AFTER = timedelta(seconds=15)

Known = Mapping[str, Deployment]
_Asked = tuple[int, int, int, bool]


class Fleet:
    """What must run and what does; the only one who tells the replicas anything."""

    def __init__(
        self,
        projects: Documents[Served],
        replicas: Replicas,
        probes: Probes,
        weather: Weather,
        counting: Counting,
        clock: Clock,
        prepare_packing: Callable[[], Awaitable[None]],
    ) -> None:
        self._projects = projects
        self._weather = weather
        self._counting = counting
        self._prepare_packing = prepare_packing
        self._room: dict[str, tuple[_Asked, int]] = {}
        self._replicas = replicas
        self._probes = probes
        self._clock = clock
        self._applied: tuple[App, ...] | None = None
        self._dead_since: dict[str, datetime] = {}
        self._is_prepared = False
        self._is_away = False
        self._urls: dict[str, str] | None = None
        self.world = World({}, {}, {})
        self._log = structlog.get_logger("fleet")

    async def match(self, known: Known) -> bool:
        """Make the replicas what they must be; return whether they can be seen at all."""
        try:
            await self._match(known)
        except UnavailableError as error:
            self._lost_sight(error)
            return False
        self._is_away = False
        return True

    async def check(self) -> str | None:
        """Return None when what must run does, else what does not."""
        if self._is_away:
            return "Ray does not answer; what was deployed is restored when it is back"
        down = [
            name
            for name in self.world.apps
            if (state := self.world.states.get(name)) and state.condition is Condition.FAILED
        ]
        return f"cannot run: {', '.join(down)}" if down else None

    def url_of(self, name: str) -> str:
        """Return where an application was last seen to answer, "" when nowhere.

        UnavailableError before the first look, when there may be a place that is not known yet.
        """
        if self._urls is None:
            raise UnavailableError("serving has not looked at its replicas since it started")
        return self._urls.get(name, "")

    async def _match(self, known: Known) -> None:
        if not known:
            await self._prepare()
            return
        apps = await self._wanted(known)
        if apps != self._applied:
            await self._replicas.apply(apps)
            self._applied = apps
            self._tell_apart(apps)
        if is_busy(known) or self._is_away or not await self._all_answer(apps):
            await self._look(known, apps)

    def _tell_apart(self, apps: tuple[App, ...]) -> None:
        # What ran before goes on; only what is new begins now.
        now = self._clock()
        states = {app.name: s for app in apps if (s := self.world.states.get(app.name))}
        since = {app.name: self.world.since.get(app.name, now) for app in apps}
        self.world = World({app.name: app for app in apps}, states, since)

    async def _look(self, known: Known, apps: tuple[App, ...]) -> None:
        states = await self._replicas.states()
        self._urls = {name: state.url for name, state in states.items()}
        lost = [app.name for app in apps if app.name not in states]
        since = {name: at for name, at in self.world.since.items() if name not in lost}
        self.world = World(self.world.apps, states, since)
        if lost:
            self._log.warning("replicas.lost", lost=lost)
            self._applied = None
        await self._heal(known, apps, states)

    async def _heal(
        self, known: Known, apps: tuple[App, ...], states: Mapping[str, AppState]
    ) -> None:
        # A version that answered and cannot start any more is begun anew: stopped now, wanted again next round.
        # Not at once: a replica that was killed is replaced by Ray itself, and others of the version answer on.
        now = self._clock()
        dead = [
            app for app in apps if _is_dead(states.get(app.name)) and not _is_starting(known, app)
        ]
        self._dead_since = {app.name: self._dead_since.get(app.name, now) for app in dead}
        for app in dead:
            if now - self._dead_since[app.name] >= _HEAL_AFTER:
                self._log.warning("replicas.healing", app=app.name, reason=states[app.name].reason)
                await self._replicas.apply([one for one in apps if one.name != app.name])
                self._applied = None

    async def _all_answer(self, apps: tuple[App, ...]) -> bool:
        for app in apps:
            state = self.world.states.get(app.name)
            if state is None or not await self._probes.ready(state.url, app):
                return False
        return True

    async def _wanted(self, known: Known) -> tuple[App, ...]:
        projects = await self._projects.all()
        now = self._clock()
        apps = [
            await self._in_this_heat(app)
            for _, one in sorted(known.items())
            for app in _apps_of(one, projects.get(one.project), now)
        ]
        names = {app.name for app in apps}
        self._room = {name: room for name, room in self._room.items() if name in names}
        return tuple(apps)

    async def _in_this_heat(self, app: App) -> App:
        # What is said to Ray changes when it gets hotter and when all is well again, not with every step in between:
        # each change takes a replica out of the traffic for a moment, and replicas hear of the steps themselves.
        found = await self._weather.over(app.name)
        if found.least >= app.concurrency:
            self._room.pop(app.name, None)
            return app
        busy = self._counting.busy(app.name)
        asked = (found.least, app.min_replicas, app.max_replicas, busy is None)
        before, room = self._room.get(app.name, (None, app.max_replicas))
        if asked != before:
            state = self.world.states.get(app.name)
            running = state.replicas if state else app.max_replicas
            room = replicas_at(found.least, app.min_replicas, app.max_replicas, busy, running)
            self._room[app.name] = (asked, room)
        return replace(app, concurrency=found.least, max_replicas=room)

    async def _prepare(self) -> None:
        # Nothing was ever served: only make ready what the first rollout would wait for.
        serves = any(
            one.settings.model and not one.archived for one in (await self._projects.all()).values()
        )
        if serves and not self._is_prepared:
            await self._replicas.prepare()
            await self._prepare_packing()
            self._is_prepared = True

    def _lost_sight(self, error: UnavailableError) -> None:
        if not self._is_away:
            self._log.warning("replicas.away", reason=str(error))
        self._is_away = True
        self._applied = None
        self.world = World(self.world.apps, {}, {})


def is_busy(known: Known) -> bool:
    """Return whether a version is coming or going."""
    return any(one.state.rollout is not None or one.state.drains for one in known.values())


def _is_dead(state: AppState | None) -> bool:
    return state is not None and state.condition is Condition.FAILED and state.replicas == 0


def _is_starting(known: Known, app: App) -> bool:
    rollouts = (
        one.state.rollout
        for one in known.values()
        if (one.project, one.model) == (app.project, app.model)
    )
    return any(one and one.phase in RUNNING and one.version == app.version for one in rollouts)


def _apps_of(known: Deployment, served: Served | None, now: datetime) -> list[App]:
    settings = served.settings if served else ServeSettings()
    gone = {one.version for one in known.state.drains if one.until <= now}
    packages = (known.state.package(version) for version in needed(known.state))
    return [
        App(
            project=known.project,
            model=known.model,
            version=package.version,
            bento_tag=package.bento_tag,
            min_replicas=max(1, settings.min_replicas),
            max_replicas=max(1, settings.max_replicas),
            memory_gb=settings.memory_gb,
        )
        for package in packages
        if package is not None and package.version not in gone
    ]
