# SPDX-License-Identifier: Apache-2.0
"""Why a model may answer slower than it used to: what else was different at that time, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.monitoring.model.speed import Normal, Pace, Stretch
from mlops.monitoring.model.suspects import HARDWARE, MEMORY, POWER, Heat, Suspicion

_MORE = 1.5
_MOST_OF_A_KIND = 3
_LONGEST = 500
_ADVICE = {
    HARDWARE: "Let the machine cool down, or give the model another one: `mlops top` shows which are cool.",
    MEMORY: "Free memory on the machine: fewer models or replicas there, or a machine that has more.",
    POWER: "Switch low power mode off, or put the machine on mains power.",
    "replicas": "More replicas answered before: raise [serve] min_replicas, or see `mlops deployments` for why they went.",
    "version": "Compare the version with the one before; `mlops model rollback` takes it back.",
    "input": "Callers send more at once: ask them for smaller requests, or raise [serve] max_replicas.",
    "load": "More requests come than before: raise [serve] max_replicas.",
    "serving": "Serving changed how much the model computes at once; `mlops deployments` says why.",
}
_NOTHING = (
    "Nothing on the bus explains it: look at what else runs on the machine (`mlops top`) and at `mlops logs serving`. "
    "Retraining would not help."
)


def slow_suspects(one: Stretch, normal: Normal, pace: Pace, heat: Heat) -> tuple[Suspicion, ...]:
    """Return what was different while a model was slow, what slows most surely first."""
    found = [
        *_machines(one, heat),
        *_replicas(one, normal),
        *_changes(one, pace),
        *_requests(one, normal),
    ]
    return tuple(Suspicion(two.cause, two.evidence[:_LONGEST]) for two in found)


def slow_advice(found: Sequence[Suspicion]) -> str:
    """Return what a person could do; a slow model is not made faster by training it again."""
    return _ADVICE.get(found[0].cause, _NOTHING) if found else _NOTHING


def _machines(one: Stretch, heat: Heat) -> list[Suspicion]:
    episodes = heat.during(one.since, one.until, one.node)
    return [
        Suspicion(cause, episode.evidence)
        for cause in (HARDWARE, MEMORY, POWER)
        for episode in [e for e in episodes if e.cause == cause][-_MOST_OF_A_KIND:]
    ]


def _replicas(one: Stretch, normal: Normal) -> list[Suspicion]:
    if one.replicas is None or normal.replicas is None or one.replicas >= normal.replicas:
        return []
    return [Suspicion("replicas", f"{one.replicas} replicas answered, {normal.replicas} before")]


def _changes(one: Stretch, pace: Pace) -> list[Suspicion]:
    """Return what serving did within the window, or the one as long before it."""
    lately = one.since - (one.until - one.since)
    made = [change for change in pace.changes if lately <= change.at <= one.until]
    # A version that is held to the one before is a suspect as long as it answers.
    newer = [c for c in pace.changes if c.cause == "version" and one.version in pace.against][-1:]
    known = dict.fromkeys([*made[-_MOST_OF_A_KIND:], *newer])
    return [Suspicion(change.cause, change.text) for change in known]


def _requests(one: Stretch, normal: Normal) -> list[Suspicion]:
    found = []
    rows, before = one.rows_per_request, None
    if normal.requests:
        before = normal.predictions / normal.requests
    if rows is not None and before is not None and rows > _MORE * before:
        found.append(Suspicion("input", f"a request had {rows:.3g} rows, {before:.3g} before"))
    rate, usual = one.requests_per_s, None
    if normal.lasted_s > 0:
        usual = normal.requests / normal.lasted_s
    if rate is not None and usual is not None and rate > _MORE * usual:
        found.append(Suspicion("load", f"{rate:.3g} requests per second came, {usual:.3g} before"))
    return found
