# SPDX-License-Identifier: Apache-2.0
"""Many alerts at once: a channel that is away holds nobody back, and what people ask meanwhile is heard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from services.monitoring.tests.conftest import SEEN, Office

from mlops.contracts.monitoring import DriftDetected, DriftKind, Severity, SilenceAlerts
from mlops.monitoring.adapters.memory_channels import MemoryChannels
from mlops.monitoring.model.notices import Channel
from mlops.monitoring.ports import Letter

MINUTE = timedelta(minutes=1)
RULES = {name: Channel(least=2) for name in ("chat", "mail", "call")}


@dataclass
class Tried(MemoryChannels):
    """Channels that count what they were asked to tell, and do *first* before."""

    tries: list[str] = field(default_factory=list)
    first: Callable[[], Awaitable[Any]] | None = None

    async def tell(self, name: str, letters: Sequence[Letter]) -> None:
        """Note the try, and tell."""
        self.tries.append(name)
        if self.first is not None:
            await self.first()
        await super().tell(name, letters)


async def trouble(office: Office, models: int) -> None:
    """Raise an alert for each of so many models."""
    for number in range(models):
        await office.hear(
            DriftDetected,
            model=f"rain-{number}",
            version=1,
            kind=DriftKind.DATA,
            severity=Severity.WARNING,
            share_drifted_ratio=0.5,
            window=SEEN,
        )


async def test_a_channel_that_is_away_is_tried_once_and_the_others_hear_everything() -> None:
    channels = Tried(rules=RULES, broken={"chat"})
    office = Office(channels=channels)
    await office.register(notify=["chat", "mail"], escalate=[])
    await trouble(office, models=5)

    await office.look()
    await office.look(MINUTE / 2)
    away = list(channels.tries)
    channels.broken.clear()

    assert sorted(away) == ["chat"] + ["mail"] * 5
    assert await office.look(MINUTE / 2) == ["chat: raised"] * 5


async def test_a_letter_that_cannot_be_sent_does_not_keep_the_others_from_its_channel() -> None:
    channels = Tried(rules=RULES, broken={"chat"})
    office = Office(channels=channels)
    await office.register(notify=["chat"], escalate=[])
    await trouble(office, models=3)
    await office.look()
    channels.broken.clear()

    await office.look(MINUTE)

    told = [letter.alert.model for _, letter in channels.told]
    assert told == ["rain-1", "rain-2", "rain-0"]


async def test_a_silence_of_meanwhile_holds_for_what_was_not_told_yet() -> None:
    channels = Tried(rules=RULES)
    office = Office(channels=channels)
    await office.register(notify=["chat"], escalate=[])
    await trouble(office, models=3)
    channels.first = lambda: office.hear(SilenceAlerts, until=office.now + 60 * MINUTE)

    assert await office.look() == ["chat: raised"]


async def test_what_came_together_is_one_message_where_people_read_it() -> None:
    rules = {"mail": Channel(bundles=True), "hook": Channel()}
    channels = MemoryChannels(rules=rules)
    office = Office(channels=channels)
    await office.register(notify=["mail", "hook"], escalate=[])
    await trouble(office, models=23)

    told = await office.look()

    assert sorted(told) == ["hook: raised"] * 23 + ["mail: raised"] * 23
    assert [many for name, many in channels.messages if name == "mail"] == [20, 3]
    assert len({letter.notice_id for name, letter in channels.told if name == "mail"}) == 23
    assert await office.look(MINUTE) == []


async def test_of_a_bundle_that_cannot_be_sent_each_goes_alone_in_the_end() -> None:
    channels = Tried(rules={"mail": Channel(bundles=True)}, broken={"mail"})
    office = Office(channels=channels)
    await office.register(notify=["mail"], escalate=[])
    await trouble(office, models=3)
    for _ in range(2):
        await office.look(2 * MINUTE)
    channels.broken.clear()

    assert await office.look(10 * MINUTE) == ["mail: raised"] * 3
    assert channels.tries == ["mail"] * 5
    assert channels.messages == [("mail", 1)] * 3
