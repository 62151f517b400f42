# SPDX-License-Identifier: Apache-2.0
"""Naps: models that nobody asks fall asleep, if their project allows it, and wake when somebody does.

A nap is written down first: from then on no route leads there, and the version runs on until every caller has heard so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.serving import DeploymentProgressed
from mlops.serving.model.apps import app_name, key_of
from mlops.serving.model.state import deployment_of
from mlops.serving.ports import Deployment, Living, Nap, Rest, Served, Traffic
from mlops.serving.sources.answering import Answering

_LOOK_S = 2.0
_SOON_S = 0.25
_IDLE_AT_LEAST = timedelta(seconds=30)
_COUNT_EVERY = timedelta(seconds=10)


class Naps:
    """Which models sleep; *nudge* wakes who runs them."""

    def __init__(
        self,
        documents: Documents[Nap],
        deployments: Documents[Deployment],
        projects: Documents[Served],
        living: Living,
        traffic: Traffic,
        answering: Answering,
        nudge: Callable[[], None],
        clock: Clock,
        drain: timedelta,
    ) -> None:
        self._documents = documents
        self._deployments = deployments
        self._projects = projects
        self._living = living
        self._traffic = traffic
        self._answering = answering
        self._nudge = nudge
        self._clock = clock
        self._drain = drain
        self._naps: dict[str, Nap] | None = None
        self._used_at: dict[str, datetime] = {}
        self._counted: dict[str, int] = {}
        self._counted_at: dict[str, datetime] = {}
        self.woken: dict[str, float] = {}

    async def is_asleep(self, project: str, model: str) -> bool:
        """Return whether nothing of a model answers, because it sleeps or is waking only now."""
        nap = (await self._known()).get(key_of(project, model))
        return nap is not None and nap.rest is not Rest.AWAKE

    async def rest(self, known: Deployment) -> Rest:
        """Return whether a model sleeps."""
        nap = (await self._known()).get(_key_of(known))
        return nap.rest if nap else Rest.AWAKE

    async def stops(self, known: Deployment) -> bool:
        """Return whether the versions of a model are not to run: it sleeps, and every caller has heard so."""
        nap = (await self._known()).get(_key_of(known))
        if nap is None or nap.rest is not Rest.ASLEEP or known.state.rollout is not None:
            return False
        return self._clock() >= nap.stops_at

    async def wake(self, project: str, model: str, why: str) -> Nap | None:
        """Let a model that sleeps be started again; return its nap, None when it is awake."""
        nap = (await self._known()).get(key_of(project, model))
        if nap is None or nap.rest is Rest.AWAKE:
            return None
        if nap.rest is Rest.WAKING:
            return nap
        waking = nap.model_copy(update={"rest": Rest.WAKING, "since": self._clock(), "why": why})
        await self._write(waking)
        return waking

    async def put_to_sleep(self, known: Deployment, why: str) -> None:
        """Let a model sleep from now on, or go on sleeping instead of waking."""
        version, now = known.state.live, self._clock()
        if version is None:
            return
        runs = await self.rest(known) is Rest.AWAKE
        await self._write(
            Nap(
                project=known.project,
                model=known.model,
                version=version,
                deployment_id=deployment_of(known.state, version),
                rest=Rest.ASLEEP,
                since=now,
                stops_at=now + self._drain if runs else now,
                why=why,
            )
        )

    async def idle_since(self, known: Deployment, served: Served | None) -> datetime | None:
        """Return when a model that may be put to sleep was last used; None for one that may not."""
        if not _may_sleep(known, served) or await self.rest(known) is not Rest.AWAKE:
            return None
        used_at = self._last_used(known)
        return used_at if self._clock() - used_at >= _IDLE_AT_LEAST else None

    async def messages(self) -> AsyncIterator[Message]:
        """Look for ever, more often while something wakes."""
        while True:
            async for message in self.round():
                yield message
            waking = any(one.rest is Rest.WAKING for one in (await self._known()).values())
            if waking:
                self._nudge()
            await asyncio.sleep(_SOON_S if waking else _LOOK_S)

    async def round(self) -> AsyncIterator[Message]:
        """Let sleep what is idle, see who has woken, and yield what is not told yet."""
        projects = await self._projects.all()
        found = await self._deployments.all()
        for key in (await self._known()).keys() - found.keys():
            await self._forget(key)
        for key, known in found.items():
            await self._look(key, known, projects.get(known.project))
            nap = (await self._known()).get(key)
            if nap is None or nap.told or nap.rest is Rest.WAKING:
                continue
            yield told(nap, known)
            if nap.rest is Rest.AWAKE:
                await self._forget(key)
            else:
                await self._write(nap.model_copy(update={"told": True}))

    async def _look(self, key: str, known: Deployment, served: Served | None) -> None:
        nap = (await self._known()).get(key)
        if nap is None:
            await self._lull(key, known, served)
        elif known.state.live is None:
            # As long as it drains it would be started again without its nap.
            if not known.state.drains:
                await self._forget(key)
        elif nap.rest is Rest.ASLEEP:
            if known.state.rollout is not None:
                await self.wake(known.project, known.model, "a rollout needs it")
            elif served is not None and served.settings.min_replicas > 0:
                await self.wake(known.project, known.model, "[serve] min_replicas is above 0 now")
        elif nap.rest is Rest.WAKING and self._answering.steadily(_app_of(known)):
            await self._rise(key, nap, known)

    async def _lull(self, key: str, known: Deployment, served: Served | None) -> None:
        if served is None or not _may_sleep(known, served):
            self._used_at[key] = self._clock()
            return
        after = served.settings.sleep_after
        await self._count(key, known, min(after / 4, _COUNT_EVERY))
        if self._clock() - self._last_used(known) >= after:
            await self.put_to_sleep(known, f"nobody asked for {after.total_seconds():g} s")

    async def _rise(self, key: str, nap: Nap, known: Deployment) -> None:
        now, version = self._clock(), known.state.live or nap.version
        waited_s = (now - nap.since).total_seconds()
        self._used_at[key] = now
        self.woken[key] = waited_s
        why = f"{nap.why}; it answers after {waited_s:.1f} s"
        await self._write(
            Nap(
                project=nap.project,
                model=nap.model,
                version=version,
                deployment_id=deployment_of(known.state, version),
                rest=Rest.AWAKE,
                since=now,
                stops_at=now,
                why=why,
                waited_s=waited_s,
            )
        )

    async def _count(self, key: str, known: Deployment, every: timedelta) -> None:
        # Replicas that lost the bus tell nothing; the gateway counts what it sends them.
        now = self._clock()
        if now - self._counted_at.get(key, now - every) < every:
            return
        self._counted_at[key] = now
        counts = await self._traffic.counts(known.project, known.model)
        total = sum(one.requests for one in counts.values()) if counts else 0
        if total != self._counted.setdefault(key, total):
            self._counted[key] = total
            self._used_at[key] = now

    def _last_used(self, known: Deployment) -> datetime:
        began = self._used_at.setdefault(_key_of(known), self._clock())
        return max(began, self._living.used_at(_app_of(known)) or began)

    async def _known(self) -> dict[str, Nap]:
        if self._naps is None:
            found = await self._documents.all()
            self._naps = found if self._naps is None else self._naps
        return self._naps

    async def _write(self, nap: Nap) -> None:
        key = key_of(nap.project, nap.model)
        applied = f"{nap.rest.value}/{nap.since.isoformat()}/{nap.told}"
        (await self._known())[key] = nap
        await self._documents.change(key, lambda _: nap, applied=applied)
        self._nudge()

    async def _forget(self, key: str) -> None:
        (await self._known()).pop(key, None)
        await self._documents.delete(key)


def told(nap: Nap, known: Deployment) -> Message:
    """Return that a model has fallen asleep or woken; the same nap is always the same message."""
    asleep = nap.rest is Rest.ASLEEP
    package = known.state.package(nap.version)
    message = DeploymentProgressed(
        project=nap.project,
        model=nap.model,
        deployment_id=nap.deployment_id,
        version=nap.version,
        phase=nap.rest.value,
        bento_tag=package.bento_tag if package else "",
        backend=package.backend if package else "",
        traffic_ratio=0.0 if asleep else 1.0,
        replicas=0 if asleep else None,
        reason=nap.why[:500],
    )
    identity = f"{nap.deployment_id}/{nap.rest.value}/{nap.since.isoformat()}"
    return message.model_copy(update={"id": follow_up_id(identity, message.type, 0)})


def _may_sleep(known: Deployment, served: Served | None) -> bool:
    """Return whether a model is such that it may sleep; nothing does while a version comes or goes."""
    state = known.state
    steady = state.live is not None and state.rollout is None and not state.drains
    return steady and served is not None and served.settings.min_replicas == 0


def _app_of(known: Deployment) -> str:
    return app_name(known.project, known.model, known.state.live or 0)


def _key_of(known: Deployment) -> str:
    return key_of(known.project, known.model)
