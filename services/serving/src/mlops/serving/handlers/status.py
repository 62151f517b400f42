# SPDX-License-Identifier: Apache-2.0
"""How a model is served now, as people read it: each version's figures, the rollout and why it stands where it does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic_core import to_jsonable_python

from mlops.chassis.clock import Clock
from mlops.serving.model.apps import FULL_CONCURRENCY, app_name, endpoint
from mlops.serving.model.evidence import P95, Comparison
from mlops.serving.model.heat import Climate
from mlops.serving.model.judging import Judgement
from mlops.serving.model.rollout import HELD, Mark, Rollout, is_held
from mlops.serving.model.state import State, deployment_of, needed, weights
from mlops.serving.ports import Counting, Deployment, Figures, Page, Sleep, Weather


class Status:
    """Puts together what serving knows of a model; *judged* is what was last said of a rollout."""

    def __init__(
        self,
        weather: Weather,
        counting: Counting,
        sleep: Sleep,
        judged: Callable[[str], Judgement | None],
        clock: Clock,
    ) -> None:
        self._weather = weather
        self._counting = counting
        self._sleep = sleep
        self._judged = judged
        self._clock = clock

    async def summary(self, one: Deployment) -> dict[str, Any]:
        """Return a model in short."""
        state, asleep = one.state, await self._sleep.is_asleep(one.project, one.model)
        live = state.package(state.live) if state.live is not None else None
        versions = {version: await self._version(one, version, asleep) for version in needed(state)}
        return {
            "project": one.project,
            "model": one.model,
            "endpoint": endpoint(one.model),
            "live": state.live,
            "before": state.before,
            "asleep": asleep,
            "backend": live.backend if live else None,
            "bento_tag": live.bento_tag if live else None,
            "running": list(needed(state)),
            "weights": {str(version): weight for version, weight in weights(state).items()},
            "rollout": self._rollout(state.rollout),
            "versions": list(versions.values()),
            "heat": {str(version): found["heat"] for version, found in versions.items()},
            "energy": {str(version): found["energy"] for version, found in versions.items()},
        }

    async def detail(self, one: Deployment) -> dict[str, Any]:
        """Return a model with its rollouts, step by step."""
        summary, state = await self.summary(one), one.state
        return {**summary, "packages": _packages(state), "rollouts": _journeys(state)}

    async def _version(self, one: Deployment, version: int, asleep: bool) -> dict[str, Any]:  # noqa: FBT001 - a fact
        state, app = one.state, app_name(one.project, one.model, version)
        package = state.package(version)
        is_asleep = asleep and version == state.live
        return {
            "version": version,
            "deployment_id": deployment_of(state, version),
            "state": "asleep" if is_asleep else _state(state, version, self._clock()),
            "traffic_ratio": weights(state).get(version, 0.0),
            "backend": package.backend if package else None,
            "backend_reason": package.backend_reason if package else None,
            "format": package.format if package else None,
            "task": package.task if package else None,
            **_figures(self._counting.figures(app)),
            "heat": _heat(await self._weather.over(app)),
            "energy": _energy(await self._counting.last(app)),
        }

    def _rollout(self, rollout: Rollout | None) -> dict[str, Any] | None:
        if rollout is None:
            return None
        return {
            "deployment_id": rollout.deployment_id,
            "version": rollout.version,
            "kind": rollout.plan.kind.value,
            "phase": rollout.phase.value,
            "traffic_ratio": rollout.traffic_ratio,
            "since": rollout.since.isoformat(),
            "held": _held(rollout),
            **_word(self._judged(rollout.deployment_id)),
        }


def _state(state: State, version: int, now: datetime) -> str:
    """Return in one word what a version does."""
    rollout = state.rollout
    if rollout is not None and rollout.version == version:
        return rollout.phase.value
    if version == state.live:
        return "live"
    left_s = max(
        (one.until - now).total_seconds() for one in state.drains if one.version == version
    )
    return f"leaves in {left_s:.0f} s" if left_s > 0 else "leaves"


def _figures(found: Figures | None) -> dict[str, Any]:
    """Return what the replicas have counted, nothing where none has spoken yet."""
    if found is None:
        return {"replicas": None}
    quantiles = {"p50_ms": 0.5, "p95_ms": P95, "p99_ms": 0.99}
    return {
        "replicas": found.replicas,
        "requests": found.requests,
        "errors": found.errors,
        "shed": found.shed,
        "waiting": found.waiting,
        "memory_bytes": found.memory_bytes,
        "rate": found.rate,
        **{name: found.latencies.quantile(share) for name, share in quantiles.items()},
    }


def _word(said: Judgement | None) -> dict[str, Any]:
    """Return what the judge saw and said last; it stands in memory, so that a new process says it again soon."""
    if said is None:
        return {"why": "", "judged_at": None}
    seen = said.seen
    return {
        "why": said.reason,
        "verdict": said.verdict.value,
        "judged_at": said.at.isoformat(),
        "requests": seen.counts.requests if seen.counts else None,
        "errors": seen.counts.errors if seen.counts else None,
        "p95_ms": seen.times.quantile(P95) if seen.times else None,
        "other_p95_ms": seen.other_times.quantile(P95) if seen.other_times else None,
        "comparison": _comparison(said.comparison),
    }


def _comparison(found: Comparison | None) -> dict[str, Any] | None:
    said: dict[str, Any] | None = to_jsonable_python(found)
    return said


def _heat(found: Climate) -> dict[str, Any]:
    return {
        "level": found.level,
        "concurrency": found.concurrency,
        "full": FULL_CONCURRENCY,
        "node": found.node or None,
        "why": found.why,
    }


def _energy(last: Page | None) -> dict[str, Any] | None:
    if last is None:
        return None
    energy = last.energy
    return {
        "joules_per_1000": last.joules_per_1000,
        "joules": energy.joules if energy else None,
        "measured": energy.measured if energy else None,
        "predictions": last.window.predictions,
        "since": last.window.since.isoformat(),
        "until": last.until.isoformat(),
    }


def _held(rollout: Rollout) -> str:
    """Return why a rollout waits where it is, empty when it does not."""
    held = [one.reason for one in rollout.marks if one.stage == HELD]
    return held[-1] if is_held(rollout) else ""


def _packages(state: State) -> list[dict[str, Any]]:
    return [
        {
            "version": one.version,
            "bento_tag": one.bento_tag,
            "backend": one.backend,
            "format": one.format,
            "task": one.task,
        }
        for one in state.packages
    ]


def _journeys(state: State) -> list[dict[str, Any]]:
    return [
        {
            "deployment_id": one.deployment_id,
            "version": one.version,
            "previous_version": one.previous_version,
            "kind": one.plan.kind.value,
            "phase": one.phase.value,
            "why": one.why,
            "wanted_at": one.wanted_at.isoformat(),
            "marks": [_mark(mark) for mark in one.marks],
        }
        for one in state.rollouts
    ]


def _mark(mark: Mark) -> dict[str, Any]:
    found: dict[str, Any] = to_jsonable_python(mark)
    return found
