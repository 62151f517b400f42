# SPDX-License-Identifier: Apache-2.0
"""A bridge that lives through a script, and the history that it leaves behind, as `mlops events tail --json` prints it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.message import Message
from mlops.contracts.monitoring import (
    DriftDetected,
    DriftKind,
    PerformanceDegraded,
    PerformanceMeasured,
    Severity,
    Window,
)
from mlops.contracts.orchestration_bridge import ApproveWorkflow, CancelWorkflow, StartWorkflow
from mlops.contracts.settings import ProjectSettings, RetrainSettings, TrainSettings
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.orchestration_bridge.adapters.memory import FakePipelines
from mlops.orchestration_bridge.app import wire
from mlops.orchestration_bridge.ports.pipelines import Outcome

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TOLD_WITH_THEIR_TIME = ("workflow.started", "workflow.completed", "workflow.failed")


@dataclass
class Story:
    """One bridge with a clock of its own; every workflow lasts `lasts`, or until it is ended by hand where that is None."""

    retrain: RetrainSettings
    lasts: timedelta | None = timedelta(minutes=5)
    now: datetime = NOON
    bus: MemoryBus = field(default_factory=MemoryBus)
    pipelines: FakePipelines = field(default_factory=FakePipelines)
    history: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dispatcher = wire(self.bus, self.pipelines, clock=lambda: self.now, max_parallel=50)
        self.ids = 0
        self.windows = 0
        self.revision = 0
        self._seen = 0

    async def say(self, of: type[Message], /, **fields: Any) -> None:
        """Publish a message of now, and let the bridge do what follows."""
        self.ids += 1
        made = of(**{"id": f"m{self.ids}", "project": "rain", "time": self.now, **fields})
        await self.bus.publish(made)
        await self.settle()

    async def settle(self) -> None:
        await self.bus.settle()
        async for fact in self.dispatcher.round():
            await self.bus.publish(fact)
        await self.bus.settle()
        for message in self.bus.published[self._seen :]:
            envelope = message.envelope()
            if (
                message.type not in TOLD_WITH_THEIR_TIME
            ):  # the others are stamped by the machine's clock
                envelope["time"] = self.now.isoformat()
            self.history.append(envelope)
        self._seen = len(self.bus.published)

    async def passes(self, minutes: int) -> None:
        for _ in range(minutes):
            self.now += timedelta(minutes=1)
            if self.lasts is not None:
                await self._end_what_is_over(self.lasts)
            await self.settle()

    async def _end_what_is_over(self, lasts: timedelta) -> None:
        began = {e["data"]["dag_run_id"]: e["time"] for e in self.of("workflow.started")}
        for run_id, at in began.items():
            over = datetime.fromisoformat(at) + lasts <= self.now
            if over and self.pipelines.outcomes[run_id].completed is None:
                self.end(run_id)

    def end(self, run_id: str, *, well: bool = True) -> None:
        outcome = Outcome(completed=well, ended_at=self.now, step="" if well else "train")
        self.pipelines.outcomes[run_id] = outcome

    def running(self) -> list[str]:
        return [name for name, one in self.pipelines.outcomes.items() if one.completed is None]

    def of(self, type_: str) -> list[dict[str, Any]]:
        return [event for event in self.history if event["type"] == type_]

    async def registered(self, retrain: RetrainSettings | None = None) -> None:
        self.revision += 1
        kind = ProjectRegistered if self.revision == 1 else ProjectUpdated
        settings = ProjectSettings(
            name="rain",
            train=TrainSettings(command="python train.py"),
            retrain=retrain or self.retrain,
        )
        await self.say(kind, settings=settings, path="/projects/rain", revision=self.revision)

    async def measured(self, *, bad: bool, model: str = "rain") -> None:
        """Measure the next window, and tell that it is degraded where it is *bad*."""
        self.windows += 1
        window = Window(
            index=self.windows, rows=500, labelled=500, first_at=self.now, last_at=self.now
        )
        about = {
            "model": model,
            "version": 1,
            "metric": "accuracy",
            "value": 0.6 if bad else 0.9,
            "expected": 0.9,
            "window": window,
        }
        await self.say(PerformanceMeasured, degraded=bad, **about)
        if bad:
            await self.say(PerformanceDegraded, threshold=0.85, **about)

    async def drifted(self, severity: Severity = Severity.CRITICAL) -> None:
        window = Window(index=self.windows, rows=500, first_at=self.now, last_at=self.now)
        about = {"model": "rain", "version": 1, "window": window}
        await self.say(
            DriftDetected, kind=DriftKind.DATA, severity=severity, share_drifted_ratio=0.7, **about
        )

    async def started_by_hand(self) -> None:
        await self.say(StartWorkflow)

    async def archived(self) -> None:
        await self.say(ProjectArchived)

    async def wished(self, kind: type[ApproveWorkflow | CancelWorkflow]) -> None:
        """Approve or cancel the oldest workflow that was queued and has not ended."""
        over = {
            event["data"]["workflow_key"]
            for type_ in ("workflow.completed", "workflow.failed", "workflow.cancelled")
            for event in self.of(type_)
        }
        keys = [event["data"]["workflow_key"] for event in self.of("workflow.queued")]
        for key in [key for key in keys if key not in over][:1]:
            await self.say(kind, workflow_key=key)

    def decisions(self) -> list[tuple[str, bool, str | None]]:
        """Return trigger, whether it was accepted, and from when on it would be, as the service told them."""
        return [
            (
                event["data"]["trigger_id"],
                event["type"] == "workflow.queued",
                event["data"].get("retry_at"),
            )
            for event in self.history
            if event["type"] in ("workflow.queued", "workflow.declined")
        ]

    def written(self, folder: Path) -> Path:
        file = folder / "history.jsonl"
        file.write_text("".join(json.dumps(event) + "\n" for event in self.history))
        return file


def iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


async def lived(retrain: RetrainSettings, script: Sequence[Callable[[Story], Any]]) -> Story:
    """Return a story after a script."""
    story = Story(retrain)
    await story.registered()
    for step in script:
        await step(story)
    return story
