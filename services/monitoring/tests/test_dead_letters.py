# SPDX-License-Identifier: Apache-2.0
"""Messages that were given up are an alert of their project until nobody waits for them any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mlops.chassis.bus import DeadLetter
from mlops.contracts.message import Message
from mlops.contracts.monitoring import AcknowledgeAlert, AlertRaised, AlertResolved
from mlops.monitoring.handlers.dead_letters import watch_of_dead_letters
from mlops.monitoring.ports import Alert


@pytest.fixture
def watch(office: Any) -> Any:
    return watch_of_dead_letters(office.bus, office.bus, lambda: office.now, office.ring)


def bury(office: Any, subject: str) -> None:
    number = len(office.bus.dead) + 1
    letter = DeadLetter(number, subject, "tracking", "no such run", 6, office.now, b"{}")
    office.bus.dead.append(letter)


def another(office: Any) -> Any:
    """Return the watch of a process that has just begun."""
    return watch_of_dead_letters(office.bus, office.bus, lambda: office.now)


def told(office: Any, kind: type[Message]) -> list[Message]:
    """Return what was said, repeats too: a bus drops those for ten minutes only."""
    return [message for message in office.said if isinstance(message, kind)]


class Slow:
    """Dead letters that count how often they are read; one may die after they were."""

    def __init__(self, office: Any) -> None:
        self.office, self.reads, self.dies_meanwhile = office, 0, ""

    async def mark(self) -> str:
        mark: str = await self.office.bus.mark()
        return mark

    async def list(self) -> list[DeadLetter]:
        self.reads += 1
        found: list[DeadLetter] = await self.office.bus.list()
        if self.dies_meanwhile:
            self.office.now += timedelta(seconds=1)
            bury(self.office, self.dies_meanwhile)
            self.office.now += timedelta(seconds=1)
            self.dies_meanwhile = ""
        return found

    async def replay(self, sequence: int) -> None:
        await self.office.bus.replay(sequence)

    async def discard(self, sequence: int) -> None:
        await self.office.bus.discard(sequence)


async def look(office: Any, watch: Any) -> None:
    async for message in watch.tell():
        office.said.append(message)
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


async def test_who_begins_anew_tells_nothing_again(office: Any) -> None:
    bury(office, "run.completed.rainfall")
    await look(office, another(office))
    bury(office, "run.failed.rainfall")
    await look(office, another(office))
    office.bus.dead.pop()  # the one that raised it is the newest again

    await look(office, another(office))
    office.bus.dead.clear()
    await look(office, another(office))
    await look(office, another(office))

    assert [len(told(office, kind)) for kind in (AlertRaised, AlertResolved)] == [1, 1]


async def test_killed_before_the_end_was_told_it_is_told_at_the_next_start(office: Any) -> None:
    bury(office, "run.completed.rainfall")
    await look(office, another(office))
    office.bus.dead.clear()
    lost = await anext(another(office).tell())

    office.now += timedelta(hours=1)
    await look(office, another(office))
    await look(office, another(office))

    [again] = told(office, AlertResolved)
    assert again.id == lost.id


async def test_a_letter_that_dies_while_others_are_read_is_heard_of(office: Any) -> None:
    bury(office, "run.completed.rainfall")
    letters = Slow(office)
    watch = watch_of_dead_letters(office.bus, letters, lambda: office.now)
    await look(office, watch)
    office.bus.dead.clear()
    letters.dies_meanwhile = "run.failed.rainfall"

    await look(office, watch)
    await look(office, watch)

    assert (await office.bus.documents("monitoring_alerts", Alert).all())[
        "rainfall.-.dead-letters"
    ].open


async def test_a_bus_whose_clock_is_ahead_does_not_keep_an_alert_open(
    office: Any, watch: Any
) -> None:
    office.now += timedelta(minutes=3)
    bury(office, "run.completed.rainfall")
    office.now -= timedelta(minutes=3)
    await look(office, watch)
    office.bus.dead.clear()
    await look(office, watch)

    office.now += timedelta(minutes=4)
    await look(office, watch)

    assert len(office.heard(AlertResolved)) == 1


async def test_letters_are_read_only_when_one_came_or_went(office: Any) -> None:
    bury(office, "run.completed.rainfall")
    letters = Slow(office)
    watch = watch_of_dead_letters(office.bus, letters, lambda: office.now)
    for _ in range(5):
        await look(office, watch)
    office.bus.dead.clear()
    for _ in range(5):
        await look(office, watch)

    assert letters.reads == 2
    assert len(office.heard(AlertResolved)) == 1


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


async def test_letters_that_come_fast_are_critical(office: Any, watch: Any) -> None:
    for _ in range(19):
        bury(office, "run.completed.rainfall")
    await look(office, watch)
    bury(office, "run.completed.rainfall")
    await look(office, watch)

    first, worse = office.heard(AlertRaised)
    assert (first.severity, worse.severity) == ("warning", "critical")
    assert worse.alert_id == first.alert_id
    assert worse.title.startswith("20 messages were given up, 20 of them within an hour, the last")
