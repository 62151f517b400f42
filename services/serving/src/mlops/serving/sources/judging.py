# SPDX-License-Identifier: Apache-2.0
"""The judge: looks at what the gateway and the replicas have counted, and says how a rollout does and why.

What it said last is kept for those who ask; a new process says it again at its first look.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from mlops.chassis.clock import Clock
from mlops.contracts.latency import EDGES_MS
from mlops.serving.model.apps import app_name
from mlops.serving.model.evidence import Comparison, Counts, Seen, Times
from mlops.serving.model.judging import Judgement, Verdict, found_fault, judge, judge_shadow
from mlops.serving.model.rollout import Rollout
from mlops.serving.ports import Condition, Counting, Deployment, Probes, Traffic
from mlops.serving.sources.world import World

Counted = dict[int, Counts]


class Judge:
    """Asks, remembers since when a version is not ready, and keeps its last word of each rollout."""

    def __init__(self, traffic: Traffic, counting: Counting, probes: Probes, clock: Clock) -> None:
        self._traffic = traffic
        self._counting = counting
        self._probes = probes
        self._clock = clock
        self._unready_since: dict[str, datetime] = {}
        self._replicas_at: dict[tuple[str, str], Counted] = {}
        self._words: dict[str, Judgement] = {}

    def last(self, deployment_id: str) -> Judgement | None:
        """Return what was last said of a rollout."""
        return self._words.get(deployment_id)

    async def counted(self, known: Deployment) -> Counted | None:
        """Return what the gateway has counted of each version, None when nobody tells."""
        return await self._traffic.counts(known.project, known.model)

    async def comparison(self, known: Deployment, version: int) -> Comparison | None:
        """Return how a shadow's answers compare with those of what answers now, None when nobody tells."""
        known_ones = await self._traffic.comparisons(known.project, known.model)
        found = (known_ones or {}).get(version)
        return found if found is None or found.against_version == known.state.live else None

    async def step(self, known: Deployment, rollout: Rollout, world: World) -> Judgement:
        """Judge the step that a rollout is in."""
        seen = await self._seen(known, rollout, world)
        held_s = (self._clock() - rollout.since).total_seconds()
        verdict, reason = judge(rollout.plan, seen, held_s)
        return self._said(rollout, Judgement(verdict, reason, seen, self._clock()))

    async def shadow(self, known: Deployment, rollout: Rollout, world: World) -> Judgement:
        """Judge a version that only gets copies."""
        seen = await self._present(known, rollout, world, Seen())
        found = await self.comparison(known, rollout.version)
        held_s = (self._clock() - rollout.since).total_seconds()
        verdict, reason = judge_shadow(rollout.plan, found, seen, held_s)
        if rollout.approved is not None and seen.unready_s == 0:
            verdict, reason = Verdict.ADVANCE, f"a person lets it go on; {reason}"
        return self._said(rollout, Judgement(verdict, reason, seen, self._clock(), found))

    async def kept(self, known: Deployment, rollout: Rollout) -> str:
        """Return why a version that has taken over is to go back, empty while it does well."""
        counts = self._since(await self.counted(known) or {}, known, rollout, "completed")
        return found_fault(rollout.plan, Seen(counts.get(rollout.version)))

    async def is_ready(self, known: Deployment, version: int, world: World) -> bool:
        """Return whether a version answers now."""
        app, state = world.app(known, version)
        if app is None or state is None or state.condition is not Condition.RUNNING:
            return False
        return await self._probes.ready(state.url, app)

    def forget(self, besides: set[str]) -> None:
        """Forget what was said of any rollout besides these."""
        self._words = {name: one for name, one in self._words.items() if name in besides}
        self._unready_since = {k: at for k, at in self._unready_since.items() if k in besides}
        self._replicas_at = {k: one for k, one in self._replicas_at.items() if k[0] in besides}

    def _said(self, rollout: Rollout, found: Judgement) -> Judgement:
        self._words[rollout.deployment_id] = found
        return found

    async def _seen(self, known: Deployment, rollout: Rollout, world: World) -> Seen:
        found = await self.counted(known)
        stretch = f"{rollout.phase.value}/{rollout.step}"
        in_step = self._since(found or {}, known, rollout, stretch)
        other = known.state.live
        seen = Seen(
            self._since_traffic(found, known, rollout),
            times=_times(in_step.get(rollout.version)),
            other_times=None if other is None else _times(in_step.get(other)),
        )
        return await self._present(known, rollout, world, seen)

    async def _present(self, known: Deployment, rollout: Rollout, world: World, seen: Seen) -> Seen:
        now, name = self._clock(), rollout.deployment_id
        _, state = world.app(known, rollout.version)
        replicas = state.replicas if state else 1
        if await self.is_ready(known, rollout.version, world):
            self._unready_since.pop(name, None)
            return replace(seen, replicas=replicas)
        since = self._unready_since.setdefault(name, now)
        other = known.state.live
        other_ready = other is not None and await self.is_ready(known, other, world)
        unready_s = max(0.001, (now - since).total_seconds())
        return replace(seen, unready_s=unready_s, other_ready=other_ready, replicas=replicas)

    def _since_traffic(
        self, found: Counted | None, known: Deployment, rollout: Rollout
    ) -> Counts | None:
        """Return what the version has answered since it got traffic, as whoever saw more of it has counted."""
        mine = None
        if found is not None:
            mine = found.get(rollout.version, Counts()).since(rollout.baseline)
        theirs = self._of_replicas(known, rollout, "traffic").get(rollout.version)
        return _more(mine, theirs)

    def _since(self, found: Counted, known: Deployment, rollout: Rollout, stretch: str) -> Counted:
        """Return what each version has answered since the step began, as whoever saw more of it has counted."""
        begun = rollout.at_step
        mine = {
            version: found[version].since(begun[version]) for version in begun.keys() & found.keys()
        }
        theirs = self._of_replicas(known, rollout, stretch)
        return theirs if _asked(theirs, rollout) > _asked(mine, rollout) else mine

    def _of_replicas(self, known: Deployment, rollout: Rollout, stretch: str) -> Counted:
        now: Counted = {}
        for version in {rollout.version, *_others(known, rollout)}:
            figures = self._counting.figures(app_name(known.project, known.model, version))
            if figures is not None:
                times = tuple(figures.latencies.counts)
                now[version] = Counts(figures.requests, figures.errors, times=times)
        begun = self._replicas_at.setdefault((rollout.deployment_id, stretch), now)
        return {version: one.since(begun.get(version, Counts())) for version, one in now.items()}


def _others(known: Deployment, rollout: Rollout) -> set[int]:
    return {one for one in (rollout.previous_version, known.state.live) if one is not None}


def _asked(found: Counted, rollout: Rollout) -> int:
    return found.get(rollout.version, Counts()).requests


def _more(mine: Counts | None, theirs: Counts | None) -> Counts | None:
    if mine is None or theirs is None:
        return mine or theirs
    return theirs if theirs.requests > mine.requests else mine


def _times(counts: Counts | None) -> Times | None:
    if counts is None or len(counts.times) != len(EDGES_MS) + 1:
        return None
    return Times(EDGES_MS, counts.times)
