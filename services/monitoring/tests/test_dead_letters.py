# SPDX-License-Identifier: Apache-2.0
"""Messages that were given up are an alert of their project until nobody waits for them any more."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.chassis.bus import DeadLetter
from mlops.contracts.monitoring import AcknowledgeAlert, AlertRaised, AlertResolved
from mlops.monitoring.app import watch_of_dead_letters


@pytest.fixture
def watch(office: Any) -> Any:
    return watch_of_dead_letters(office.bus, office.bus, lambda: office.now, office.ring)


def bury(office: Any, subject: str) -> None:
    number = len(office.bus.dead) + 1
    letter = DeadLetter(number, subject, "tracking", "no such run", 6, office.now, b"{}")
    office.bus.dead.append(letter)


async def look(office: Any, watch: Any) -> None:
    async for message in watch.tell():
        await office.bus.publish(message)
    await office.bus.settle()


async def test_dead_letters_are_one_alert_until_they_are_gone(office: Any, watch: Any) -> None:
    bury(office, "run.completed.rainfall")
    bury(office, "run.failed.rainfall")

    await look(office, watch)
    await look(office, watch)
    bury(office, "run.failed.rainfall")
    await look(office, watch)
    open_ = office.heard(AlertResolved)
    office.bus.dead.clear()
    await look(office, watch)
    await look(office, watch)

    (raised,), (resolved,) = office.heard(AlertRaised), office.heard(AlertResolved)
    assert open_ == []
    assert raised.dedup_key == "rainfall.-.dead-letters"
    assert raised.title == (
        "2 messages were given up, the last by tracking: run.failed.rainfall: no such run"
    )
    assert "mlops events dlq replay" in raised.suggestion
    assert resolved.alert_id == raised.alert_id
    assert office.rung > 0


@pytest.mark.parametrize(
    "subject", ["thermal.throttled.mac-1", "drift.detected.NOBODY$", "drift.detected"]
)
async def test_what_is_of_no_project_is_of_all(office: Any, watch: Any, subject: str) -> None:
    bury(office, subject)

    await look(office, watch)

    assert [one.project for one in office.heard(AlertRaised)] == ["all-projects"]


async def test_a_command_that_was_refused_is_no_alert(office: Any, watch: Any) -> None:
    await office.hear(AcknowledgeAlert, alert_id="nope")
    dead = list(office.bus.dead)

    await look(office, watch)

    assert len(dead) == 1
    assert office.heard(AlertRaised) == []
