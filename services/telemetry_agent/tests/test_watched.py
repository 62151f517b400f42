# SPDX-License-Identifier: Apache-2.0
"""A probe that hangs, crashes or lies about its pace stops no other, and nothing it told is counted twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from mlops.telemetry_agent.adapters.watched import WatchedProbe
from mlops.telemetry_agent.model.reading import LEVEL, Partial


class Probe:
    """Does what it is told at each look."""

    name = "odd"

    def __init__(self, look: Callable[[int], Partial]) -> None:
        self._look = look
        self.looks = 0
        self.closed = False

    def read(self, at_s: float) -> Partial:  # noqa: ARG002 - a fake
        self.looks += 1
        return self._look(self.looks)

    def close(self) -> None:
        self.closed = True


def told(**values: float) -> Partial:
    return Partial("odd", {name.replace("__", "."): value for name, value in values.items()})


def test_a_probe_that_works_is_read_at_each_look() -> None:
    probe = WatchedProbe(Probe(lambda n: told(power__cpu_w=float(n))), wait_s=5)

    assert [probe.read(at).values["power.cpu_w"] for at in (0.0, 2.0)] == [1.0, 2.0]


def test_a_probe_that_hangs_costs_one_wait_and_is_stale_after_two_intervals() -> None:
    gate = threading.Event()

    def look(n: int) -> Partial:
        if n > 1:
            gate.wait(30)
        return told(power__cpu_w=3.0)

    probe = WatchedProbe(Probe(look), wait_s=0.05)
    fresh = probe.read(0.0)
    began = time.perf_counter()
    held = [probe.read(float(at)) for at in range(2, 10, 2)]
    gone = [probe.read(float(at)) for at in range(12, 2000)]
    took = time.perf_counter() - began
    gate.set()

    assert fresh.values == {"power.cpu_w": 3.0}
    assert all(one.values == {"power.cpu_w": 3.0} for one in held)
    assert all(one.missing == {"power.cpu_w": "stale"} and not one.values for one in gone)
    assert took < 1.0


def test_a_probe_that_comes_back_is_believed_again() -> None:
    gate = threading.Event()

    def look(n: int) -> Partial:
        if n == 2:
            gate.wait(30)
        return told(power__cpu_w=float(n))

    probe = WatchedProbe(Probe(look), wait_s=0.05)
    probe.read(0.0)
    probe.read(20.0)
    gate.set()
    deadline = time.monotonic() + 5
    while not (late := probe.read(22.0)).values and time.monotonic() < deadline:
        time.sleep(0.01)

    assert float(late.values["power.cpu_w"]) >= 2.0


def test_a_probe_that_crashes_is_failed_and_asked_less_and_less() -> None:
    inner = Probe(lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
    probe = WatchedProbe(inner, gives=(LEVEL,), wait_s=5)

    seen = [probe.read(float(at)) for at in range(100)]

    assert all(one.missing == {LEVEL: "failed"} for one in seen)
    # At 0, then after 2, 5, 15 and 60 seconds.
    assert inner.looks == 5


def test_what_a_crashed_probe_once_gave_is_missing_by_name() -> None:
    def look(n: int) -> Partial:
        if n > 1:
            raise OSError("gone")
        return told(power__cpu_w=3.0, thermal__cpu_temp_c=50.0)

    probe = WatchedProbe(Probe(look), wait_s=5)
    probe.read(0.0)

    assert probe.read(2.0).missing == {"power.cpu_w": "failed", "thermal.cpu_temp_c": "failed"}


def test_a_slow_probe_is_asked_at_its_pace_and_its_joules_are_told_once() -> None:
    inner = Probe(lambda _: told(energy__cpu_j=10.0, power__cpu_w=2.0))
    probe = WatchedProbe(inner, every_s=lambda: 5.0, wait_s=5)

    seen = [probe.read(float(at)).values for at in range(0, 10, 1)]

    assert inner.looks == 2
    assert sum(float(one["energy.cpu_j"]) for one in seen) == 20.0
    assert all(one["power.cpu_w"] == 2.0 for one in seen)


def test_closing_a_probe_that_hangs_does_not_wait_for_it() -> None:
    gate = threading.Event()

    def look(_: int) -> Partial:
        gate.wait(30)
        return told()

    inner = Probe(look)
    probe = WatchedProbe(inner, wait_s=0.05)
    probe.read(0.0)
    began = time.perf_counter()

    probe.close()

    assert time.perf_counter() - began < 10
    assert not inner.closed
    gate.set()


def test_closing_lets_the_probe_go() -> None:
    inner = Probe(lambda _: told())
    probe = WatchedProbe(inner, wait_s=5)
    probe.read(0.0)

    probe.close()

    assert inner.closed


@pytest.mark.parametrize("error", [SystemError, MemoryError, UnicodeDecodeError])
def test_whatever_a_driver_raises_is_a_failure_of_this_probe(error: type[Exception]) -> None:
    def look(_: int) -> Partial:
        raise error("utf-8", b"", 0, 1, "x") if error is UnicodeDecodeError else error

    assert WatchedProbe(Probe(look), gives=("gpus",), wait_s=5).read(0.0).missing == {
        "gpus": "failed"
    }
