# SPDX-License-Identifier: Apache-2.0
"""What living replicas say, added up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.contracts.latency import Latencies
from mlops.serving.handlers.reports import read_report
from mlops.serving.model.metering import Reading
from mlops.serving.ports import Report
from mlops.serving.sources.vitals import Vitals

APP = "rain.rain.v1"


class Ear:
    """Vitals whose clock moves when told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.vitals = Vitals(lambda: self.now)

    def hear(self, replica: str, after_s: float = 2, **counts: Any) -> None:
        self.now += timedelta(seconds=after_s)
        self.vitals.hear(APP, Report(Reading(replica), **counts))


@pytest.fixture
def ear() -> Ear:
    return Ear()


def test_nothing_is_known_of_what_never_spoke(ear: Ear) -> None:
    assert ear.vitals.figures(APP) is None
    assert ear.vitals.used_at(APP) is None
    assert ear.vitals.ongoing(APP) is None


def test_replicas_add_up_and_the_dead_are_not_forgotten_in_counts(ear: Ear) -> None:
    ear.hear("a", requests=5, errors=1, shed=2, waiting=4, memory_bytes=100)
    ear.hear("b", requests=7, waiting=1, memory_bytes=50)
    before = ear.vitals.figures(APP)
    ear.hear("b", after_s=30, requests=8, memory_bytes=60)

    now = ear.vitals.figures(APP)
    assert before is not None
    assert now is not None
    assert (before.requests, before.replicas, before.waiting, before.memory_bytes) == (
        12,
        2,
        5,
        150,
    )
    assert (now.requests, now.replicas, now.waiting, now.memory_bytes) == (13, 1, 0, 60)
    assert (now.errors, now.shed) == (1, 2)


def test_the_rate_is_that_of_the_last_half_minute(ear: Ear) -> None:
    ear.hear("a", requests=1000)
    ear.hear("a", after_s=60, requests=1100)
    ear.hear("a", after_s=10, requests=1120)
    ear.hear("a", after_s=10, requests=1140)

    found = ear.vitals.figures(APP)
    assert found is not None
    assert found.rate == pytest.approx(2.0)


def test_one_report_tells_no_rate(ear: Ear) -> None:
    ear.hear("a", requests=1000)

    found = ear.vitals.figures(APP)
    assert found is not None
    assert found.rate is None


def test_only_requests_and_a_beginning_count_as_use(ear: Ear) -> None:
    ear.hear("a", requests=1)
    begun = ear.vitals.used_at(APP)
    ear.hear("a", requests=1)
    same = ear.vitals.used_at(APP)
    ear.hear("a", requests=2)

    assert same == begun
    assert ear.vitals.used_at(APP) == ear.now


def test_what_waits_is_use_though_nothing_was_answered_yet(ear: Ear) -> None:
    ear.hear("a")
    ear.hear("a", waiting=1)

    assert ear.vitals.used_at(APP) == ear.now


def test_answer_times_of_all_replicas_are_one_histogram(ear: Ear) -> None:
    fast, slow = Latencies(), Latencies()
    fast.add(1.0)
    slow.add(100.0)
    ear.hear("a", latencies=fast.as_json())
    ear.hear("b", latencies=slow.as_json())

    found = ear.vitals.figures(APP)
    assert found is not None
    assert found.latencies == fast.plus(slow)


@pytest.mark.parametrize("wrong", [-1, "7", True, float("nan"), None])
def test_a_count_that_makes_no_sense_counts_nothing(wrong: object) -> None:
    question = {"replica": "a", "answered": 1, "busy_s": 0.0, "cpu_s": 0.0}

    found = read_report({**question, "requests": wrong, "memory_bytes": wrong})

    assert found is not None
    assert (found.requests, found.memory_bytes) == (0, None)
