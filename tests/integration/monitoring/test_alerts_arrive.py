# SPDX-License-Identifier: Apache-2.0
"""The real service on a real bus tells a real web server of trouble; killed in between, it tells nothing twice."""

from __future__ import annotations

import asyncio
import json
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
from servers.services import ServiceProcess

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]
PROJECT = "rain"
_NOW = datetime.now(UTC)
_WINDOW = Window(index=1, rows=500, first_at=_NOW, last_at=_NOW)
_WORKFLOW: dict[str, Any] = {
    "project": PROJECT, "workflow_key": "rain-7", "kind": WorkflowKind.RETRAIN, "model": "rain",
}  # fmt: skip


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with open_hook() as found:
        yield found


@pytest.fixture
def monitoring(tmp_path: Path, nats_server: Any, hook: Hook) -> Iterator[ServiceProcess]:
    file = tmp_path / "alerts.toml"
    file.touch(0o600)
    file.write_text(f'[channels.hook]\nwebhook = "{hook.url}/alerts"\n')
    found = ServiceProcess("monitoring", tmp_path, nats_server)
    found.start()
    yield found
    found.stop()


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
    monitoring: ServiceProcess, bus: NatsBus, hook: Hook
) -> None:
    await register(bus)
    await bus.publish(drift(DriftKind.PREDICTION))
    (first,) = await heard(bus, "alert.notified", 1)

    monitoring.kill()
    await bus.publish(WorkflowFailed(**_WORKFLOW, diagnosis="out of memory"))
    monitoring.start()
    _, second = await heard(bus, "alert.notified", 2)

    bodies = [json.loads(content) for _, _, content in hook.taken]
    assert [one["notice_id"] for one in bodies] == [first["notice_id"], second["notice_id"]]
    assert [one["kind"] for one in bodies] == ["prediction", "training"]


async def test_what_people_say_is_known_after_a_kill(
    monitoring: ServiceProcess, bus: NatsBus, hook: Hook
) -> None:
    await register(bus)
    await bus.publish(drift(DriftKind.DATA))
    (raised,) = await heard(bus, "alert.raised", 1)
    await bus.publish(AcknowledgeAlert(project=PROJECT, alert_id=raised["alert_id"], by="ada"))
    await heard(bus, "alert.acknowledged", 1)

    monitoring.kill()
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
