# SPDX-License-Identifier: Apache-2.0
"""Sums over readings, with numbers that can be checked by hand; and the sampler with a clock that is told."""

from __future__ import annotations

import gzip
import os
import re
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops.client.hardware import Sampler, arithmetic, process, reader
from mlops.client.hardware.arithmetic import Reading, Totals, add, close, metrics, summary
from mlops.client.hardware.energy import Drawn, Work, closed, drawn

HOLD_S = 30.0
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def total(*readings: Reading, ended_s: float, hold_s: float = HOLD_S) -> Totals:
    totals = Totals(0.0)
    for one in readings:
        totals = add(totals, one, hold_s)
    return close(totals, ended_s, hold_s)


def sample(seq: int, **parts: Any) -> dict[str, Any]:
    """A sample of a ten second window, one after the other."""
    at = NOW + timedelta(seconds=10 * seq)
    given = {"boot_id": "b", "seq": seq, "observed_at": at.isoformat(), "window_s": 10.0}
    return {**given, **parts}


def apple(seq: int, package_j: float | None = None, **parts: Any) -> dict[str, Any]:
    energy = {} if package_j is None else {"package_j": package_j, "measured": True}
    return sample(seq, chip={"vendor": "apple", "cores": 8}, energy=energy, **parts)


def summed(*told: tuple[Mapping[str, Any], Work], end: Work | None = None) -> Drawn:
    found = Drawn()
    for one, work in told:
        found = drawn(found, one, work)
    return closed(found, end) if end else found


def test_throttled_time_counts_from_the_reading_that_says_so() -> None:
    found = total(
        Reading(10, 1), Reading(20, 2), Reading(30, 3), Reading(40, 0), ended_s=50
    )  # fmt: skip

    assert (found.throttled_s, found.peak_heat_level) == (20.0, 3)


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    found = total(Reading(10, 2), Reading(5, 2), Reading(15, 2), ended_s=15)

    assert found.throttled_s == 20


def test_the_summary_is_plain_text_of_numbers() -> None:
    totals = total(Reading(10, 1), Reading(20, 1), ended_s=30)
    energy = summed(
        (apple(1, 0), Work(0, 0)),
        (apple(2, 300), Work(10, 5, busy_s=10)),
        (apple(4, 600), Work(20, 20, busy_s=20)),
    )

    assert summary(totals, energy, 30.0, 3 * 2**29, sample(1)) == {
        "hw.samples": "2",
        "hw.energy_j": "450",
        "hw.machine_energy_j": "600",
        "hw.energy_source": "measured",
        "hw.energy_known": "1",
        "hw.energy_how": "package counter; share by processor time",
        "hw.mean_power_w": "20",
        "hw.peak_heat_level": "1",
        "hw.throttled_s": "0",
        "hw.peak_memory_gb": "1.5",
    }


def test_energy_of_a_part_of_the_run_says_so() -> None:
    energy = summed((apple(1, power={"package_w": 10.0}), Work(10, 10, 10)))

    found = summary(total(Reading(10), ended_s=600), energy, 600.0, 1, sample(1))

    assert (found["hw.energy_j"], found["hw.energy_source"]) == ("100", "estimated")
    assert found["hw.reason.energy_j"] == "power is known for 10 of 600 s"


def test_a_machine_without_sensors_gives_its_reasons() -> None:
    told = sample(1, missing={"power.package_w": "denied", "thermal.level": "unsupported"})

    found = summary(total(Reading(10), ended_s=20), Drawn(), 20.0, None, told)

    assert found == {
        "hw.samples": "1",
        "hw.reason.energy_j": "power.package_w: denied",
        "hw.reason.machine_energy_j": "power.package_w: denied",
        "hw.reason.mean_power_w": "power.package_w: denied",
        "hw.reason.peak_heat_level": "thermal.level: unsupported",
        "hw.reason.throttled_s": "thermal.level: unsupported",
        "hw.reason.peak_memory_gb": "this system does not tell it without psutil",
    }


def test_a_run_without_an_agent_says_that_there_was_none() -> None:
    found = summary(total(ended_s=20), Drawn(), 20.0, 2**30, None)

    assert found["hw.reason.energy_j"] == arithmetic.NO_READING
    assert found["hw.peak_memory_gb"] == "1"


def test_metrics_name_only_what_is_known() -> None:
    told = sample(
        1,
        cpu_busy_ratio=0.25,
        memory={"total_bytes": 16 * 2**30, "available_bytes": 6 * 2**30},
        power={"package_w": 9.5, "gpu_w": None},
        thermal={"level": 2, "cpu_temp_c": 71.0, "gpu_temp_c": 80.5},
        gpus=[{"busy_ratio": 0.5}, {"busy_ratio": 1.0}, {"busy_ratio": None}],
    )

    assert metrics(told) == {
        "system/cpu_utilization_percentage": 25.0,
        "system/memory_used_gb": 10.0,
        "system/gpu_utilization_percentage": 75.0,
        "system/package_power_w": 9.5,
        "system/heat_level": 2.0,
        "system/temperature_celsius": 80.5,
    }
    assert metrics({}) == {}


def test_the_kernels_ticks_become_a_share() -> None:
    # user nice system idle iowait irq softirq steal guest: 100 + 50 busy, then 60 more of 100.
    before = process.ticks("cpu  100 0 50 800 50 0 0 0 70 0\ncpu0 1 1 1 1\n")
    after = process.ticks("cpu  150 0 60 830 60 0 0 0 90 0\n")

    found = process.machine_metrics(process.Machine(*before, None), process.Machine(*after, 2**31))

    assert found == {"system/cpu_utilization_percentage": 60.0, "system/memory_used_gb": 2.0}


def test_memory_in_use_is_what_nobody_else_could_get() -> None:
    assert process.used_memory("MemTotal: 4096 kB\nMemFree: 1 kB\nMemAvailable: 3072 kB\n") == 2**20
    assert process.used_memory("MemTotal: 4096 kB\n") is None


class Busy:
    """Processes that are all that the machine does."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._at_s = clock, clock()
        self.over = False

    def since_last(self) -> Work:
        passed_s, self._at_s = self._clock() - self._at_s, self._clock()
        return Work(passed_s, passed_s, busy_s=passed_s)

    def end(self) -> None:
        self.over = True


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_sampler_counts_a_sample_that_it_reads_twice_once() -> None:
    clock, logged = Clock(), list[dict[str, float]]()
    steady = sample(7, chip={"vendor": "apple"}, power={"package_w": 10.0}, thermal={"level": 0})
    busy = Busy(clock)
    sampler = Sampler(lambda: steady, logged.append, clock=clock, effort=busy)

    for at_s in (10.0, 20.0):
        clock.now_s = at_s
        sampler.tick()
    clock.now_s = 30.0
    found = sampler.stop()

    assert found["hw.samples"] == "1"
    assert found["hw.energy_j"] == "300"
    assert busy.over
    assert [one["system/package_power_w"] for one in logged] == [10.0, 10.0]
    assert all(one["system/process_memory_gb"] > 0 for one in logged)


def test_the_sampler_lives_without_an_agent() -> None:
    clock, logged = Clock(), list[dict[str, float]]()
    sampler = Sampler(lambda: None, logged.append, clock=clock)

    clock.now_s = 10.0
    sampler.tick()

    assert "system/process_cpu_percentage" in logged[0]
    assert sampler.gpu_busy_percentage is None
    assert sampler.stop()["hw.reason.energy_j"] == arithmetic.NO_READING


def test_neither_a_reader_nor_a_log_that_fails_reaches_the_training() -> None:
    def fail(*_: object) -> Any:
        raise RuntimeError("gone")

    sampler = Sampler(fail, fail, clock=Clock())
    sampler.tick()

    assert sampler.stop()["hw.samples"] == "0"


def test_a_peak_that_only_the_framework_knows_is_kept() -> None:
    sampler = Sampler(lambda: None, lambda _: None, clock=Clock())

    sampler.observe_memory(64 * 2**30)

    assert sampler.stop()["hw.peak_memory_gb"] == "64"


def test_the_thread_looks_by_itself_and_ends() -> None:
    logged, enough = list[dict[str, float]](), threading.Event()

    def log(metrics: dict[str, float]) -> None:
        logged.append(metrics)
        if len(logged) >= 3:
            enough.set()

    sampler = Sampler(lambda: None, log, every_s=0.01)
    sampler.start()
    assert enough.wait(10)
    sampler.stop()
    seen = len(logged)

    assert sampler._thread is not None
    assert not sampler._thread.is_alive()
    assert len(logged) == seen


def test_the_reader_asks_for_one_node() -> None:
    asked = list[str]()

    def get(path: str, _: Mapping[str, str | float]) -> Any:
        asked.append(path)
        return {"node": "node 1", "age_s": 4.5, "sample": {"seq": 1}}

    found = reader(get, "node 1")()

    assert found == {"seq": 1}
    assert asked == ["/api/v1/nodes/node%201"]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {},
        {"age_s": 61, "sample": {"seq": 1}},
        {"age_s": None, "sample": {"seq": 1}},
        {"age_s": 1, "sample": None},
    ],
    ids=["null", "list", "text", "empty", "old", "no age", "no sample"],
)
def test_the_reader_takes_nothing_else_for_a_sample(answer: Any) -> None:
    assert reader(lambda *_: answer, "node-1")() is None


def test_a_reader_that_found_nothing_leaves_the_gateway_alone_for_a_minute() -> None:
    clock, asked = Clock(), list[float]()

    def get(*_: object) -> Any:
        asked.append(clock.now_s)
        raise ConnectionError

    read = reader(get, "node-1", clock=clock)
    for at_s in (0.0, 10.0, 50.0, 60.0):
        clock.now_s = at_s
        assert read() is None

    assert asked == [0.0, 60.0]


def test_without_an_agent_nobody_is_asked() -> None:
    def get(*_: object) -> Any:
        raise AssertionError

    assert reader(get, None)() is None


def captures(name: str) -> Path:
    root = Path(__file__).parents[3]
    file = Path(os.environ.get("MLOPS_CAPTURES") or root / ".." / "shared" / "captures") / name
    if not file.exists():
        pytest.skip(f"no captures at {file}; set MLOPS_CAPTURES to have them summed")
    return file


def test_a_recorded_benchmark_of_a_mac_adds_up() -> None:
    """One reading a second of a chip that is measured in milliwatts."""
    packed = captures("singhkays-m1-mini/Cinebench-R23.txt.gz").read_bytes()
    text = gzip.decompress(packed).decode(errors="replace")
    package = [
        int(one) / 1000 for one in re.findall(r"^Package Power: (\d+) mW", text, re.MULTILINE)
    ]
    clock = Clock()
    told = iter(
        apple(seq, power={"package_w": power}, window_s=1.0)
        for seq, power in enumerate(package, start=1)
    )
    sampler = Sampler(lambda: next(told), lambda _: None, clock=clock, effort=Busy(clock))

    for second in range(1, len(package) + 1):
        clock.now_s = float(second)
        sampler.tick()
    found = sampler.stop()

    assert len(package) > 300
    assert float(found["hw.energy_j"]) == pytest.approx(sum(package), abs=0.01)
    assert found["hw.energy_source"] == "estimated"
    assert found["hw.samples"] == str(len(package))
