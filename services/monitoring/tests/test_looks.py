# SPDX-License-Identifier: Apache-2.0
"""Services and machines that fall silent, and disks that fill, are alerts of all projects until they are well."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from services.monitoring.tests.conftest import Office

from mlops.chassis.bus import Bus, D, Question
from mlops.chassis.bus_memory import MemoryBus, MemoryDocuments
from mlops.chassis.errors import UnavailableError
from mlops.contracts.message import Message
from mlops.contracts.monitoring import AlertRaised, AlertResolved
from mlops.contracts.telemetry_agent import Disk, HardwareSample, SampleSource, TelemetrySampled
from mlops.monitoring.handlers.around import looks_around
from mlops.monitoring.handlers.nodes import NodeLog, SeenNode

MINUTE = timedelta(minutes=1)
GB = 1_000_000_000


class Line(MemoryBus):
    """A bus as one process reaches it: its line may be cut, and answers may take their time."""

    def __init__(self, bus: MemoryBus) -> None:
        super().__init__()
        self._beyond = bus
        self.is_cut = False
        self.answers_after = timedelta(0)

    def documents(self, bucket: str, kind: type[D]) -> MemoryDocuments[D]:
        """Return documents that cannot be read while the line is cut."""
        return self._buckets.setdefault(bucket, LineDocuments(kind, self))

    async def ask(
        self, service: str, verb: str, question: Question, timeout: timedelta = MINUTE
    ) -> dict[str, Any]:
        """Ask those beyond; who does not wait for long enough hears nothing."""
        if self.is_cut or timeout < self.answers_after:
            raise UnavailableError("no answer")
        return await self._beyond.ask(service, verb, question, timeout)


class LineDocuments(MemoryDocuments[D]):
    """Documents at the end of a line."""

    def __init__(self, kind: type[D], line: Line) -> None:
        super().__init__(kind)
        self._line = line

    async def all(self) -> dict[str, D]:
        """Return every document by key."""
        if self._line.is_cut:
            raise UnavailableError("the bus is away")
        return await super().all()


class Round:
    """Looks of one process, every half minute, at services that answer as we say."""

    def __init__(self, office: Office, bus: Bus | None = None) -> None:
        self.office = office
        self.wrong: dict[str, str | None] = {}
        bus = bus or office.bus
        self.heard = NodeLog(bus.documents("monitoring_nodes", SeenNode), lambda: office.now)
        self.looks = looks_around(bus, self.heard, lambda: office.now, office.ring)
        for name in ("serving", "tracking"):
            office.bus.answer(name, "status", self._answer(name))

    def _answer(self, name: str) -> Any:
        async def status(_: Mapping[str, Any]) -> dict[str, Any]:
            if name not in self.wrong:
                return {"ready": True, "checks": {"bus": "ok"}}
            if (reason := self.wrong[name]) is None:
                raise UnavailableError("nobody answers")
            return {"ready": False, "checks": {"bus": "ok", "store": reason}}

        return status

    async def go(self, minutes: float) -> list[str]:
        """Look for so long; return what began and ended."""
        before = len(self.office.said)
        for _ in range(int(minutes * 2)):
            self.office.now += MINUTE / 2
            await self.look()
        return [told(one) for one in self.office.said[before:]]

    async def day(self) -> list[str]:
        """Look for a while on one day and go to sleep until the next; return what began and ended."""
        found = await self.go(5)
        self.office.now += timedelta(days=1)
        return found

    async def look(self) -> None:
        async for message in self.looks.tell():
            self.office.said.append(message)
            await self.office.bus.publish(message)
        await self.office.bus.settle()

    async def sample(
        self,
        free: int | None = None,
        source: SampleSource = SampleSource.REAL,
        window_s: float = 10.0,
    ) -> None:
        sample = HardwareSample(
            seq=1,
            boot_id="b",
            observed_at=self.office.now,
            window_s=window_s,
            source=source,
            disk=Disk(total_bytes=None if free is None else 500 * GB, free_bytes=free),
        )
        await self.heard.on_telemetry_sampled(TelemetrySampled(node="mac-1", sample=sample))


def told(message: Message) -> str:
    if isinstance(message, AlertRaised):
        return f"{message.kind}: {message.severity.value}"
    assert isinstance(message, AlertResolved)
    return f"over: {message.reason}"


@pytest.fixture
def around(office: Office) -> Round:
    return Round(office)


async def test_a_service_that_stops_answering_is_told_after_a_while_until_it_is_back(
    around: Round, office: Office
) -> None:
    await around.go(1)
    around.wrong["serving"] = None

    early = await around.go(3)
    late = await around.go(10)
    del around.wrong["serving"]

    assert early == []
    assert late == ["service-serving: critical"]
    assert await around.go(10) == ["over: serving answers and is ready"]
    (raised,) = office.heard(AlertRaised)
    assert raised.project == "all-projects"
    assert raised.title == "serving does not answer since 2026-05-01 12:01 UTC"
    assert "mlops logs serving" in raised.suggestion


async def test_a_service_that_says_what_it_lacks_is_told_with_that(
    around: Round, office: Office
) -> None:
    await around.go(1)
    around.wrong["tracking"] = "s3://bucket cannot be reached"

    assert await around.go(5) == ["service-tracking: warning"]
    assert office.heard(AlertRaised)[0].title.endswith("store: s3://bucket cannot be reached")


async def test_a_service_whose_check_hangs_says_itself_what_it_lacks(office: Office) -> None:
    line = Line(office.bus)
    around = Round(office, line)
    await around.go(1)
    around.wrong["tracking"] = "s3://bucket has not answered within 10 s"
    line.answers_after = timedelta(seconds=15)  # the longest that a check waits

    assert await around.go(5) == ["service-tracking: warning"]
    assert office.heard(AlertRaised)[0].title.endswith("has not answered within 10 s")


async def test_a_restart_and_a_service_that_never_was_here_are_no_news(around: Round) -> None:
    around.wrong["tracking"] = None  # it was never ready
    await around.go(5)
    around.wrong["serving"] = None
    first = await around.go(2)
    del around.wrong["serving"]
    await around.go(1)
    around.wrong["serving"] = None

    assert first + await around.go(2) == []


async def test_a_service_that_is_gone_for_a_week_counts_as_removed(around: Round) -> None:
    await around.go(1)
    around.wrong["serving"] = None

    found = [await around.day() for _ in range(10)]

    assert found == [
        ["service-serving: critical"],
        *[[]] * 6,
        ["over: it has not been ready for 7 days and counts as removed"],
        *[[]] * 2,
    ]


async def test_what_is_dead_after_a_week_off_is_told(around: Round) -> None:
    await around.go(1)
    await around.sample()
    around.wrong["serving"] = None
    around.office.now += timedelta(days=8)

    assert await around.go(60) == ["service-serving: critical", "silent-mac-1: warning"]


async def test_a_service_that_came_back_is_missed_for_a_week_anew(around: Round) -> None:
    await around.go(1)
    around.wrong["serving"] = None
    first = [await around.day() for _ in range(7)]
    del around.wrong["serving"]
    back = await around.go(1)
    around.wrong["serving"] = None

    assert back == ["over: serving answers and is ready"]
    assert [await around.day() for _ in range(7)] == first
    assert first == [["service-serving: critical"], *[[]] * 6]


@pytest.mark.parametrize("outage_s", [60, 170, 600])
async def test_who_was_cut_off_from_the_bus_blames_nobody_when_it_is_back(
    office: Office, outage_s: int
) -> None:
    line = Line(office.bus)
    around = Round(office, line)
    await around.sample()
    await around.go(1)

    line.is_cut = True
    for _ in range(outage_s // 30):
        with pytest.raises(UnavailableError):
            await around.go(0.5)
    line.is_cut = False
    around.wrong |= {"serving": None, "tracking": None}  # they need a moment longer
    back = await around.go(2.5)

    assert back == []
    assert await around.go(2) == [
        "service-serving: critical",
        "service-tracking: critical",
        "silent-mac-1: warning",
    ]


async def test_who_slept_blames_nobody(around: Round) -> None:
    await around.sample()
    await around.go(1)
    around.office.now += timedelta(hours=8)
    around.wrong["serving"] = None

    first = await around.go(2)
    del around.wrong["serving"]
    await around.sample()

    assert first + await around.go(2) == []


async def test_a_machine_that_falls_silent_is_told_until_it_is_heard(around: Round) -> None:
    await around.sample()

    silent = await around.go(6)
    await around.sample()

    assert silent == ["silent-mac-1: warning"]
    assert await around.go(1) == ["over: mac-1 is heard again"]


async def test_another_replica_that_hears_the_machine_is_enough(
    around: Round, office: Office
) -> None:
    await around.sample()
    other = Round(office)

    found = list[str]()
    for _ in range(6):
        await other.sample()
        found += await around.go(1)

    assert found == []


async def test_a_simulated_machine_is_not_missed(around: Round) -> None:
    await around.sample(source=SampleSource.SIMULATED)

    assert await around.go(10) == []


async def test_a_machine_that_is_gone_for_a_week_is_forgotten(around: Round) -> None:
    await around.sample()

    found = [await around.day() for _ in range(10)]

    assert found == [
        ["silent-mac-1: warning"],
        *[[]] * 6,
        ["over: mac-1 has said nothing for 7 days and counts as gone"],
        *[[]] * 2,
    ]


async def test_a_disk_that_fills_says_when_and_gets_worse_and_well(
    around: Round, office: Office
) -> None:
    free, found = 200 * GB, list[str]()
    while free > 3 * GB:
        await around.sample(free, window_s=120.0)
        found += await around.go(5)
        free -= 1 * GB

    raised = office.heard(AlertRaised)
    assert [one for one in found if one.startswith("disk")] == [
        "disk-mac-1: warning",
        "disk-mac-1: critical",
    ]
    assert "full at about 2026-05-02 04:40 UTC" in raised[0].title
    assert "12.0 GB an hour" in raised[0].title
    assert "mlops data gc" in raised[0].suggestion
    for _ in range(40):
        await around.sample(250 * GB, window_s=120.0)
        found += await around.go(5)
    assert found[-1] == "over: 250.0 GB are free on mac-1 again"


async def test_who_begins_anew_tells_nothing_again_and_ends_what_is_over(
    around: Round, office: Office
) -> None:
    await around.go(1)
    around.wrong["serving"] = None
    await around.go(5)

    anew = Round(office)
    anew.wrong["serving"] = None
    still = await anew.go(5)
    del anew.wrong["serving"]

    assert still == []
    assert await anew.go(1) == ["over: serving answers and is ready"]


async def test_killed_before_it_was_told_it_is_told_at_the_next_start(
    around: Round, office: Office
) -> None:
    await around.go(1)
    around.wrong["serving"] = None
    await around.go(3)
    office.now += MINUTE / 2
    lost = await anext(around.looks.tell())  # and dies

    anew = Round(office)
    anew.wrong["serving"] = None
    again = await anew.go(5)

    assert again == ["service-serving: critical"]
    assert office.said[-1].id == lost.id
