# SPDX-License-Identifier: Apache-2.0
"""Alerts: one open at a time for each thing that is wrong; people acknowledge, the world resolves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from mlops.chassis.bus import Documents
from mlops.chassis.errors import RejectedError
from mlops.contracts.alerts import AlertSettings
from mlops.contracts.commands import CommandRefused
from mlops.contracts.monitoring import (
    AcknowledgeAlert,
    AlertAcknowledged,
    AlertRaised,
    AlertResolved,
    PerformanceDegraded,
    Severity,
)
from mlops.monitoring.handlers.alerts import AlertHandlers
from mlops.monitoring.handlers.costs import Costs
from mlops.monitoring.ports import Alert, WatchedProject

AT_ONCE = AlertSettings(settle=timedelta(0))


async def test_trouble_that_comes_back_soon_is_the_same_alert(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)

    for right in (0.6, 0.9, 0.6):
        await world.window(right=right)

    raised, resolved = world.heard(AlertRaised), world.heard(AlertResolved)
    assert [one.count for one in raised] == [1, 2]
    assert raised[0].alert_id == raised[1].alert_id == resolved[0].alert_id
    answer = await world.bus.ask("monitoring", "alerts", {"open": True})
    assert [one["alert_id"] for one in answer["alerts"]] == [raised[0].alert_id]


async def test_one_alert_per_trouble_until_it_is_over(world: Any) -> None:
    world.alerts = AT_ONCE
    await world.register()
    await world.deploy(accuracy=0.9)

    for right in (0.6, 0.6, 0.9, 0.6):
        await world.window(right=right)

    raised, resolved = world.heard(AlertRaised), world.heard(AlertResolved)
    assert len(world.heard(PerformanceDegraded)) == 3
    assert [one.dedup_key for one in raised] == ["rainfall.rain.performance"] * 2
    assert raised[0].alert_id != raised[1].alert_id
    assert [one.alert_id for one in resolved] == [raised[0].alert_id]
    assert raised[0].severity is Severity.CRITICAL
    assert raised[0].title == "rain v1: accuracy is 0.600, worse than 0.850"


async def test_drift_and_performance_are_two_alerts(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)
    for _ in range(4):
        await world.window()

    await world.window(shift=0.8, right=0.5)

    found = {one.dedup_key.rpartition(".")[2]: one.severity for one in world.heard(AlertRaised)}
    assert found == {"data": Severity.WARNING, "performance": Severity.CRITICAL}


async def test_a_redelivered_event_raises_the_same_alert(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)
    await world.window(right=0.5)
    (degraded,) = world.heard(PerformanceDegraded)
    await world.window(right=0.9)

    world.bus._ids.discard(degraded.id)
    await world.tell(degraded)

    answer = await world.bus.ask("monitoring", "alerts", {"project": "rainfall", "open": True})
    assert len(world.heard(AlertRaised)) == 1
    assert answer["alerts"] == []


async def test_an_old_degradation_does_not_reopen_what_is_over(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)
    await world.window(right=0.5)
    (degraded,) = world.heard(PerformanceDegraded)
    await world.window(right=0.9)

    await world.tell(degraded.model_copy(update={"id": "late"}))

    assert len(world.heard(AlertRaised)) == 1


async def test_a_person_acknowledges_an_alert(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)
    await world.window(right=0.5)
    (raised,) = world.heard(AlertRaised)

    for by in ("ada", "bob"):
        await world.tell(AcknowledgeAlert(project="rainfall", alert_id=raised.alert_id, by=by))

    told = world.heard(AlertAcknowledged)
    answer = await world.bus.ask("monitoring", "alerts", {"open": True})
    assert [(one.alert_id, one.by) for one in told] == [(raised.alert_id, "ada")] * 2
    assert [one["acknowledged_by"] for one in answer["alerts"]] == ["ada"]


async def test_an_unknown_alert_is_refused(world: Any) -> None:
    await world.tell(AcknowledgeAlert(project="rainfall", alert_id="nope"))

    (refused,) = world.heard(CommandRefused)
    assert "has no alert 'nope'" in refused.reason


async def test_any_model_name_makes_a_key(world: Any) -> None:
    world.model = "rain & snow/v2"
    await world.register()
    await world.deploy(accuracy=0.9)

    await world.window(right=0.5)

    assert [one.dedup_key for one in world.heard(AlertRaised)] == [
        "rainfall.rain=20==26==20=snow=2f=v2.performance"
    ]


async def test_models_with_long_names_do_not_share_an_alert(world: Any) -> None:
    await world.register()
    for name in ("a", "b"):
        world.model = "r" * 255 + name
        await world.deploy(accuracy=0.9)
        await world.window(right=0.5)

    raised = world.heard(AlertRaised)
    assert len({one.dedup_key for one in raised}) == 2
    assert all(len(one.dedup_key) <= 256 for one in raised)


async def test_an_acknowledgement_that_comes_late_does_not_take_the_next_alert(world: Any) -> None:
    world.alerts = AT_ONCE
    await world.register()
    await world.deploy(accuracy=0.9)
    await world.window(right=0.5)
    (first,) = world.heard(AlertRaised)
    alerts = world.bus.documents("monitoring_alerts", Alert)
    slow = _AllOfBefore(alerts, await alerts.all())
    projects = world.bus.documents("monitoring_projects", WatchedProject)
    costs = world.bus.documents("monitoring_costs", Costs)
    for right in (0.9, 0.5):
        await world.window(right=right)

    with pytest.raises(RejectedError, match="is over"):
        await AlertHandlers(slow, projects, costs, lambda: None).do_acknowledge_alert(
            AcknowledgeAlert(project="rainfall", alert_id=first.alert_id, by="ada")
        )

    (now,) = [one for one in (await alerts.all()).values() if one.was_raised]
    assert (now.open, now.acknowledged_by) == (True, None)


@dataclass
class _AllOfBefore:
    """Documents whose list was read before others wrote."""

    documents: Documents[Alert]
    before: dict[str, Alert]

    async def all(self) -> dict[str, Alert]:
        return self.before

    async def get(self, key: str) -> Alert | None:
        return await self.documents.get(key)

    async def change(
        self, key: str, change: Callable[[Alert | None], Alert], *, applied: str
    ) -> Alert:
        return await self.documents.change(key, change, applied=applied)

    async def delete(self, key: str) -> None:
        await self.documents.delete(key)
