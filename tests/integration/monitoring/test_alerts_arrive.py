# SPDX-License-Identifier: Apache-2.0
"""The real service on a real bus tells a real web server of trouble; killed in between, it tells nothing twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.chassis.errors import UnavailableError
from mlops.contracts.alerts import AlertSettings
from mlops.contracts.message import Message
from mlops.contracts.monitoring import AcknowledgeAlert, DriftDetected, DriftKind, Window
from mlops.contracts.orchestration_bridge import WorkflowFailed, WorkflowKind
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered
from servers.listeners import Hook, open_hook

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]
PROJECT = "rain"
_NOW = datetime.now(UTC)
_WINDOW = Window(index=1, rows=500, first_at=_NOW, last_at=_NOW)
_WORKFLOW: dict[str, Any] = {
    "project": PROJECT, "workflow_key": "rain-7", "kind": WorkflowKind.RETRAIN, "model": "rain",
}  # fmt: skip


class Started:
    """The monitoring service as a process that can be killed and started again."""

    def __init__(self, home: Path, server: Any) -> None:
        self._env = os.environ | {
            "MLOPS_HOME": str(home), "NATS_URL": server.url, "NATS_TOKEN": server.token,
        }  # fmt: skip
        self._log = home / "monitoring.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "mlops.monitoring"]
            self.process = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)

    def end(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with open_hook() as found:
        yield found


@pytest.fixture
def monitoring(tmp_path: Path, nats_server: Any, hook: Hook) -> Iterator[Started]:
    file = tmp_path / "alerts.toml"
    file.touch(0o600)
    file.write_text(f'[channels.hook]\nwebhook = "{hook.url}/alerts"\n')
    found = Started(tmp_path, nats_server)
    found.start()
    yield found
    found.end()


@pytest.fixture
async def bus(tmp_path: Path, nats_server: Any) -> AsyncIterator[NatsBus]:
    found = NatsBus(
        nats_server.url, token=nats_server.token, name="probe", outbox=tmp_path / "probe.db"
    )
    await found.start()
    yield found
    await found.stop()


async def register(bus: NatsBus) -> None:
    settings = ProjectSettings(name=PROJECT, alerts=AlertSettings(notify=("hook",)))
    await bus.publish(ProjectRegistered(project=PROJECT, settings=settings, revision=1))
    await heard(bus, "workspace.provisioned", 1)


async def heard(bus: NatsBus, type_: str, how_many: int) -> list[dict[str, Any]]:
    """Wait for so many events of a type, from the beginning on."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        async for one in bus.follow([type_], PROJECT):
            found.append(one.envelope["data"])
            if len(found) == how_many:
                break
    return found


async def asked(bus: NatsBus, verb: str, question: dict[str, Any]) -> dict[str, Any]:
    """Ask as soon as the service answers: it hears before it can be asked."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await bus.ask("monitoring", verb, question)
            except UnavailableError:
                await asyncio.sleep(0.1)


def drift(kind: DriftKind) -> Message:
    return DriftDetected(
        project=PROJECT, model="rain", version=1, kind=kind, share_drifted_ratio=0.5, window=_WINDOW
    )


async def test_killed_and_started_again_it_tells_nothing_twice_and_nothing_too_little(
    monitoring: Started, bus: NatsBus, hook: Hook
) -> None:
    await register(bus)
    await bus.publish(drift(DriftKind.PREDICTION))
    (first,) = await heard(bus, "alert.notified", 1)

    monitoring.end(signal.SIGKILL)
    await bus.publish(WorkflowFailed(**_WORKFLOW, diagnosis="out of memory"))
    monitoring.start()
    _, second = await heard(bus, "alert.notified", 2)

    bodies = [json.loads(content) for _, _, content in hook.taken]
    assert [one["notice_id"] for one in bodies] == [first["notice_id"], second["notice_id"]]
    assert [one["kind"] for one in bodies] == ["prediction", "training"]


async def test_what_people_say_is_known_after_a_kill(
    monitoring: Started, bus: NatsBus, hook: Hook
) -> None:
    await register(bus)
    await bus.publish(drift(DriftKind.DATA))
    (raised,) = await heard(bus, "alert.raised", 1)
    await bus.publish(AcknowledgeAlert(project=PROJECT, alert_id=raised["alert_id"], by="ada"))
    await heard(bus, "alert.acknowledged", 1)

    monitoring.end(signal.SIGKILL)
    monitoring.start()
    await bus.publish(drift(DriftKind.MISSING))
    await heard(bus, "alert.raised", 2)

    told = await asked(bus, "alerts", {"project": PROJECT, "open": True})
    assert {one["kind"]: one["acknowledged_by"] for one in told["alerts"]} == {
        "missing": None,
        "data": "ada",
    }
    tried = await asked(bus, "try_channel", {"name": "hook"})
    assert json.loads(hook.taken[-1][2])["notice_id"] == tried["notice_id"]
