# SPDX-License-Identifier: Apache-2.0
"""Outcome: the figures of a finished demo, and whether the loop closed; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mlops.cli.demo.door import Tally
from mlops.cli.demo.plan import Plan
from mlops.cli.demo.story import Episode, Story


@dataclass(frozen=True)
class Outcome:
    """What `--json` prints and report.json holds."""

    plan: str
    closed: bool
    why_not: str
    accuracy_overall: float
    accuracy_last10: float
    windows: list[float]
    retrainings: int
    promotions: int
    rollouts: int
    drift_warnings: int
    requests: int
    failed_requests: int
    retried_requests: int
    predictions: int
    seconds: float
    seconds_by_phase: Mapping[str, float]
    baselines: Mapping[str, Any]
    audit: Mapping[str, Any] = field(default_factory=dict)
    killed: list[dict[str, str]] = field(default_factory=list)
    episodes: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return asdict(self)


def accuracies(plan: Plan, correct: Mapping[int, bool]) -> tuple[float, float, list[float]]:
    """Return the accuracy over all days, the mean of the last ten windows, and that of each window.

    A day without an answer counts as wrong: a failed request is no reason for a better figure.
    """
    hits = [correct.get(day, False) for day in range(plan.first_day, plan.last_day)]
    windows = [
        sum(hits[at : at + plan.window]) / len(hits[at : at + plan.window])
        for at in range(0, len(hits), plan.window)
    ]
    last = windows[-10:]
    return sum(hits) / len(hits), sum(last) / len(last), windows


def judge(
    plan: Plan,
    story: Story,
    tally: Tally,
    correct: Mapping[int, bool],
    *,
    seconds: Mapping[str, float],
    baselines: Mapping[str, Any],
    audit: Mapping[str, Any],
    killed: list[dict[str, str]],
) -> Outcome:
    """Return the outcome of a replay that is over."""
    overall, last10, windows = accuracies(plan, correct)
    retrained = [episode for episode in story.episodes if episode.kind == "retrain"]
    why_not = _why_not_closed(retrained, tally) or _why_not_sound(audit)
    moments = [moment.type for moment in story.moments]
    return Outcome(
        plan=plan.name,
        closed=not why_not,
        why_not=why_not,
        accuracy_overall=round(overall, 4),
        accuracy_last10=round(last10, 4),
        windows=[round(value, 4) for value in windows],
        retrainings=len(retrained),
        promotions=moments.count("model.promoted"),
        rollouts=moments.count("deployment.completed"),
        drift_warnings=moments.count("drift.detected"),
        requests=tally.requests,
        failed_requests=tally.failed,
        retried_requests=tally.retried,
        predictions=len(correct),
        seconds=round(sum(seconds.values()), 1),
        seconds_by_phase={name: round(value, 1) for name, value in seconds.items()},
        baselines=baselines,
        audit=audit,
        killed=killed,
        episodes=[_told(episode) for episode in story.episodes],
        failures=tally.failures[:20],
    )


def _why_not_closed(retrained: list[Episode], tally: Tally) -> str:
    if not retrained:
        return "no drift led to a retraining"
    if not any(episode.outcome == "deployed" and episode.recovered for episode in retrained):
        return "no retraining led through promotion and rollout to recovery"
    bad = [episode for episode in retrained if episode.outcome not in ("deployed", "kept")]
    if bad:
        return f"workflow {bad[0].workflow_key} ended as {bad[0].outcome}"
    if tally.failed:
        return f"{tally.failed} of {tally.requests} requests failed"
    return ""


def _why_not_sound(audit: Mapping[str, Any]) -> str:
    if audit["predictions_lost"] or audit["labels_lost"]:
        return (
            f"{audit['predictions_lost']} predictions and {audit['labels_lost']} labels were lost"
        )
    return f"done twice: {', '.join(audit['repeated'])}" if audit["repeated"] else ""


def _told(episode: Episode) -> dict[str, Any]:
    return {
        "workflow_key": episode.workflow_key,
        "correlation_id": episode.correlation_id,
        "kind": episode.kind,
        "why": episode.why,
        "day": episode.day,
        "outcome": episode.outcome,
        "version": episode.version,
        "recovered": episode.recovered,
        "hops_s": episode.seconds(),
    }
