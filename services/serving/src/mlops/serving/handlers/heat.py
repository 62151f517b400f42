# SPDX-License-Identifier: Apache-2.0
"""Heat: on machines that get hot replicas compute less at once, told the moment it is known.

Nothing here waits for Ray or for packing: a level is written down and told in the same breath, and every replica that
hears of it asks for its limits at once. What a machine says is kept in memory; written down is what a restart needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.contracts.message import Message, NodeEvent, follow_up_id
from mlops.contracts.serving import DeploymentProgressed
from mlops.contracts.telemetry_agent import TelemetrySampled, ThermalRecovered, ThermalThrottled
from mlops.serving.model import heat
from mlops.serving.model.apps import FULL_CONCURRENCY, app_name
from mlops.serving.model.arrivals import Arrival, arrived
from mlops.serving.model.heat import Climate, Node
from mlops.serving.model.state import deployment_of, needed, weights
from mlops.serving.ports import Deployment, NodeHeat

Nodes = Mapping[str, Node]


class Heats:
    """What is known of the machines.

    *places* says where an application's replicas run, *sampled* hears every sample too, *changed* wakes who acts.
    """

    def __init__(
        self,
        documents: Documents[NodeHeat],
        deployments: Documents[Deployment],
        places: Callable[[str], frozenset[str]],
        sampled: Callable[[TelemetrySampled], Awaitable[None]],
        changed: Callable[[], None],
        clock: Clock,
        pace: timedelta = heat.GROW_EVERY,
    ) -> None:
        self._documents = documents
        self._deployments = deployments
        self._places = places
        self._sampled = sampled
        self._changed = changed
        self._clock = clock
        self._pace = pace
        self._machines: dict[str, NodeHeat] | None = None
        self._written_at: dict[str, datetime] = {}
        self._arrivals: dict[str, Arrival] = {}
        self._turn = asyncio.Lock()

    async def on_thermal_throttled(self, event: ThermalThrottled) -> Sequence[Message]:
        """Compute less at once on a machine that slows down."""
        if self._is_history(event):
            return []
        said = Node(event.level, event.time, self._clock(), event.reason, event.episode_id)
        return await self._hear(event.node, said, event.id)

    async def on_thermal_recovered(self, event: ThermalRecovered) -> Sequence[Message]:
        """Go back step by step, beginning now."""
        if self._is_history(event):
            return []
        said = Node(event.level, event.time, self._clock(), episode=event.episode_id)
        return await self._hear(event.node, said, event.id)

    async def on_telemetry_sampled(self, event: TelemetrySampled) -> Sequence[Message]:
        """Heal a missed edge; what is old, back-filled, or of no level, is no sign of heat nor of its end."""
        if event.sample.backfill or self._is_history(event):
            return []
        await self._sampled(event)
        thermal = event.sample.thermal
        derived = bool(thermal.derived_throttle)
        level = heat.true_level(thermal.level, thermal.reasons, derived=derived)
        if level is None:
            return []
        said = Node(level, event.time, self._clock(), episode=event.episode_id or "")
        return await self._hear(event.node, said, event.id)

    async def over(self, app: str) -> Climate:
        """Return what heat means for an application now."""
        nodes = self._at_this_time(await self._known())
        return heat.climate(nodes, self._places(app), self._clock())

    async def nodes(self) -> Nodes:
        """Return every machine that has told its heat, as it counts now."""
        return self._at_this_time(await self._known())

    async def recoveries(self) -> AsyncIterator[Message]:
        """Write down what time has changed, and yield who computes at full strength again."""
        for name, known in list((await self._known()).items()):
            node, later = known.node, heat.at(known.node, name, self._clock(), self._pace)
            gone = heat.is_at_rest(later) and heat.is_silent(later, self._clock())
            if gone or (later.level, later.bound.now) != (node.level, node.bound.now):
                for message in await self._restored(name, node, later):
                    yield message
                await self._replace(name, known, None if gone else later)

    def _is_history(self, event: NodeEvent) -> bool:
        arrival = arrived(self._arrivals.get(event.node), event.time, self._clock())
        self._arrivals[event.node] = arrival
        return arrival.is_history

    async def _hear(self, name: str, said: Node, cause: str) -> Sequence[Message]:
        async with self._turn:
            machines = await self._known()
            known = machines.get(name)
            if known is not None and known.cause == cause:
                # Whoever wrote it down may have died before it was told.
                return await self._told(name, known.was, known.node)
            before = known.node if known else None
            later = heat.heard(before, said, name, self._pace)
            is_news = heat.is_news(before, later, self._written_at.get(name))
            if known is not None and not is_news:
                machines[name] = known.model_copy(update={"node": later})
                return []
            news = NodeHeat(node=later, was=before, cause=cause)
            if is_news:
                await self._write(name, news, applied=cause)
            machines[name] = news
        self._changed()
        return await self._told(name, before, later)

    async def _told(self, name: str, was: Node | None, now: Node) -> list[DeploymentProgressed]:
        """Return which versions compute less at once, or at full strength again, since a machine has changed."""
        others = self._at_this_time(await self._known())
        others.pop(name, None)
        before = others | ({name: was} if was else {})
        after = others | {name: now}
        return [
            message
            for known in (await self._deployments.all()).values()
            for version in needed(known.state)
            if (message := self._change(known, version, before, after)) is not None
        ]

    def _change(
        self, known: Deployment, version: int, before: Nodes, after: Nodes
    ) -> DeploymentProgressed | None:
        places = self._places(app_name(known.project, known.model, version))
        was = heat.climate(before, places, self._clock())
        now = heat.climate(after, places, self._clock())
        if now.concurrency < was.concurrency:
            return _progressed(known, version, "slowed", now.concurrency, now.why)
        if was.concurrency < now.concurrency == FULL_CONCURRENCY:
            return _progressed(known, version, "restored", now.concurrency, f"{was.node} is cool")
        return None

    async def _restored(self, name: str, node: Node, later: Node) -> list[Message]:
        # The same ids after a crash: `node` is what was written down.
        began = f"{name}/{node.bound.changed_at}"
        return [
            message.model_copy(
                update={"id": follow_up_id(f"{message.deployment_id}/{began}", message.type, 0)}
            )
            for message in await self._told(name, node, later)
        ]

    async def _replace(self, name: str, known: NodeHeat, later: Node | None) -> None:
        async with self._turn:
            machines = await self._known()
            if machines.get(name) is not known:
                return  # it has spoken meanwhile
            if later is None or heat.is_at_rest(later):
                await self._documents.delete(name)
            else:
                applied = f"{name}/{later.level}/{later.bound.now}/{later.bound.changed_at}"
                await self._write(name, NodeHeat(node=later), applied=applied)
            if later is None:
                del machines[name]
            else:
                machines[name] = NodeHeat(node=later)
        self._changed()

    async def _write(self, name: str, news: NodeHeat, *, applied: str) -> None:
        await self._documents.change(name, lambda _: news, applied=applied)
        self._written_at[name] = news.node.heard_at

    async def _known(self) -> dict[str, NodeHeat]:
        if self._machines is None:
            found = await self._documents.all()
            if self._machines is None:
                self._machines = found
                self._written_at = {name: one.node.heard_at for name, one in found.items()}
        return self._machines

    def _at_this_time(self, machines: Mapping[str, NodeHeat]) -> dict[str, Node]:
        now = self._clock()
        return {name: heat.at(one.node, name, now, self._pace) for name, one in machines.items()}


def _progressed(
    known: Deployment, version: int, phase: str, concurrency: int, reason: str
) -> DeploymentProgressed:
    package = known.state.package(version)
    return DeploymentProgressed(
        project=known.project,
        model=known.model,
        deployment_id=deployment_of(known.state, version),
        version=version,
        phase=phase,
        bento_tag=package.bento_tag if package else "",
        backend=package.backend if package else "",
        traffic_ratio=weights(known.state).get(version, 0.0),
        concurrency=concurrency,
        reason=reason[:500],
    )
