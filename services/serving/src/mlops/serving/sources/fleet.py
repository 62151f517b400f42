# SPDX-License-Identifier: Apache-2.0
"""The fleet: every application that must run, and that the replicas are told so, again when they lost some."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import UnavailableError
from mlops.serving.model.apps import App
from mlops.serving.model.rollout import RUNNING, Phase
from mlops.serving.model.state import is_busy
from mlops.serving.ports import (
    AppState,
    Condition,
    Deployment,
    Probes,
    Replicas,
    RoomFigures,
    Served,
)
from mlops.serving.sources.answering import Answering
from mlops.serving.sources.losses import Losses, Sight
from mlops.serving.sources.mender import Mender
from mlops.serving.sources.rooms import Rooms
from mlops.serving.sources.world import World

_HEAL_AFTER = timedelta(seconds=15)

Known = Mapping[str, Deployment]
Apps = tuple[App, ...]


class Fleet:
    """What must run and what does; the only one who tells the replicas anything."""

    def __init__(
        self,
        projects: Documents[Served],
        replicas: Replicas,
        probes: Probes,
        rooms: Rooms,
        answering: Answering,
        losses: Losses,
        mender: Mender,
        clock: Clock,
        prepare_packing: Callable[[], Awaitable[None]],
    ) -> None:
        self._projects = projects
        self._replicas = replicas
        self._probes = probes
        self._rooms = rooms
        self._answering = answering
        self._losses = losses
        self._mender = mender
        self._clock = clock
        self._prepare_packing = prepare_packing
        self.known: Known = {}
        self._applied: Apps | None = None
        self._dead_since: dict[str, datetime] = {}
        self._is_prepared = False
        self._is_away = False
        self._urls: dict[str, str] | None = None
        self.world = World({}, {}, {})
        self._log = structlog.get_logger("fleet")

    async def match(self, known: Known) -> bool:
        """Make the replicas what they must be; return whether they can be seen at all."""
        self.known = known
        try:
            await self._match(known)
        except UnavailableError as error:
            await self._lost_sight(known, error)
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

    def room(self) -> RoomFigures:
        """Return how full the memory of serving is, and by whom."""
        return self._rooms.figures

    async def _match(self, known: Known) -> None:
        if not known:
            await self._prepare()
            return
        apps = await self._rooms.place(known, self.world.states)
        self.world = replace(self.world, refused=self._rooms.refused)
        if apps != self._applied:
            await self._replicas.apply(apps)
            self._applied = apps
            self._tell_apart(apps)
        ready = await self._ask(apps)
        looked = self._must_look(known, apps, ready)
        if looked:
            await self._look(known, apps)
            # What is on its way out answers a little longer than it counts.
            ready = {name for name in ready if self._runs(name)}
        self._answering.saw(ready)
        await self._watch(known, self.world.states if looked else {})

    def _runs(self, name: str) -> bool:
        state = self.world.states.get(name)
        return state is not None and state.replicas > 0

    def _must_look(self, known: Known, apps: Apps, ready: Collection[str]) -> bool:
        now, names = self._clock(), {app.name for app in apps}
        return (
            self._is_away
            or any(is_busy(one.state, now) for one in known.values())
            or not names <= set(ready)
            or not self.world.states.keys() <= names
            or self._losses.suspects(apps)
        )

    def _tell_apart(self, apps: Apps) -> None:
        # What ran before goes on; only what is new begins now.
        now = self._clock()
        since = {app.name: self.world.since.get(app.name, now) for app in apps}
        self.world = replace(self.world, apps={app.name: app for app in apps}, since=since)

    async def _ask(self, apps: Apps) -> set[str]:
        """Return which applications say that they are ready."""
        urls = self._urls or {}
        found = await asyncio.gather(
            *(self._probes.ready(urls.get(app.name, ""), app) for app in apps)
        )
        return {app.name for app, answers in zip(apps, found, strict=True) if answers}

    async def _look(self, known: Known, apps: Apps) -> None:
        states = await self._replicas.states()
        self._urls = {name: state.url for name, state in states.items()}
        lost = [app.name for app in apps if app.name not in states]
        since = {name: at for name, at in self.world.since.items() if name not in lost}
        self.world = replace(self.world, states=states, since=since)
        if lost:
            self._log.warning("replicas.lost", lost=lost)
            self._applied = None
        await self._heal(known, apps, states)

    async def _watch(self, known: Known, states: Mapping[str, AppState]) -> None:
        by = {(one.project, one.model): one for one in known.values()}
        await self._losses.look(
            [
                Sight(
                    by[app.project, app.model],
                    app,
                    self._answering.now(app.name),
                    states.get(app.name),
                )
                for app in self.world.apps.values()
                if (app.project, app.model) in by and not _is_starting(known, app, {Phase.STARTING})
            ]
        )

    async def _heal(self, known: Known, apps: Apps, states: Mapping[str, AppState]) -> None:
        # A version that answered and cannot start any more is begun anew: stopped now, wanted again next round.
        # Not at once: a replica that was killed is replaced by Ray itself, and others of the version answer on.
        now = self._clock()
        dead = [
            app
            for app in apps
            if _is_dead(states.get(app.name)) and not _is_starting(known, app, RUNNING)
        ]
        self._dead_since = {app.name: self._dead_since.get(app.name, now) for app in dead}
        self._mender.forget(self._dead_since)
        for app in dead:
            for one in known.values():
                if (one.project, one.model) == (app.project, app.model):
                    self._mender.mend(app, one)
            waited = now - self._dead_since[app.name]
            if waited >= _HEAL_AFTER and not self._mender.is_at_work(app):
                self._log.warning("replicas.healing", app=app.name, reason=states[app.name].reason)
                await self._replicas.apply([one for one in apps if one.name != app.name])
                self._applied = None

    async def _prepare(self) -> None:
        # Nothing was ever served: only make ready what the first rollout would wait for.
        serves = any(
            one.settings.model and not one.archived for one in (await self._projects.all()).values()
        )
        if serves and not self._is_prepared:
            await self._replicas.prepare()
            await self._prepare_packing()
            self._is_prepared = True

    async def _lost_sight(self, known: Known, error: UnavailableError) -> None:
        if not self._is_away:
            self._log.warning("replicas.away", reason=str(error))
        self._is_away = True
        self._applied = None
        self._answering.saw(await self._ask(tuple(self.world.apps.values())))
        await self._watch(known, {})
        self.world = World(self.world.apps, {}, {})


def _is_dead(state: AppState | None) -> bool:
    return state is not None and state.condition is Condition.FAILED and state.replicas == 0


def _is_starting(known: Known, app: App, phases: Collection[Phase]) -> bool:
    rollouts = (
        one.state.rollout
        for one in known.values()
        if (one.project, one.model) == (app.project, app.model)
    )
    return any(one and one.phase in phases and one.version == app.version for one in rollouts)
