# SPDX-License-Identifier: Apache-2.0
"""Rooms: the applications that must run now, with as many replicas as heat, demand and memory allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.contracts.settings import ServeSettings
from mlops.serving.model import room
from mlops.serving.model.apps import App, app_name
from mlops.serving.model.demand import Demand, demanded, steadied
from mlops.serving.model.heat import replicas_at
from mlops.serving.model.plan import Kind
from mlops.serving.model.rollout import RUNNING, Phase
from mlops.serving.model.room import House, NoRoom, Packing, Tenant
from mlops.serving.model.state import Package, needed
from mlops.serving.ports import (
    AppState,
    Condition,
    Counting,
    Deployment,
    Living,
    Rest,
    RoomFigures,
    Served,
    Weather,
)
from mlops.serving.sources.naps import Naps

_SOON = timedelta(seconds=30)

Known = Mapping[str, Deployment]
States = Mapping[str, AppState]
_Asked = tuple[int, int, int, bool]


@dataclass(frozen=True)
class _Guest:
    """An application that is to run, and what it is for."""

    known: Deployment
    served: Served | None
    package: Package
    app: App


class Rooms:
    """Decides anew each round; what was let in stays in. *counting* and *living* are what replicas tell."""

    def __init__(
        self,
        projects: Documents[Served],
        weather: Weather,
        counting: Counting,
        living: Living,
        naps: Naps,
        capacity_bytes: int,
        clock: Clock,
    ) -> None:
        self._projects = projects
        self._weather = weather
        self._counting = counting
        self._living = living
        self._naps = naps
        self._capacity = capacity_bytes
        self._clock = clock
        self._hot: dict[str, tuple[_Asked, int]] = {}
        self._demands: dict[str, Demand] = {}
        self._inside: dict[str, int] = {}
        self._needs: dict[str, int] = {}
        self.refused: Mapping[str, NoRoom] = {}
        self.figures = RoomFigures(capacity_bytes)

    async def place(self, known: Known, states: States) -> tuple[App, ...]:
        """Return what must run now; who is not let in stands in `refused`."""
        projects = await self._projects.all()
        guests = await self._guests(known, projects, states)
        tenants = [await self._tenant(guest, states) for guest in guests]
        weights = _weights(projects, tenants)
        house = House(self._capacity, self._leaving(tenants, states), weights)
        packing = room.pack(house, tenants)
        await self._lay_down(guests, packing)
        self._remember(tenants, packing, house.leaving, states)
        return tuple(
            _bounded(guest.app, packing.replicas[guest.app.name])
            for guest in guests
            if guest.app.name in packing.replicas
        )

    async def _guests(
        self, known: Known, projects: Mapping[str, Served], states: States
    ) -> list[_Guest]:
        now, found = self._clock(), []
        for _, one in sorted(known.items()):
            if await self._naps.stops(one):
                continue
            served = projects.get(one.project)
            for package in _packages(one, now):
                if await self._still_leaves(one, package, states):
                    continue
                app = _sized(_app(one, package, served), one, self._running, states)
                found.append(_Guest(one, served, package, await self._in_this_heat(app, states)))
        return found

    async def _still_leaves(self, known: Deployment, package: Package, states: States) -> bool:
        # Woken while its last replica stops: begun now, the door would lead to that one for a moment.
        state = states.get(app_name(known.project, known.model, package.version))
        leaves = state is not None and state.condition is Condition.LEAVING
        return leaves and await self._naps.rest(known) is Rest.WAKING

    async def _tenant(self, guest: _Guest, states: States) -> Tenant:
        app, state = guest.app, guest.known.state
        is_live = app.version == state.live
        given = max(1, self._inside.get(app.name, app.min_replicas))
        stays = app.name in self._inside or not await self._is_newcomer(guest, states)
        idle = await self._naps.idle_since(guest.known, guest.served) if is_live else None
        return Tenant(
            name=app.name,
            project=app.project,
            each=room.need(
                await self._living.memory(app.name),
                guest.package.size_bytes,
                guest.package.backend,
                app.memory_gb,
            ),
            fewest=min(app.min_replicas, given) if stays else app.min_replicas,
            most=app.max_replicas,
            wanted=self._demand(app),
            running=self._running(app.name, states),
            stays=stays,
            idle_since=idle,
            leaves=await self._leaves(guest),
            replaces=state.live is not None and not is_live,
        )

    async def _is_newcomer(self, guest: _Guest, states: States) -> bool:
        state, version = guest.known.state, guest.app.version
        if self._running(guest.app.name, states):
            return False
        rollout = state.rollout
        if rollout is not None and version == rollout.version:
            return rollout.phase is Phase.STARTING
        return version == state.live and await self._naps.rest(guest.known) is Rest.WAKING

    async def _leaves(self, guest: _Guest) -> bool:
        """Return whether memory is free soon: a version drains, falls asleep, or is one of two of which one goes."""
        state, version = guest.known.state, guest.app.version
        soon = self._clock() + _SOON
        if any(one.version == version and one.until <= soon for one in state.drains):
            return True
        rollout = state.rollout
        if rollout is not None and rollout.phase in RUNNING and version == rollout.version:
            return rollout.phase is not Phase.STARTING
        return await self._naps.rest(guest.known) is Rest.ASLEEP

    async def _lay_down(self, guests: Sequence[_Guest], packing: Packing) -> None:
        newcomers = [one.app for one in guests if _waits(packing.refused.get(one.app.name))]
        for guest in guests:
            name, verdict = guest.app.name, packing.refused.get(guest.app.name)
            if name in packing.to_sleep:
                await self._naps.put_to_sleep(
                    guest.known, f"makes room for {_named(newcomers, guest.app.project)}"
                )
            wakes = await self._naps.rest(guest.known) is Rest.WAKING
            if wakes and verdict is not None and not verdict.waits:
                await self._naps.put_to_sleep(guest.known, f"cannot wake: {verdict.reason}")

    def _remember(
        self, tenants: Sequence[Tenant], packing: Packing, leaving: int, states: States
    ) -> None:
        inside = [one for one in tenants if one.name in packing.replicas]
        names = {one.name for one in tenants}
        there = {name: each for name, each in self._needs.items() if name in states}
        self._needs = {**there, **{one.name: one.each for one in tenants}}
        self._hot = {name: one for name, one in self._hot.items() if name in names}
        self._demands = {name: one for name, one in self._demands.items() if name in names}
        self._inside = dict(packing.replicas)
        self.refused = packing.refused
        held = {one.name: room.used([one]) for one in inside}
        self.figures = RoomFigures(self._capacity, sum(held.values()) + leaving, held)

    def _leaving(self, tenants: Sequence[Tenant], states: States) -> int:
        names = {one.name for one in tenants}
        return sum(
            self._needs.get(name, 0) * max(1, state.replicas)
            for name, state in states.items()
            if name not in names
        )

    def _demand(self, app: App) -> int:
        wanted = demanded(self._living.ongoing(app.name), app.min_replicas, app.max_replicas)
        found = steadied(self._demands.get(app.name), wanted, self._clock())
        self._demands[app.name] = found
        return found.replicas

    def _running(self, name: str, states: States) -> int:
        state = states.get(name)
        return len(self._living.replicas(name)) or (state.replicas if state else 0)

    async def _in_this_heat(self, app: App, states: States) -> App:
        # What is said to Ray changes when it gets hotter and when all is well again, not with every step in between:
        # each change takes a replica out of the traffic for a moment, and replicas hear of the steps themselves.
        found = await self._weather.over(app.name)
        if found.least >= app.concurrency:
            self._hot.pop(app.name, None)
            return app
        busy = self._counting.busy(app.name)
        asked = (found.least, app.min_replicas, app.max_replicas, busy is None)
        before, most = self._hot.get(app.name, (None, app.max_replicas))
        if asked != before:
            state = states.get(app.name)
            running = state.replicas if state else app.max_replicas
            most = replicas_at(found.least, app.min_replicas, app.max_replicas, busy, running)
            self._hot[app.name] = (asked, most)
        return replace(app, concurrency=found.least, max_replicas=most)


def _waits(verdict: NoRoom | None) -> bool:
    return verdict is not None and verdict.waits


def _named(apps: Sequence[App], project: str) -> str:
    """Return the versions as a project may read of them: those of others have no name."""
    own = [one.name for one in apps if one.project == project]
    strangers = ["another project"] if len(own) < len(apps) else []
    return ", ".join([*own, *strangers])


def _packages(known: Deployment, now: datetime) -> list[Package]:
    gone = {one.version for one in known.state.drains if one.until <= now}
    packages = (known.state.package(version) for version in needed(known.state))
    return [one for one in packages if one is not None and one.version not in gone]


def _app(known: Deployment, package: Package, served: Served | None) -> App:
    settings = served.settings if served else ServeSettings()
    return App(
        project=known.project,
        model=known.model,
        version=package.version,
        bento_tag=package.bento_tag,
        min_replicas=max(1, settings.min_replicas),
        max_replicas=max(1, settings.max_replicas),
        memory_gb=settings.memory_gb,
        queue=settings.max_queue,
    )


def _sized(
    app: App, known: Deployment, running: Callable[[str, States], int], states: States
) -> App:
    """Return the new version of a blue-green rollout at the size of the one before."""
    rollout, live = known.state.rollout, known.state.live
    if rollout is None or rollout.plan.kind is not Kind.BLUE_GREEN or live is None:
        return app
    if app.version != rollout.version:
        return app
    fewest = max(app.min_replicas, running(app_name(app.project, app.model, live), states))
    return replace(app, min_replicas=fewest, max_replicas=max(app.max_replicas, fewest))


def _bounded(app: App, most: int) -> App:
    return replace(app, min_replicas=min(app.min_replicas, most), max_replicas=most)


def _weights(projects: Mapping[str, Served], tenants: Sequence[Tenant]) -> dict[str, float]:
    serving = {
        name: one.weight
        for name, one in projects.items()
        if one.settings.model and not one.archived and not one.refusal
    }
    held = {one.project: projects[one.project].weight for one in tenants if one.project in projects}
    return serving | held
