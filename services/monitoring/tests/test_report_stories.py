# SPDX-License-Identifier: Apache-2.0
"""Reports over a time from what was said on the bus: on demand, by the clock, once, and again after trouble."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.commands import CommandRefused
from mlops.contracts.energy import EnergyUse
from mlops.contracts.message import Message
from mlops.contracts.monitoring import MakeReport, PerformanceMeasured, ReportPublished, Window
from mlops.contracts.orchestration_bridge import WorkflowCompleted, WorkflowKind
from mlops.contracts.serving import DeploymentMetered
from mlops.contracts.telemetry_agent import Energy, HardwareSample, Power, TelemetrySampled, Thermal
from mlops.contracts.tracking import RunCompleted
from mlops.monitoring.adapters.memory_pages import MemoryPages
from mlops.monitoring.app import wire_reports
from mlops.monitoring.handlers.recorded import Records
from mlops.monitoring.handlers.reports import ReportMaker
from mlops.monitoring.model.reports import Report
from mlops.monitoring.model.reports_entries import Entry
from mlops.monitoring.model.reports_period import Period
from mlops.monitoring.ports import MadeReports, WatchedProject

TODAY = datetime(2026, 11, 20, tzinfo=UTC)
YESTERDAY = TODAY - timedelta(days=1)
HOUR = timedelta(hours=1)
YESTERDAYS = f"{YESTERDAY:%Y-%m-%d}..{TODAY:%Y-%m-%d}"
ROLLOUT = {"project": "rain", "deployment_id": "d", "model": "rain", "version": 2}


@dataclass
class Desk:
    """Reports wired to a memory bus; the clock stands still."""

    pages: MemoryPages = field(default_factory=MemoryPages)
    now: datetime = TODAY + 12 * HOUR
    gateway: str = ""

    def __post_init__(self) -> None:
        self.bus = MemoryBus(clock=lambda: self.now)
        self.maker = wire_reports(self.bus, self.pages, ZoneInfo("UTC"), self.gateway)

    def restart(self) -> None:
        """Let a new service go on with what the one before it wrote down."""
        projects = self.bus.documents("monitoring_projects", WatchedProject)
        made = self.bus.documents("monitoring_reports", MadeReports)
        records = Records(self.bus)
        self.maker = ReportMaker(projects, made, records, self.pages, ZoneInfo("UTC"))

    async def register(self, *names: str) -> None:
        projects = self.bus.documents("monitoring_projects", WatchedProject)
        for name in names:
            await projects.change(name, lambda _: WatchedProject(), applied=f"register-{name}")

    async def known_since(self, moment: datetime, *names: str) -> None:
        """Register projects whose reports were made up to a moment."""
        await self.register(*names)
        until = {"day": moment, "week": moment}
        made = self.bus.documents("monitoring_reports", MadeReports)
        for name in (*names, "all-projects"):
            await made.change(name, lambda _: MadeReports(until=until), applied=f"since-{name}")

    async def tell(self, *messages: Message) -> None:
        for message in messages:
            await self.bus.publish(message)
        await self.bus.settle()

    async def ask(self, project: str = "rain", period: str = "day") -> Report | None:
        await self.tell(MakeReport(project=project, period=period, time=self.now))
        return next(iter(self.pages.kept.values()), None)

    async def due(self, clock: datetime | None = None) -> list[ReportPublished]:
        """Return what the clock makes in one round."""
        made: list[ReportPublished] = []
        async for message in self._round(clock or self.now):
            assert isinstance(message, ReportPublished)
            made.append(message)
        return made

    async def _round(self, now: datetime) -> AsyncIterator[Message]:
        with suppress(EndOfRoundError):
            async for message in self.maker.scheduled(time(7), lambda: now, stop):
                yield message


class Long(list[Entry]):
    """Entries that note in which threads they are read."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[int] = set()

    def __iter__(self) -> Iterator[Entry]:
        self.readers.add(threading.get_ident())
        return super().__iter__()


class LongRecords(Records):
    """A record of which everybody gets the same entries."""

    def __init__(self, bus: MemoryBus, entries: Long) -> None:
        super().__init__(bus)
        self._long = entries

    async def entries(self, period: Period, project: str | None) -> list[Entry]:  # noqa: ARG002
        return self._long


class EndOfRoundError(Exception):
    """The maker would now pause."""


async def stop() -> None:
    raise EndOfRoundError


def metered(hours: int = 1, day: datetime = YESTERDAY, **more: object) -> DeploymentMetered:
    since = day + hours * HOUR
    plain = DeploymentMetered.model_validate(
        {**ROLLOUT, "since": since, "until": since + HOUR / 6, "predictions": 100}
    )
    return plain.model_copy(update=more)


def measured(
    value: float, *, partial: bool = False, day: datetime = YESTERDAY
) -> PerformanceMeasured:
    first = day + HOUR
    window = Window(index=1, rows=100, labelled=100, first_at=first, last_at=first + HOUR)
    return PerformanceMeasured(
        project="rain", model="rain", version=2, metric="accuracy", value=value, window=window, partial=partial
    )  # fmt: skip


def sampled(seq: int, joules: float | None, **thermal: object) -> TelemetrySampled:
    return TelemetrySampled(
        node="mac",
        sample=HardwareSample(
            seq=seq,
            boot_id="b",
            observed_at=YESTERDAY + HOUR + timedelta(seconds=60 * seq),
            window_s=60,
            energy=Energy(package_j=joules),
            power=Power(package_w=10.0),
            thermal=Thermal.model_validate(thermal),
        ),
    )


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_report_is_made_of_what_was_recorded(desk: Desk) -> None:
    await desk.register("rain")
    await desk.tell(
        metered(14), metered(15), metered(3), measured(0.8), measured(0.1, partial=True)
    )

    found = await desk.ask()

    assert found is not None
    assert found.traffic.predictions == 200  # the one at three is of before the last 24 hours
    assert (found.project, found.models[0].quality) == ("rain", ())


async def test_a_report_holds_its_period_against_the_one_before(desk: Desk) -> None:
    await desk.register("rain")
    before = YESTERDAY - timedelta(days=1)
    await desk.tell(*(metered(hour, day=before) for hour in range(24)))
    await desk.tell(*(metered(hour, predictions=300 + hour) for hour in range(24)))

    found = await desk.ask(period=YESTERDAYS)

    assert found is not None
    compared = {one.figure: (one.before, one.now, one.beyond_noise) for one in found.changes}
    assert found.traffic.predictions == 24 * 300 + 276
    assert compared["predictions"] == (2400, 24 * 300 + 276, True)


async def test_people_are_told_where_the_gateway_shows_a_report() -> None:
    desk = Desk(gateway="https://ops.example.org")
    await desk.register("rain")

    await desk.ask()

    [told] = [one for one in desk.bus.published if isinstance(one, ReportPublished)]
    assert (told.page_url or "").startswith("https://ops.example.org/reports/_periods/rain/")


async def test_windows_on_demand_are_not_counted_twice(desk: Desk) -> None:
    await desk.register("rain")
    await desk.tell(measured(0.8), measured(0.1, partial=True))

    found = await desk.ask(period=YESTERDAYS)

    assert found is not None
    assert [one.value for one in found.models[0].quality] == [0.8]


async def test_a_run_of_a_workflow_is_told_by_its_workflow(desk: Desk) -> None:
    await desk.register("rain")
    energy = EnergyUse(joules=70.0, measured=True)
    run = RunCompleted(project="rain", run_id="r", experiment_id="1", energy=energy, time=desk.now - HOUR)  # fmt: skip
    of_workflow = run.model_copy(update={"id": "2", "tags": {"mlops.workflow_key": "rain-1"}})
    workflow = WorkflowCompleted(
        project="rain", workflow_key="rain-1", kind=WorkflowKind.RETRAIN, dag_id="d", dag_run_id="r",
        duration_s=9, energy=energy, time=desk.now - HOUR,
    )  # fmt: skip
    await desk.tell(run, of_workflow, workflow)

    found = await desk.ask()

    assert found is not None
    assert sorted(one.kind for one in found.trainings) == ["retrain", "run"]


async def test_machines_are_in_the_report_and_a_sample_counts_once(desk: Desk) -> None:
    await desk.register("rain")
    await desk.tell(sampled(1, 600, level=0), sampled(2, 1200, level=2, cpu_temp_c=91))
    again = sampled(2, 1200, level=2).model_copy(update={"id": "again"})
    await desk.tell(again, metered())

    found = await desk.ask(period=YESTERDAYS)

    assert found is not None
    [mac] = found.machines
    assert (mac.joules, mac.throttled_s, mac.known_s) == (1200.0, 60.0, 120.0)


@pytest.mark.parametrize(
    ("seqs", "samples"),
    [([1, 2, 3, 2, 4], 4), ([1, 2, 5, 6, 3, 4, 7], 7), ([5, 6, 3, 3, 4], 4), ([3, 2, 1, 2], 3)],
)
@pytest.mark.parametrize("counted", [True, False])
async def test_samples_that_come_late_count_once_whatever_their_order(
    desk: Desk, seqs: list[int], samples: int, *, counted: bool
) -> None:
    await desk.register("rain")
    told = [sampled(seq, 600.0 * seq if counted else None) for seq in seqs]
    await desk.tell(*(one.model_copy(update={"id": f"s-{n}"}) for n, one in enumerate(told)))

    found = await desk.ask(period=YESTERDAYS)

    assert found is not None
    [mac] = found.machines
    assert (mac.joules, mac.known_s) == (600.0 * samples, 60.0 * samples)


async def test_how_a_window_did_is_found_when_its_labels_came_weeks_later(desk: Desk) -> None:
    await desk.register("rain")
    long_ago = TODAY - timedelta(days=20)
    period = f"{long_ago:%Y-%m-%d}..{long_ago + timedelta(days=1):%Y-%m-%d}"
    await desk.tell(measured(0.8, day=long_ago), metered(day=long_ago))

    found = await desk.ask(period=period)

    assert found is not None
    assert [one.value for one in found.models[0].quality] == [0.8]
    assert found.traffic.predictions == 0  # what was not told within a day is of no report


async def test_an_event_under_the_name_of_another_is_a_strangers_word(desk: Desk) -> None:
    await desk.register("rain")
    of_other_kind = ReportPublished(
        project="rain", kind="day", uri="file:///x", size_bytes=1, period_from=YESTERDAY, period_to=TODAY
    )  # fmt: skip
    of_other_project = metered(14).model_copy(update={"project": "lora"})
    await desk.bus.publish_bytes("drift.detected.rain", of_other_kind.encode(), "1")
    await desk.bus.publish_bytes("deployment.metered.rain", of_other_project.encode(), "2")
    await desk.tell(metered(14).model_copy(update={"predictions": 7}))

    found = await desk.ask()

    assert found is not None
    assert found.traffic.predictions == 7


async def test_all_projects_have_one_report(desk: Desk) -> None:
    await desk.register("rain", "lora")
    await desk.tell(metered(14), metered(14).model_copy(update={"id": "o", "project": "lora"}))

    found = await desk.ask("all-projects")

    assert found is not None
    assert [one.project for one in found.models] == ["lora", "rain"]
    [told] = [one for one in desk.bus.published if isinstance(one, ReportPublished)]
    assert (told.project, told.kind, told.model) == ("all-projects", "day", None)


@pytest.mark.parametrize(
    ("project", "period", "reason"),
    [("rain", "month", "is no period"), ("snow", "day", "is not registered")],
)
async def test_a_wish_that_cannot_be_met_is_refused(
    desk: Desk, project: str, period: str, reason: str
) -> None:
    await desk.register("rain")

    await desk.ask(project, period)

    [refused] = [one for one in desk.bus.published if isinstance(one, CommandRefused)]
    assert reason in refused.reason


async def test_words_of_strangers_do_not_keep_a_report_from_being_made(desk: Desk) -> None:
    await desk.register("rain")
    await desk.bus.publish_bytes("deployment.metered.rain", b"no json", "x")
    await desk.tell(metered(14))

    found = await desk.ask()

    assert found is not None
    assert found.traffic.predictions == 100


async def test_a_failed_writer_is_tried_again(desk: Desk) -> None:
    await desk.register("rain")
    desk.pages.failures = 2

    assert await desk.ask() is not None


async def test_figures_are_added_up_beside_the_loop(desk: Desk) -> None:
    await desk.register("rain")
    projects = desk.bus.documents("monitoring_projects", WatchedProject)
    made = desk.bus.documents("monitoring_reports", MadeReports)
    entries = Long()
    records = LongRecords(desk.bus, entries)
    maker = ReportMaker(projects, made, records, desk.pages, ZoneInfo("UTC"))

    await maker.do_make_report(MakeReport(project="rain", period="day", time=desk.now))

    assert entries.readers
    assert threading.get_ident() not in entries.readers
