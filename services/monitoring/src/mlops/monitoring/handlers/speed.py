# SPDX-License-Identifier: Apache-2.0
"""Whether models answer slower than they used to, by what serving meters; suspects are what was different meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from mlops.chassis.bus import Documents
from mlops.contracts.latency import EDGES_MS
from mlops.contracts.message import Message
from mlops.contracts.monitoring import (
    LATENCY_P95,
    PerformanceDegraded,
    PerformanceRecovered,
    Suspect,
    Window,
)
from mlops.contracts.serving import (
    DeploymentCompleted,
    DeploymentMetered,
    DeploymentProgressed,
    DeploymentRemoved,
)
from mlops.monitoring.handlers.heat import HeatLog
from mlops.monitoring.model.slow import slow_advice, slow_suspects
from mlops.monitoring.model.speed import Change, Edge, Judged, Normal, Pace, Stretch, judged
from mlops.monitoring.ports import PaceBook

# What serving does to a version that may slow its answers; other phases are of rollouts.
_SERVING = {"slowed": "serving", "lost": "replicas", "scaled": "replicas"}
_MOST_SUSPECTS = 16


class SpeedHandlers:
    """Keeps one book for each model; what it tells follows from the book, so a repeated message repeats nothing."""

    def __init__(self, books: Documents[PaceBook], heat: HeatLog) -> None:
        self._books = books
        self._heat = heat

    async def on_deployment_metered(self, event: DeploymentMetered) -> Sequence[Message]:
        """Hold a window against what is normal; tell when the model is slow, and when it is not any more."""
        if not event.requests:
            return []
        one = _stretch(event)

        def change(now: PaceBook | None) -> PaceBook:
            return PaceBook(pace=judged(_pace(now), one, event.id, EDGES_MS))

        pace = (await self._change(event.project, event.model, change, event.id)).pace
        last, normal = pace.last, pace.normal_for(event.version)
        if last is None or last.by != event.id or last.edge is None or normal is None:
            return []
        if last.edge is Edge.WELL:
            return [_recovered(event, pace, last)]
        return [self._degraded(event, one, pace, last, normal)]

    async def on_deployment_completed(self, event: DeploymentCompleted) -> Sequence[Message]:
        """Hold the version from now on to what the one before took."""

        def change(now: PaceBook | None) -> PaceBook:
            found = _pace(now).deployed(event.version, event.previous_version, event.time)
            return PaceBook(pace=found)

        await self._change(event.project, event.model, change, event.id)
        return []

    async def on_deployment_removed(self, event: DeploymentRemoved) -> Sequence[Message]:
        """End what is known of the row of slow windows: when the model comes back, they are counted anew."""

        def change(now: PaceBook | None) -> PaceBook:
            return PaceBook(pace=_pace(now).removed(event.version, event.time))

        await self._change(event.project, event.model, change, event.id)
        return []

    async def on_deployment_progressed(self, event: DeploymentProgressed) -> Sequence[Message]:
        """Note what serving did to the replicas of a version."""
        cause = _SERVING.get(event.phase)
        if cause is None:
            return []
        count = "" if event.replicas is None else f" to {event.replicas} replicas"
        text = f"version {event.version} was {event.phase}{count} at {event.time:%H:%M:%S}: {event.reason}"
        noted = Change(event.time, cause, text)

        def change(now: PaceBook | None) -> PaceBook:
            return PaceBook(pace=_pace(now).noted(noted))

        await self._change(event.project, event.model, change, event.id)
        return []

    async def _change(
        self, project: str, model: str, change: Callable[[PaceBook | None], PaceBook], applied: str
    ) -> PaceBook:
        name = f"{project}.{hashlib.sha256(model.encode()).hexdigest()[:32]}"
        return await self._books.change(name, change, applied=applied)

    def _degraded(
        self, event: DeploymentMetered, one: Stretch, pace: Pace, last: Judged, normal: Normal
    ) -> PerformanceDegraded:
        found = slow_suspects(one, normal, pace, self._heat.heat)
        return PerformanceDegraded(
            project=event.project,
            model=event.model,
            version=event.version,
            metric=LATENCY_P95,
            value=last.value_ms,
            expected=last.normal_ms,
            threshold=last.bound_ms,
            window=_window(event, pace),
            suspects=tuple(
                Suspect(cause=two.cause, evidence=two.evidence) for two in found[:_MOST_SUSPECTS]
            ),
            suggestion=slow_advice(found),
        )


def _recovered(event: DeploymentMetered, pace: Pace, last: Judged) -> PerformanceRecovered:
    return PerformanceRecovered(
        project=event.project,
        model=event.model,
        version=event.version,
        metric=LATENCY_P95,
        value=last.value_ms,
        threshold=last.bound_ms,
        window=_window(event, pace),
    )


def _pace(book: PaceBook | None) -> Pace:
    return Pace() if book is None else book.pace


def _window(event: DeploymentMetered, pace: Pace) -> Window:
    return Window(
        index=pace.index, rows=event.predictions, first_at=event.since, last_at=event.until
    )


def _stretch(event: DeploymentMetered) -> Stretch:
    places = event.latency_counts.items()
    return Stretch(
        version=event.version,
        since=event.since,
        until=event.until,
        predictions=event.predictions,
        requests=event.requests or 0,
        times={int(place): count for place, count in places if _is_place(place, count)},
        replicas=event.replicas,
        node=None if event.energy is None else event.energy.node,
    )


def _is_place(place: str, count: int) -> bool:
    return place.isdecimal() and int(place) <= len(EDGES_MS) and count > 0
