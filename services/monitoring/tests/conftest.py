# SPDX-License-Identifier: Apache-2.0
"""A world in which monitoring is wired to the memory bus, and a model whose answers and truths we choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.sidecar import Sidecar
from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.message import Message
from mlops.contracts.serving import DeploymentCompleted, Prediction, PredictionLogged, Scalar
from mlops.contracts.settings import MonitorSettings, ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered
from mlops.monitoring.adapters.memory import MemoryLedger, MemoryReports
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.adapters.tables import FileTables
from mlops.monitoring.app import wire
from mlops.monitoring.ports import Ledger

M = TypeVar("M", bound=Message)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
WINDOW = 250


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

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(0)
        wire(
            self.bus, self.ledger, self.reports, FileTables(Sidecar("mlops.absent")), keep_windows=8
        )

    async def register(
        self, path: Path | None = None, revision: int = 1, **monitor: object
    ) -> None:
        settings = ProjectSettings(
            name=self.project, monitor=MonitorSettings.model_validate({"window": WINDOW, **monitor})
        )
        where = None if path is None else str(path)
        await self.tell(
            ProjectRegistered(
                project=self.project, settings=settings, path=where, revision=revision
            )
        )

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
def world() -> World:
    """Return a world that remembers in memory."""
    return World(MemoryLedger())


@pytest.fixture
def kept_world(tmp_path: Path) -> World:
    """Return a world that remembers in SQLite."""
    return World(SqliteLedger(tmp_path / "ledger.db"))
