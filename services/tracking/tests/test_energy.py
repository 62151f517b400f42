# SPDX-License-Identifier: Apache-2.0
"""Energy of runs: as their client logged it, or as tracking finds it out for clients that know nothing of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.contracts.telemetry_agent import (
    Chip,
    Energy,
    HardwareSample,
    Power,
    TelemetrySampled,
)
from mlops.contracts.tracking import RunCompleted, RunStale
from mlops.tracking.adapters.memory_presences import MemoryPresences
from mlops.tracking.app import wire_energy
from mlops.tracking.handlers.energy import NodeEnergy
from mlops.tracking.model import energy
from mlops.tracking.model.changes import RunWentStale
from mlops.tracking.model.energy import Used
from mlops.tracking.model.records import RunRecord


def sampled(
    seq: int, at: datetime, package_j: float, node: str = "n1", **more: Any
) -> TelemetrySampled:
    sample = HardwareSample(
        seq=seq,
        boot_id="b",
        observed_at=at,
        window_s=10,
        chip=Chip(vendor="apple", cores=8),
        cpu_busy_ratio=0.9,
        energy=Energy(package_j=package_j),
        power=Power(package_w=more.pop("watts", None)),
        **more,
    )
    return TelemetrySampled(node=node, sample=sample, time=at)


class Lab:
    """A world whose time passes with its samples."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.began = world.now.replace(microsecond=0)  # MLflow knows milliseconds

    async def at(self, seconds: float, package_j: float, node: str = "n1", **more: Any) -> None:
        self.world.now = self.began + timedelta(seconds=seconds)
        seq = int(more.pop("seq", seconds))
        await self.world.bus.publish(sampled(seq, self.world.now, package_j, node, **more))
        await self.world.bus.settle()

    def begin(self, seconds: float, **tags: str) -> str:
        at_ms = int((self.began + timedelta(seconds=seconds)).timestamp() * 1000)
        run_id: str = self.world.tracking.start_run("rain", tags=tags, at_ms=at_ms)
        return run_id

    async def end(self, run_id: str, seconds: float) -> RunCompleted:
        tracking = self.world.tracking
        ended_ms = int((self.began + timedelta(seconds=seconds)).timestamp() * 1000)
        tracking.end_run(run_id)
        # The fake ends every run at 2000 ms; the outbox says when this one did.
        row = tracking.rows[-1]
        change = type(row.change)(**{**vars(row.change), "ended_ms": ended_ms})
        tracking.rows[-1] = type(row)(**{**vars(row), "change": change})
        await self.world.settle()
        told = [one for one in self.world.told(RunCompleted) if one.run_id == run_id]
        assert isinstance(told[-1], RunCompleted)
        return told[-1]


@pytest.fixture
async def lab(world: Any) -> Lab:
    await world.project()
    return Lab(world)


async def test_a_clients_own_word_is_told(lab: Lab) -> None:
    run_id = lab.begin(
        0,
        **{
            "hw.energy_j": "450",
            "hw.machine_energy_j": "600",
            "hw.energy_source": "measured",
            "hw.energy_known": "0.95",
            "hw.energy_how": "package counter; share by processor time",
            "mlops.system.node": "n1",
        },
    )

    told = (await lab.end(run_id, 30)).energy

    assert told is not None
    assert (told.joules, told.machine_j, told.share_ratio) == (450, 600, 0.75)
    assert (told.measured, told.node, told.known_ratio) == (True, "n1", 0.95)
    assert told.how == "package counter; share by processor time"


async def test_energy_of_an_older_client_is_told_as_the_machines(lab: Lab) -> None:
    told = (await lab.end(lab.begin(0, **{"hw.energy_j": "385.2"}), 30)).energy

    assert told is not None
    assert (told.joules, told.measured, told.machine_j) == (385.2, False, None)
    assert "whole machine" in told.how


async def test_a_run_of_an_unmodified_client_gets_an_equal_part(lab: Lab) -> None:
    await lab.at(0, 1000, seq=1)
    first, second = lab.begin(0), lab.begin(10)
    await lab.at(10, 1100)
    await lab.at(20, 1300)

    one = await lab.end(first, 20)
    two = await lab.end(second, 20)

    assert one.energy is not None
    assert two.energy is not None
    # 100 J alone, then 200 J for two.
    assert (one.energy.joules, two.energy.joules) == pytest.approx((200, 100))
    assert (one.energy.measured, one.energy.node) == (False, "n1")
    assert one.energy.how == "package counter; share in equal parts for the runs under way"
    tags = lab.world.tracking.known(first).facts.tags
    assert (tags["hw.energy_j"], tags["hw.energy_source"]) == ("200", "estimated")


async def test_a_run_between_two_samples_is_charged_by_the_power_of_before(lab: Lab) -> None:
    await lab.at(0, 1000, seq=1, watts=7)

    told = (await lab.end(lab.begin(2), 8)).energy

    assert told is not None
    assert (told.joules, told.known_ratio) == pytest.approx((42, 0))


async def test_nothing_is_handed_out_twice_to_those_who_go_on(lab: Lab) -> None:
    await lab.at(0, 1000, seq=1, watts=10)
    stays, goes = lab.begin(0), lab.begin(0)
    await lab.at(10, 1100, watts=10)
    first = (await lab.end(goes, 15)).energy
    await lab.at(20, 1200, watts=10)
    second = (await lab.end(stays, 20)).energy

    assert first is not None
    assert second is not None
    assert first.joules == pytest.approx(50 + 25)
    assert first.joules + second.joules == pytest.approx(200)


async def test_of_several_machines_a_run_names_its_own_or_has_none(lab: Lab) -> None:
    await lab.at(0, 1000, seq=1)
    await lab.at(0, 5000, "n2", seq=1)
    named = lab.begin(0, **{"mlops.system.node": "n2"})
    nameless = lab.begin(0)
    await lab.at(10, 1100)
    await lab.at(10, 5300, "n2")

    told = (await lab.end(named, 10)).energy

    assert told is not None
    assert told.joules == pytest.approx(300)
    assert told.node == "n2"
    assert (await lab.end(nameless, 10)).energy is None


async def test_without_an_agent_nobody_knows(lab: Lab) -> None:
    assert (await lab.end(lab.begin(0), 10)).energy is None


async def test_nothing_is_written_while_nothing_runs(lab: Lab) -> None:
    await lab.at(0, 1000, seq=1)
    documents = lab.world.bus.documents("tracking_energy", NodeEnergy)
    before = await documents.get("n1")
    for seconds in range(10, 200, 10):
        await lab.at(seconds, 1000 + seconds)

    assert await documents.get("n1") == before
    # And what was not written is not charged to who comes next.
    run_id = lab.begin(190)
    await lab.at(200, 2000)
    told = (await lab.end(run_id, 200)).energy
    assert told is not None
    assert told.joules == pytest.approx(810)


async def test_a_backfilled_sample_changes_nothing_and_a_restart_forgets_nothing(lab: Lab) -> None:
    await lab.at(0, 1000, seq=1)
    run_id = lab.begin(0)
    await lab.at(30, 1300)
    await lab.at(31, 1200, seq=20, backfill=True)
    lab.world.energy = wire_energy(
        lab.world.bus, MemoryPresences(lab.world.tracking), lambda: lab.world.now
    )
    await lab.at(40, 1400)

    told = (await lab.end(run_id, 40)).energy

    assert told is not None
    assert (told.joules, told.known_ratio) == pytest.approx((400, 1))


async def test_a_stale_run_is_charged_until_its_last_sign(lab: Lab) -> None:
    await lab.at(0, 1000, seq=1)
    run_id = lab.begin(0)
    await lab.at(100, 2000)
    tracking, seen_ms = lab.world.tracking, int((lab.began.timestamp() + 25) * 1000)
    tracking.move(run_id, "KILLED", seen_ms)
    began_ms = int(lab.began.timestamp() * 1000)
    stale = RunWentStale(run_id, "rain", "", "", began_ms, seen_ms, "silent")
    tracking.write("rain", stale)
    await lab.world.settle()

    (told,) = lab.world.told(RunStale)

    assert told.energy.joules == pytest.approx(250)


@given(
    st.lists(
        st.tuples(st.floats(0, 1000), st.lists(st.booleans(), min_size=3, max_size=3)),
        min_size=2,
        max_size=12,
    )
)
def test_tags_and_figures_are_one(steps: list[Any]) -> None:
    for joules, (measured, known, whole) in steps:
        used = Used(
            joules=round(joules, 3),
            measured=measured,
            machine_j=round(joules * 2, 3) if whole else None,
            share_ratio=0.5 if whole and round(joules * 2, 3) else None,
            known_ratio=0.5 if known else 1.0,
            how="x",
        )

        read = energy.told(energy.tags_of(used))

        assert read is not None
        assert (read.joules, read.measured, read.known_ratio) == (
            used.joules,
            used.measured,
            used.known_ratio,
        )
        assert read.machine_j == used.machine_j


@pytest.mark.parametrize("text", ["", "nan", "-3", "much", "1e999"])
def test_a_tag_that_is_no_energy_is_none(text: str) -> None:
    assert energy.told({"hw.energy_j": text}) is None


def test_older_runs_compare_by_the_machines_energy() -> None:
    old = RunRecord("a", "rain", tags={"hw.energy_j": "90"})
    new = RunRecord(
        "b", "rain", tags={"hw.energy_j": "30", "hw.machine_energy_j": "80", "hw.energy_source": "measured"}
    )  # fmt: skip

    assert old.hardware["machine_energy_j"] == 90
    assert (new.hardware["energy_j"], new.hardware["machine_energy_j"]) == (30, 80)
