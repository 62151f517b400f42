# SPDX-License-Identifier: Apache-2.0
"""Outcome: what one policy came to in the period that counts, and what really happened, in the same figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from mlops.orchestration_bridge.replay.played import Made, Played
from mlops.orchestration_bridge.replay.recorded import Course, Decision, Recorded, Spread

MOST_DECISIONS = 500
_MOST_DIFFERENCES = 20
_DEGRADED = "performance.degraded"


def of_policy(
    name: str, tried: Mapping[str, object], played: Played, recorded: Recorded
) -> dict[str, Any]:
    """Return what a replayed policy decided, and what that would have taken."""
    accepted = [one for one in played.made if one.refused is None]
    refused = [one for one in played.made if one.refused is not None]
    courses = [None if one.ends_at else recorded.courses[one.key] for one in accepted]
    return {
        "name": name,
        "settings": dict(tried),
        **_counts(accepted),
        "declined": len(refused),
        "declined_by": dict(Counter(one.refused.rule for one in refused if one.refused)),
        **_taken(courses, recorded),
        "degraded_windows": played.degraded,
        "unanswered_windows": sum(_unanswered(one) for one in played.made),
        "workflows": [
            _workflow(one, course)
            for one, course in zip(
                accepted[-MOST_DECISIONS:], courses[-MOST_DECISIONS:], strict=True
            )
        ],
        "decisions": [_decision(one) for one in played.made[-MOST_DECISIONS:]],
        "decisions_left_out": max(0, len(played.made) - MOST_DECISIONS),
    }


def of_reality(
    recorded: Recorded, since: datetime, until: datetime, degraded: int
) -> dict[str, Any]:
    """Return what the service really decided from *since* to *until*, and what it took."""
    made = [one for one in recorded.decisions.values() if since <= one.at <= until]
    accepted = [one for one in made if one.accepted]
    courses = [recorded.courses[one.key] for one in accepted]
    automatic = [one for one in accepted if not one.by_person]
    return {
        "name": "what happened",
        "settings": {},
        "retrainings": len(automatic),
        "follow_ups": sum(one.trigger_type == "performance.measured" for one in automatic),
        "by_person": len(accepted) - len(automatic),
        "declined": len(made) - len(accepted),
        "declined_by": {},
        **_taken([one for one in courses if one.state.value != "waiting"], recorded),
        "degraded_windows": degraded,
        "unanswered_windows": sum(_was_unanswered(one, recorded) for one in made),
        "workflows": [_really(one) for one in courses[-MOST_DECISIONS:]],
        "decisions": [_recorded(one) for one in made[-MOST_DECISIONS:]],
        "decisions_left_out": max(0, len(made) - MOST_DECISIONS),
    }


def agreement(
    made: Sequence[Made], recorded: Recorded, since: datetime, until: datetime
) -> dict[str, Any]:
    """Return how many decisions recorded from *since* to *until* the same policy makes again, and where it does not."""
    again = {one.trigger.id: one for one in made}
    really = {
        one.trigger_id: one for one in recorded.decisions.values() if since <= one.at <= until
    }
    differences = [
        {
            "trigger_id": name,
            "at": _at(name, again, really),
            "recorded": _said(really.get(name)),
            "replayed": _says(again.get(name)),
        }
        for name in dict.fromkeys((*really, *again))
        if name not in really
        or name not in again
        or really[name].accepted != (again[name].refused is None)
    ]
    return {
        "decisions": len(really),
        "agreed": len(really) - sum(one["trigger_id"] in really for one in differences),
        "different": len(differences),
        "differences": differences[:_MOST_DIFFERENCES],
    }


def spread_of(found: Spread | None) -> dict[str, Any] | None:
    """Return a spread for programs."""
    return None if found is None else asdict(found)


def _counts(accepted: Sequence[Made]) -> dict[str, int]:
    automatic = [one for one in accepted if one.trigger.automatic]
    return {
        "retrainings": len(automatic),
        "follow_ups": sum(bool(one.trigger.follows) for one in automatic),
        "by_person": len(accepted) - len(automatic),
    }


def _taken(courses: Sequence[Course | None], recorded: Recorded) -> dict[str, Any]:
    """Return joules and seconds: those that were recorded, and the usual ones where that was not, or where nothing was."""
    real = [course for course in courses if course is not None]
    assumed = len(courses) - len(real)
    joules = [(one.joules, one.trained) for one in real]
    seconds = [(one.ran_s, one.trained) for one in real]
    return {
        "assumed": assumed,
        **_sum("energy_j", joules, recorded.joules, assumed),
        **_sum("ran_s", seconds, recorded.runs, assumed),
    }


def _sum(
    name: str, real: Sequence[tuple[float | None, bool]], usual: Spread | None, assumed: int
) -> dict[str, float | None]:
    """Return a sum and its range; of *real* work each has its figure, and whether the usual one stands for none."""
    told = [figure for figure, _ in real if figure is not None]
    missing = assumed + sum(figure is None and trained for figure, trained in real)
    if (missing and usual is None) or (real and not told and not missing):
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    each = usual or Spread(0.0, 0.0, 0.0, 0)
    return {
        name: sum(told) + missing * each.median,
        f"{name}_low": sum(told) + missing * each.low,
        f"{name}_high": sum(told) + missing * each.high,
    }


def _unanswered(one: Made) -> bool:
    return one.trigger.type == _DEGRADED and one.refused is not None and not one.active


def _was_unanswered(one: Decision, recorded: Recorded) -> bool:
    return (
        one.trigger_type == _DEGRADED and not one.accepted and not recorded.busy(one.model, one.at)
    )


def _workflow(one: Made, course: Course | None) -> dict[str, Any]:
    ended = one.ends_at if course is None else course.ended_at
    return {
        "key": one.key,
        "model": one.trigger.model,
        "at": one.at.isoformat(),
        "ended_at": ended.isoformat() if ended else None,
        "assumed": course is None,
        "trigger_type": one.trigger.type,
        "follows": one.trigger.follows or None,
        "why": one.trigger.why,
    }


def _really(one: Course) -> dict[str, Any]:
    return {
        "key": one.key,
        "model": one.model,
        "at": one.queued_at.isoformat() if one.queued_at else None,
        "ended_at": one.ended_at.isoformat() if one.ended_at else None,
        "assumed": False,
        "state": one.state.value,
    }


def _decision(one: Made) -> dict[str, Any]:
    retry_at = one.refused.retry_at if one.refused else None
    return {
        "at": one.at.isoformat(),
        "trigger_type": one.trigger.type,
        "trigger_id": one.trigger.id,
        "model": one.trigger.model,
        "accepted": one.refused is None,
        "rule": one.refused.rule if one.refused else None,
        "reason": one.refused.reason if one.refused else one.trigger.why,
        "retry_at": retry_at.isoformat() if retry_at else None,
        "follows": one.trigger.follows or None,
    }


def _recorded(one: Decision) -> dict[str, Any]:
    return {
        "at": one.at.isoformat(),
        "trigger_type": one.trigger_type,
        "trigger_id": one.trigger_id,
        "model": one.model,
        "accepted": one.accepted,
        "reason": one.reason,
    }


def _at(name: str, again: Mapping[str, Made], really: Mapping[str, Decision]) -> str:
    found = really[name].at if name in really else again[name].at
    return found.isoformat()


def _said(one: Decision | None) -> str:
    if one is None:
        return "no decision is recorded"
    return "queued" if one.accepted else f"declined: {one.reason}"


def _says(one: Made | None) -> str:
    if one is None:
        return "nothing asked for it"
    return f"declined: {one.refused.reason}" if one.refused else "queued"
