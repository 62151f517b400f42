# SPDX-License-Identifier: Apache-2.0
"""A world in which monitoring is wired to the memory bus, and a model whose answers and truths we choose."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.clock import utc_now
from mlops.chassis.sidecar import Sidecar
from mlops.contracts.alerts import AlertSettings
from mlops.contracts.energy import EnergyUse
from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.message import Message
from mlops.contracts.monitor_settings import MonitorSettings
from mlops.contracts.monitoring import (
    DriftCleared,
    DriftDetected,
    DriftKind,
    Severity,
    Window,
)
from mlops.contracts.orchestration_bridge import WorkflowCompleted, WorkflowKind
from mlops.contracts.serving import DeploymentCompleted, Prediction, PredictionLogged, Scalar
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered
from mlops.monitoring.adapters.memory import MemoryLedger, MemoryReports
from mlops.monitoring.adapters.memory_channels import MemoryChannels
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.adapters.tables import FileTables
from mlops.monitoring.app import wire, wire_notices
from mlops.monitoring.handlers.notices import Notifier
from mlops.monitoring.model.notices import Channel
from mlops.monitoring.ports import Alert, Ledger

M = TypeVar("M", bound=Message)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
WINDOW = 250
SEEN = Window(index=3, rows=500, first_at=NOON, last_at=NOON)
WORKFLOW = {"workflow_key": "rainfall-7", "kind": WorkflowKind.RETRAIN, "model": "rain"}


@dataclass
class World:
    """Monitoring on a bus; rows are numbered, a shift moves the column `wind`."""

    ledger: Ledger
    reports: MemoryReports = field(default_factory=MemoryReports)
    bus: MemoryBus = field(default_factory=MemoryBus)
    project: str = "rainfall"
    model: str = "rain"
    sent: int = 0
    minutes: int = 0
    elapsed_s: float = 0.0
    waiting_rows: int = 1_000_000
    expected: list[str] = field(default_factory=list)  # reasons of failures that a test wants
    alerts: AlertSettings = field(default_factory=AlertSettings)
    channels: MemoryChannels = field(default_factory=MemoryChannels)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(0)
        claims = (f"claim-{number}" for number in count())
        self.notifier = wire_notices(self.bus, self.channels, utc_now, lambda: next(claims))
        self.ageing = wire(
            self.bus,
            self.ledger,
            self.reports,
            FileTables(Sidecar("mlops.absent")),
            keep_windows=8,
            elapsed_s=lambda: self.elapsed_s,
            waiting_rows=self.waiting_rows,
        )

    async def register(
        self, path: Path | None = None, revision: int = 1, **monitor: object
    ) -> None:
        settings = ProjectSettings(
            name=self.project,
            monitor=MonitorSettings.model_validate({"window": WINDOW, **monitor}),
            alerts=self.alerts,
        )
        where = None if path is None else str(path)
        await self.tell(
            ProjectRegistered(
                project=self.project, settings=settings, path=where, revision=revision
            )
        )

    async def archive(self) -> None:
        await self.tell(ProjectArchived(project=self.project))

    async def deploy(self, version: int = 1, accuracy: float | None = 0.9) -> None:
        self.minutes += 1
        await self.tell(
            DeploymentCompleted(
                project=self.project,
                time=NOON + timedelta(minutes=self.minutes),
                deployment_id=f"d{version}-{self.minutes}",
                model=self.model,
                version=version,
                endpoint="/v2/models/rain/infer",
                metric="accuracy",
                metrics={} if accuracy is None else {"accuracy": accuracy},
            )
        )

    async def window(self, *, version: int = 1, right: float = 1.0, shift: float = 0.0) -> None:
        """Send one whole window of predictions and its labels, the share *right* of them right."""
        ids = await self.predict(WINDOW, version=version, shift=shift)
        await self.label(ids, right=right)

    async def predict(
        self,
        rows: int,
        *,
        version: int = 1,
        shift: float = 0.0,
        missing: float = 0.0,
        ones: float = 0.5,
    ) -> list[str]:
        """Send *rows* predictions in batches of 100; return their request ids."""
        ids = []
        for start in range(0, rows, 100):
            batch = [self._prediction(shift, missing, ones) for _ in range(min(100, rows - start))]
            ids += [prediction.request_id for prediction in batch]
            await self.tell(self.logged(batch, version))
        return ids

    def logged(self, batch: Sequence[Prediction], version: int = 1) -> PredictionLogged:
        return PredictionLogged(
            project=self.project, model=self.model, version=version, predictions=tuple(batch)
        )

    async def label(self, ids: Sequence[str], *, right: float = 1.0) -> None:
        """Send the truth: of every hundred answers, the first ones are right and the rest wrong."""
        for start in range(0, len(ids), 100):
            await self.tell(self.labels(ids[start : start + 100], right))

    def labels(self, ids: Sequence[str], right: float = 1.0) -> LabelRecorded:
        labels = tuple(
            Label(request_id=name, label=truth(name, right=i < right * len(ids)), at=NOON)
            for i, name in enumerate(ids)
        )
        return LabelRecorded(project=self.project, model=self.model, labels=labels)

    async def tell(self, message: Message) -> None:
        await self.bus.publish(message)
        await self.bus.settle()

    def heard(self, kind: type[M]) -> list[M]:
        return [message for message in self.bus.published if isinstance(message, kind)]

    def failed(self) -> list[str]:
        """Return why messages were given up that are no commands and were not meant to be."""
        return [
            f"{one.subject}: {one.reason}"
            for one in self.bus.dead
            if not one.subject.startswith("cmd.") and one.reason not in self.expected
        ]

    def _prediction(self, shift: float, missing: float, ones: float) -> Prediction:
        number, self.sent = self.sent, self.sent + 1
        answer = int(self.rng.random() < ones)
        features: dict[str, Scalar] = {
            "wind": None if self.rng.random() < missing else float(self.rng.normal() + shift),
            "heat": float(self.rng.normal()),
            "sky": str(self.rng.choice(["blue", "grey", "black"])),
        }
        return Prediction(
            request_id=f"{answer}-{number}",
            at=NOON + timedelta(seconds=number),
            features=features,
            prediction=answer,
        )


def truth(request_id: str, *, right: bool) -> int:
    answer = int(request_id[0])
    return answer if right else 1 - answer


@pytest.fixture
def world() -> Iterator[World]:
    """Yield a world that remembers in memory; in the end nothing may have failed but commands, which are refused."""
    found = World(MemoryLedger())
    yield found
    assert found.failed() == []


@pytest.fixture
def kept_world(tmp_path: Path) -> Iterator[World]:
    """Yield a world that remembers in SQLite; in the end nothing may have failed but commands."""
    found = World(SqliteLedger(tmp_path / "ledger.db"))
    yield found
    assert found.failed() == []


@dataclass
class Office:
    """Monitoring, its channels, and a clock that we turn."""

    bus: MemoryBus = field(default_factory=MemoryBus)
    now: datetime = NOON
    rung: int = 0
    said: list[Message] = field(default_factory=list)
    channels: MemoryChannels = field(
        default_factory=lambda: MemoryChannels(
            rules={"chat": Channel(least=2), "call": Channel(least=2), "pager": Channel(least=3)}
        )
    )

    def __post_init__(self) -> None:
        wire(
            self.bus,
            MemoryLedger(),
            MemoryReports(),
            FileTables(Sidecar("mlops.absent")),
            ring=self.ring,
        )
        self.notifier = self.replica("one")

    def ring(self) -> None:
        self.rung += 1

    def replica(self, name: str) -> Notifier:
        claims = (f"{name}-{number}" for number in count())
        return wire_notices(
            self.bus, self.channels, lambda: self.now, lambda: next(claims), self.ring
        )

    async def register(self, **alerts: Any) -> None:
        wanted = AlertSettings.model_validate({"notify": ["chat"], "escalate": ["call"], **alerts})
        settings = ProjectSettings(name="rainfall", alerts=wanted)
        await self.hear(ProjectRegistered, settings=settings, revision=1)

    async def hear(self, what: type[Message], /, **fields: Any) -> None:
        message = what.model_validate({"project": "rainfall", "time": self.now, **fields})
        await self.bus.publish(message)
        await self.bus.settle()

    async def drift(self, severity: Severity = Severity.WARNING) -> None:
        await self.hear(
            DriftDetected,
            model="rain",
            version=1,
            kind=DriftKind.PREDICTION,
            severity=severity,
            share_drifted_ratio=0.5,
            window=SEEN,
            suggestion="Look at the report.",
        )

    async def calm(self) -> None:
        await self.hear(
            DriftCleared, model="rain", version=1, kind=DriftKind.PREDICTION, window=SEEN
        )

    async def train(self, seconds: float, joules: float | None = None) -> None:
        energy = None if joules is None else EnergyUse(joules=joules, measured=True)
        await self.hear(
            WorkflowCompleted, **WORKFLOW, dag_id="d", dag_run_id="r", duration_s=seconds,
            energy=energy,
        )  # fmt: skip

    async def look(self, after: timedelta = timedelta(0)) -> list[str]:
        """Let the notifier look, and return what was told in this round."""
        self.now += after
        before = len(self.channels.told)
        async for message in told_by(self.notifier):
            await self.bus.publish(message)
        return [f"{name}: {letter.why}" for name, letter in self.channels.told[before:]]

    async def alert(self) -> Alert:
        (found,) = (await self.bus.documents("monitoring_alerts", Alert).all()).values()
        return found

    def heard(self, kind: type[M]) -> list[M]:
        return [message for message in self.bus.published if isinstance(message, kind)]


async def told_by(notifier: Notifier) -> AsyncGenerator[Message, None]:
    """Yield what is told now, one channel after the other."""
    for teller in (await notifier.tellers()).values():
        async for message in teller:
            yield message


@pytest.fixture
def office() -> Office:
    """Return an office at noon."""
    return Office()
