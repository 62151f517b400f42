# SPDX-License-Identifier: Apache-2.0
"""Story: what the bus said during the demo, in hops, episodes and moments; a pure fold over messages.

An episode begins when a retraining is queued and ends when its model answers all requests and the performance is
back, or when the gate keeps the champion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

HOPS = (
    "performance.degraded",
    "workflow.queued",
    "workflow.started",
    "run.started",
    "run.completed",
    "model.registered",
    "model.promoted",
    "deployment.started",
    "deployment.completed",
    "performance.recovered",
)
FOLLOWED = (
    *HOPS,
    "model.rejected",
    "workflow.completed",
    "workflow.failed",
    "workflow.declined",
    "workflow.cancelled",
    "deployment.progressed",
    "deployment.failed",
    "deployment.reverted",
    "performance.measured",
    "drift.detected",
    "drift.cleared",
    "data.versioned",
    "project.registered",
    "workspace.provisioned",
    "workspace.refused",
    "command.refused",
    "report.published",
)
_WORKFLOW_ENDS = ("workflow.completed", "workflow.failed", "workflow.cancelled")
_ENDS_BADLY = ("workflow.failed", "deployment.failed", "deployment.reverted", "workflow.cancelled")


@dataclass
class Episode:
    """One workflow and what became of it; `worked` once the workflow itself has ended, well or badly."""

    correlation_id: str
    workflow_key: str
    kind: str
    why: str
    day: int
    hops: dict[str, datetime] = field(default_factory=dict)
    outcome: str = "open"
    worked: bool = False
    version: int | None = None
    recovered: bool = False

    def seconds(self) -> dict[str, float]:
        """Return the time of each hop after the one before it, in seconds."""
        passed = [(name, self.hops[name]) for name in HOPS if name in self.hops]
        passed.sort(key=lambda hop: hop[1])
        return {
            name: round((at - passed[max(index - 1, 0)][1]).total_seconds(), 2)
            for index, (name, at) in enumerate(passed)
        }


@dataclass(frozen=True)
class Moment:
    """Something that the report marks on its line."""

    day: int
    type: str
    text: str


@dataclass
class Story:
    """Everything that happened, as far as the report tells it."""

    episodes: list[Episode] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    messages: int = 0
    refused: list[str] = field(default_factory=list)
    provisioned: set[str] = field(default_factory=set)
    _degraded_at: dict[str, datetime] = field(default_factory=dict)

    @property
    def under_way(self) -> bool:
        """Return whether a retraining or a rollout has begun and not ended.

        A gate that keeps the champion ends the episode before its workflow ends, during which no other may begin.
        """
        return any(one.outcome == "open" or not one.worked for one in self.episodes)

    def deployed(self) -> list[Episode]:
        """Return the episodes that ended with a new version in production."""
        return [episode for episode in self.episodes if episode.outcome == "deployed"]

    def add(self, envelope: dict[str, Any], day: int) -> None:
        """Take in the next message; *day* is where the replay stands."""
        type_ = str(envelope.get("type", ""))
        if type_ not in FOLLOWED:
            return
        self.messages += 1
        data = envelope.get("data", {})
        at = datetime.fromisoformat(str(envelope["time"]))
        self._note(type_, data, day)
        if type_ == "performance.degraded":
            self._degraded_at[envelope["id"]] = at
        if type_ == "workflow.queued":
            self._begin(envelope, data, at, day)
        elif episode := self._episode_of(envelope, data, type_):
            self._go_on(episode, type_, data, at)

    def _begin(
        self, envelope: dict[str, Any], data: dict[str, Any], at: datetime, day: int
    ) -> None:
        if any(known.workflow_key == data["workflow_key"] for known in self.episodes):
            return
        episode = Episode(
            correlation_id=str(envelope.get("correlationid") or envelope["id"]),
            workflow_key=data["workflow_key"],
            kind=data["kind"],
            why=data["why"],
            day=day,
        )
        if (cause := self._degraded_at.get(data["trigger_id"])) is not None:
            episode.hops["performance.degraded"] = cause
        episode.hops["workflow.queued"] = at
        self.episodes.append(episode)

    def _episode_of(
        self, envelope: dict[str, Any], data: dict[str, Any], type_: str
    ) -> Episode | None:
        if type_ == "performance.recovered":
            return self.deployed()[-1] if self.deployed() else None
        key, story = data.get("workflow_key"), envelope.get("correlationid")
        mine = [
            episode
            for episode in self.episodes
            if (episode.workflow_key == key if key else episode.correlation_id == story)
        ]
        return mine[-1] if mine else None

    def _go_on(self, episode: Episode, type_: str, data: dict[str, Any], at: datetime) -> None:
        if type_ in HOPS:
            episode.hops.setdefault(type_, at)
        if type_ == "model.promoted":
            episode.version = data["version"]
        if type_ == "model.rejected":
            episode.outcome = "kept"
        if type_ in _WORKFLOW_ENDS:
            episode.worked = True
        if type_ == "deployment.completed":
            episode.outcome = "deployed"
        if type_ in _ENDS_BADLY:
            episode.outcome = type_
        if type_ == "performance.recovered":
            episode.recovered = True

    def _note(self, type_: str, data: dict[str, Any], day: int) -> None:
        if type_ == "workspace.provisioned":
            self.provisioned.add(data["component"])
        if type_ in ("workspace.refused", "command.refused"):
            self.refused.append(f"{type_}: {data.get('reason', '')}")
        if text := _sentence(type_, data):
            self.moments.append(Moment(day, type_, text))


_SENTENCES: dict[str, str] = {
    "performance.degraded": "{metric} {value:.3f}, expected {expected:.3f}",
    "performance.recovered": "{metric} {value:.3f} again",
    "workflow.queued": "{kind}: {why}",
    "workflow.declined": "{kind} declined: {reason}",
    "workflow.failed": "{diagnosis:.300}",
    "model.promoted": "version {version}: {reason}",
    "model.rejected": "version {version} stays a challenger: {reason}",
    "deployment.completed": "version {version} answers all requests",
    "deployment.failed": "{reason:.300}",
    "deployment.reverted": "{reason:.300}",
    "drift.detected": "{kind} drift, {share_drifted_ratio:.0%} of the columns ({severity})",
}


def _sentence(type_: str, data: dict[str, Any]) -> str:
    known = {"expected": 0.0, **{key: value for key, value in data.items() if value is not None}}
    return _SENTENCES.get(type_, "").format(**known)
