# SPDX-License-Identifier: Apache-2.0
"""What a served version answered and took: its share, its windows, and that nothing is told twice or lost."""

from __future__ import annotations

import gc
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from mlops.contracts.serving import DeploymentMetered, UndeployModel
from mlops.contracts.telemetry_agent import (
    Chip,
    Energy,
    HardwareSample,
    Power,
    SampleSource,
    TelemetrySampled,
)
from mlops.serving.ports import Report

MINUTE = timedelta(minutes=1)


class Machine:
    """A machine of four cores, half of them busy, that takes 10 W, and replicas that run on it."""

    def __init__(self, stage: Any, *, counted: bool = True, gpu_w: float = 0.0) -> None:
        self.stage, self.seq, self.joules, self.gpu_j = stage, 0, 0.0, 0.0
        self.counted, self.gpu_w = counted, gpu_w
        self.counters: dict[str, list[float]] = {}

    async def minute(
        self, answered: int = 0, cpu_s: float = 0.0, replicas: int = 1, **more: Any
    ) -> None:
        """Let a minute pass in which each replica answers and computes; they tell so, then the agent speaks."""
        await self.stage.turn(60)
        for number in range(replicas):
            await self.tell(f"r{number}", answered, cpu_s, **more)
        self.seq += 1
        self.joules += 600
        self.gpu_j += self.gpu_w * 60
        await self.stage.tell(self.sample())

    async def tell(
        self, name: str, answered: int, cpu_s: float, version: int = 1, **more: Any
    ) -> None:
        counts = self.counters.setdefault(name, [0, 0.0])
        counts[0] += answered
        counts[1] += cpu_s
        question = {"project": "rain", "model": "rain", "version": version, "replica": name}
        counters = {"answered": counts[0], "busy_s": counts[1], "cpu_s": counts[1]}
        await self.stage.bus.ask(
            "serving", "limits", {**question, "node": "n1", **counters, **more}
        )

    def sample(self) -> TelemetrySampled:
        energy = (
            Energy(package_j=self.joules, gpu_j=self.gpu_j or None) if self.counted else Energy()
        )
        sample = HardwareSample(
            seq=self.seq,
            boot_id="b",
            observed_at=self.stage.now,
            window_s=60,
            source=SampleSource.REAL,
            chip=Chip(vendor="intel", cores=4),
            cpu_busy_ratio=0.5,
            energy=energy,
            power=Power(package_w=10.0),
        )
        return TelemetrySampled(node="n1", time=self.stage.now, sample=sample)


def told(stage: Any) -> list[DeploymentMetered]:
    return [one for one in stage.bus.published if isinstance(one, DeploymentMetered)]


async def test_a_version_takes_its_share_of_what_its_machine_took(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage)
    for _ in range(11):
        await machine.minute(answered=100, cpu_s=12)  # a tenth of 2 cores busy for a minute

    [one] = told(stage)

    assert (one.project, one.model, one.version, one.predictions) == ("rain", "rain", 1, 900)
    assert one.energy is not None
    assert one.energy.joules == pytest.approx(9 * 60)
    assert one.energy.machine_j == pytest.approx(9 * 600)
    assert (one.energy.measured, one.energy.node) == (True, "n1")
    assert one.energy.share_ratio == pytest.approx(0.1)
    assert one.joules_per_1000 == pytest.approx(600)
    assert one.energy.how.startswith("package counter; share of processor time")


async def test_watts_stand_in_where_nothing_is_counted_and_that_is_said(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage, counted=False)
    for _ in range(11):
        await machine.minute(answered=100, cpu_s=12)

    [one] = told(stage)

    assert one.energy is not None
    assert not one.energy.measured
    assert one.energy.joules == pytest.approx(540)


async def test_without_a_word_of_the_machine_predictions_are_told_alone(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage)
    for _ in range(12):
        await stage.turn(60)
        await machine.tell("r1", 10, 1.0)

    [one] = told(stage)

    assert (one.energy, one.joules_per_1000) == (None, None)
    assert one.predictions > 0


async def test_a_window_tells_requests_failures_and_answer_times(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage)
    for minute in range(1, 12):
        times = {"20": 95 * minute, "32": 5 * minute}
        await machine.minute(100, 12, requests=100 * minute, errors=minute, latencies=times)

    [one] = told(stage)

    assert (one.requests, one.failed, one.replicas) == (900, 9, 1)
    assert one.latency_counts == {"20": 855, "32": 45}
    assert (one.latency_p50_ms, one.latency_p95_ms) == (4.0, 4.0)


async def test_answers_from_before_a_restart_are_not_counted_again(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage)
    for minute in range(1, 5):
        await machine.minute(100, 12, requests=100 * minute)
    stage.start()
    for minute in range(5, 12):
        await machine.minute(100, 12, requests=100 * minute)

    [one] = told(stage)

    assert one.predictions == 900
    assert one.requests is not None
    assert one.requests <= 600  # those of before it heard the replica again are not known


async def test_last_words_of_a_life_are_not_counted_in_the_next(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage)
    for minute in range(1, 4):
        await machine.minute(10, 1, requests=10 * minute)
    await stage.tell(UndeployModel(project="rain", model="rain", time=stage.now))
    await stage.turn(times=20)
    await machine.tell("r0", 0, 0, requests=1000)  # while it ends
    await stage.turn(60)

    await stage.tell(stage.promoted(1))
    await stage.turn(times=20)
    for minute in range(1, 12):
        await stage.turn(60)
        await machine.tell("r9", 10, 1.0, requests=10 * minute)

    before, after = told(stage)
    assert before.requests == 30
    assert after.requests is not None
    assert after.requests <= 110


async def test_replicas_that_are_gone_are_forgotten(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage)
    for number in range(100):
        await machine.tell(f"gone-{number}", 1, 0.1, requests=1)
    await stage.turn(60, times=61)

    await machine.tell("r0", 1, 0.1, requests=1)
    await stage.turn()

    gc.collect()
    remembered = [one for one in gc.get_objects() if isinstance(one, Report)]
    assert [one for one in remembered if one.reading.replica.startswith("gone-")] == []


async def test_replicas_of_a_version_count_together_and_never_more_than_all(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage)
    for _ in range(11):
        await machine.minute(
            answered=10, cpu_s=100, replicas=2
        )  # more than the 120 s that were busy

    [one] = told(stage)

    assert one.predictions == 9 * 20
    assert one.energy is not None
    assert one.energy.joules == pytest.approx(one.energy.machine_j)


async def test_the_joules_of_a_gpu_go_to_who_uses_it(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage, gpu_w=5.0)
    for _ in range(11):
        await machine.minute(answered=1, cpu_s=0, accelerated=True)

    [one] = told(stage)

    assert one.energy is not None
    assert one.energy.joules == pytest.approx(9 * 300)


async def test_a_version_that_answers_nothing_is_told_once_an_hour(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage)
    for _ in range(185):
        await machine.minute(cpu_s=0.6)

    assert [one.predictions for one in told(stage)] == [0, 0, 0]
    assert [one.joules_per_1000 for one in told(stage)] == [None, None, None]
    spans = [one.until - one.since for one in told(stage)]
    assert all(abs(span - 60 * MINUTE) <= MINUTE for span in spans)


async def test_where_there_is_nothing_to_tell_nothing_is_told(stage: Any) -> None:
    await stage.first()

    await stage.turn(60, times=200)

    assert told(stage) == []


async def test_the_rest_of_a_window_is_told_when_its_version_stops(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage)
    for _ in range(3):
        await machine.minute(answered=50, cpu_s=12)
    await stage.tell(UndeployModel(project="rain", model="rain", time=stage.now))

    await stage.turn(times=20)

    [one] = told(stage)
    assert one.predictions == 150
    order = [one.type for one in stage.bus.published]
    assert order.index("deployment.removed") < order.index("deployment.metered")


async def test_windows_follow_one_another_without_a_gap(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage)
    for _ in range(45):
        await machine.minute(answered=10, cpu_s=6)

    found = told(stage)

    assert len(found) == 4
    assert all(one.until == later.since for one, later in pairwise(found))
    assert len({one.id for one in found}) == 4
    assert sum(one.predictions for one in found) == 39 * 10  # the last six minutes are of the next


async def test_killed_at_any_minute_nothing_is_counted_twice_or_lost(begun: Any) -> None:
    plain = await _history(begun, killed_after=None)
    for minute in range(1, 24, 2):
        assert await _history(begun, killed_after=minute) == plain


async def _history(begun: Any, killed_after: int | None) -> list[tuple[int, float]]:
    stage = await begun()
    await stage.first()
    machine = Machine(stage)
    for minute in range(1, 25):
        await machine.minute(answered=minute, cpu_s=12)
        if minute == killed_after:
            stage.start()
    await stage.tell(UndeployModel(project="rain", model="rain", time=stage.now))
    await stage.turn(times=20)
    found = told(stage)
    joules = sum(one.energy.joules for one in found if one.energy)
    return [(sum(one.predictions for one in found), round(joules, 6))]


async def test_killed_between_writing_and_telling_it_tells_the_same_message(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage)
    for _ in range(9):
        await machine.minute(answered=10, cpu_s=6)
    stage.now += 2 * MINUTE
    assert stage.parts is not None
    lost = [one async for one in _first(stage.parts.meter.round())]

    stage.start()
    stage.now += 5 * MINUTE
    await stage.turn()

    [again] = told(stage)
    assert again.model_dump(exclude={"time"}) == lost[0].model_dump(exclude={"time"})


async def _first(messages: Any) -> Any:
    async for message in messages:
        yield message
        return


@pytest.mark.parametrize(
    "changes",
    [
        {"answered": "999999"},
        {"answered": True},
        {"cpu_s": -1.0},
        {"cpu_s": None},
        {"replica": ""},
        {"replica": 7},
        {"node": 7},
    ],
)
async def test_what_people_ask_is_no_report(stage: Any, changes: dict[str, Any]) -> None:
    await stage.first()
    question = {"project": "rain", "model": "rain", "version": 1, "replica": "x", "node": "n1"}
    counters = {"answered": 1000, "busy_s": 1.0, "cpu_s": 1.0}
    await stage.turn(60)

    await stage.bus.ask("serving", "limits", {**question, **counters, **changes})
    await stage.turn(60, times=70)

    assert told(stage) == []


async def test_the_status_shows_energy_per_thousand_and_how_it_is_known(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage)
    for _ in range(11):
        await machine.minute(answered=100, cpu_s=12)

    answer = await stage.bus.ask("serving", "get", {"project": "rain", "model": "rain"})

    shown = answer["deployment"]["energy"]["1"]
    assert (shown["joules_per_1000"], shown["measured"]) == (pytest.approx(600), True)


async def test_a_replica_that_does_not_know_its_machine_runs_on_the_only_one(stage: Any) -> None:
    await stage.first()
    machine = Machine(stage)
    for _ in range(11):
        await machine.minute(answered=100, cpu_s=12, node="")

    [one] = told(stage)

    assert one.energy is not None
    assert one.energy.joules > 0
