# SPDX-License-Identifier: Apache-2.0
"""Losses: tells when something that answered is gone or comes back, and when the number of replicas has changed.

A loss is written down before it is told, so that its end is told too, by whichever process sees it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.serving import DeploymentProgressed
from mlops.serving.model.apps import App
from mlops.serving.model.state import deployment_of, weights
from mlops.serving.ports import AppState, Condition, Deployment, Living, Loss

_LOOK_S = 1.0
_MOST_CAUSE = 400
_PATIENCE = timedelta(seconds=2)


@dataclass(frozen=True)
class Sight:
    """An application as it was just seen; *state* is None when the replicas' home was not asked."""

    known: Deployment
    app: App
    answers: bool
    state: AppState | None = None


class Losses:
    """`look` is called by who watches, `messages` is its source."""

    def __init__(self, documents: Documents[Loss], living: Living, clock: Clock) -> None:
        self._documents = documents
        self._living = living
        self._clock = clock
        self._losses: dict[str, Loss] | None = None
        self._ended: dict[str, tuple[Loss, datetime]] = {}
        self._whole: set[str] = set()
        self._silent_since: dict[str, datetime] = {}
        self._counts: dict[str, int] = {}
        self._speaking: dict[str, frozenset[str]] = {}
        self._scaled: list[Message] = []

    def suspects(self, apps: Iterable[App]) -> bool:
        """Return whether the replicas' home must be asked: something is lost, or other replicas speak than before."""
        return any(
            app.name in (self._losses or {})
            or self._living.replicas(app.name) != self._speaking.get(app.name, frozenset())
            for app in apps
        )

    async def look(self, seen: Sequence[Sight]) -> None:
        """Compare what is seen with what was."""
        losses = await self._known()
        await self._let_go({one.app.name for one in seen})
        for one in seen:
            if one.app.name in losses:
                await self._after_loss(one)
            elif one.app.name in self._whole:
                await self._while_whole(one)
            elif one.answers:
                self._whole.add(one.app.name)
            self._note(one)

    async def _let_go(self, names: AbstractSet[str]) -> None:
        """Forget what was stopped on purpose: what begins anew is compared with nothing."""
        self._whole &= names
        for noted in (self._counts, self._speaking, self._silent_since):
            for name in noted.keys() - names:
                del noted[name]
        for name in (await self._known()).keys() - names:
            await self._forget(name)

    def _note(self, one: Sight) -> None:
        if one.state is None or one.state.condition is not Condition.RUNNING:
            return
        name = one.app.name
        self._counts[name] = one.state.replicas
        # Those that have fallen silent are remembered until others speak: they may have been replaced.
        before = self._speaking.get(name, frozenset())
        self._speaking[name] = self._living.replicas(name) or before

    async def messages(self) -> AsyncIterator[Message]:
        """Tell for ever."""
        while True:
            async for message in self.round():
                yield message
            await asyncio.sleep(_LOOK_S)

    async def round(self) -> AsyncIterator[Message]:
        """Yield what is not told yet."""
        while self._scaled:
            yield self._scaled.pop(0)
        for name, loss in list((await self._known()).items()):
            if not loss.told:
                yield _told(loss, "lost", loss.since, loss.reason)
                await self._write(name, loss.model_copy(update={"told": True}))
        for name, (loss, at) in list(self._ended.items()):
            lasted_s = (at - loss.since).total_seconds()
            yield _told(loss, "recovered", loss.since, f"all of it answers after {lasted_s:.1f} s")
            del self._ended[name]
            await self._forget(name)

    async def _while_whole(self, one: Sight) -> None:
        name, state = one.app.name, one.state
        now = self._clock()
        # For a moment nobody answers while Ray turns its door from one replica to another.
        since = now if one.answers else self._silent_since.get(name, now)
        self._silent_since[name] = since
        if now - since >= _PATIENCE or (state and state.condition is Condition.FAILED):
            await self._lose(one, _reason(one))
        elif state is not None and state.condition is Condition.RUNNING:
            await self._recount(one, state.replicas)

    async def _recount(self, one: Sight, replicas: int) -> None:
        name = one.app.name
        before = self._counts.get(name, replicas)
        was, now = self._speaking.get(name, frozenset()), self._living.replicas(name)
        if replicas < min(before, one.app.min_replicas):
            await self._lose(one, _reason(one))
        elif replicas != before and replicas >= one.app.min_replicas:
            self._scaled.append(_scaled(one, before, replicas, self._clock(), self._why(one.app)))
        elif replicas == before and was and now and was - now and now - was:
            gone = ", ".join(sorted(was - now))
            await self._lose(one, f"replica {gone} has died and was replaced")

    def _why(self, app: App) -> str:
        ongoing = self._living.ongoing(app.name)
        asked = "an unknown number of" if ongoing is None else f"{ongoing:.1f}"
        return f"{asked} requests under way; {app.min_replicas} to {app.max_replicas} are allowed"

    async def _lose(self, one: Sight, reason: str) -> None:
        self._whole.discard(one.app.name)
        self._silent_since.pop(one.app.name, None)
        loss = Loss(
            project=one.app.project,
            model=one.app.model,
            version=one.app.version,
            deployment_id=deployment_of(one.known.state, one.app.version),
            since=self._clock(),
            reason=reason,
            ratio=weights(one.known.state).get(one.app.version, 0.0),
        )
        await self._write(one.app.name, loss)

    async def _after_loss(self, one: Sight) -> None:
        is_whole = one.state is not None and one.state.condition is Condition.RUNNING
        if one.answers and is_whole and one.app.name not in self._ended:
            self._ended[one.app.name] = ((await self._known())[one.app.name], self._clock())

    async def _known(self) -> dict[str, Loss]:
        if self._losses is None:
            found = await self._documents.all()
            self._losses = found if self._losses is None else self._losses
        return self._losses

    async def _write(self, name: str, loss: Loss) -> None:
        (await self._known())[name] = loss
        applied = f"{name}/{loss.since.isoformat()}/{loss.told}"
        await self._documents.change(name, lambda _: loss, applied=applied)

    async def _forget(self, name: str) -> None:
        (await self._known()).pop(name, None)
        self._ended.pop(name, None)
        await self._documents.delete(name)


def _reason(one: Sight) -> str:
    if one.state is None:
        return "it does not answer, and Ray cannot say why"
    of = f"{one.state.replicas} of at least {one.app.min_replicas} replicas answer"
    # The end of what Ray says names the cause; the beginning is a stack of calls.
    cause = one.state.reason[-_MOST_CAUSE:] or "Ray says nothing of the cause"
    return f"{of}: {cause}"


def _told(loss: Loss, phase: str, since: datetime, reason: str) -> Message:
    message = DeploymentProgressed(
        project=loss.project,
        model=loss.model,
        deployment_id=loss.deployment_id,
        version=loss.version,
        phase=phase,
        traffic_ratio=loss.ratio,
        reason=reason[:500],
    )
    identity = f"{loss.deployment_id}/{phase}/{since.isoformat()}"
    return message.model_copy(update={"id": follow_up_id(identity, message.type, 0)})


def _scaled(one: Sight, before: int, replicas: int, at: datetime, why: str) -> Message:
    message = DeploymentProgressed(
        project=one.app.project,
        model=one.app.model,
        deployment_id=deployment_of(one.known.state, one.app.version),
        version=one.app.version,
        phase="scaled",
        traffic_ratio=weights(one.known.state).get(one.app.version, 0.0),
        replicas=replicas,
        reason=f"from {before} to {replicas} replicas; {why}"[:500],
    )
    identity = f"{one.app.name}/scaled/{at.isoformat()}"
    return message.model_copy(update={"id": follow_up_id(identity, message.type, 0)})
