# SPDX-License-Identifier: Apache-2.0
"""When a rollout goes on, waits or goes back, with what numbers; and that few or noisy answers never take it back."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.contracts.latency import EDGES_MS, Latencies
from mlops.serving.model.evidence import Comparison, Counts, Seen, Times
from mlops.serving.model.judging import (
    LEAST_ANSWERS,
    Verdict,
    judge,
    judge_shadow,
    too_slow,
)
from mlops.serving.model.plan import Kind, Plan

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLAN = Plan(steps=(0.1, 1.0), hold_s=2.0, max_error_ratio=0.02, max_latency_ratio=3.0)
SHADOW = Plan(
    kind=Kind.SHADOW,
    max_error_ratio=0.02,
    max_latency_ratio=3.0,
    shadow_for_s=60,
    min_agreement=0.95,
)


def times(*took_ms: float) -> Times:
    counted = Latencies()
    for one in took_ms:
        counted.add(one)
    return Times(EDGES_MS, tuple(counted.counts))


def compared(**changes: Any) -> Comparison:
    usual = Comparison(
        against_version=1,
        since=NOON,
        requests=200,
        agreement_ratio=0.99,
        latency_p95_ms=5.0,
        against_latency_p95_ms=5.0,
    )
    return replace(usual, **changes)


def test_a_version_that_is_clearly_slower_goes_back_with_the_numbers() -> None:
    seen = Seen(Counts(40, 0), times=times(*[80.0] * 40), other_times=times(*[10.0] * 400))

    verdict, why = judge(PLAN, seen, 0.5)

    assert verdict is Verdict.REVERT
    assert why == (
        "40 of 40 answers took more than 33.9 ms; p95 is 90.5 ms against 11.3 ms, "
        "3 times that is allowed"
    )


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ([80.0] * 29, [10.0] * 400),
        ([80.0] * 400, [10.0] * 29),
        ([25.0] * 400, [10.0] * 400),
        ([9.0] * 400, [1.0] * 400),
        ([10.0] * 95 + [500.0] * 5, [10.0] * 400),
        ([500.0] * 3 + [10.0] * 27, [10.0] * 400),
    ],
    ids=[
        "too few of the new",
        "too few of the old",
        "within the ratio",
        "less than ten milliseconds more",
        "one in twenty is what the percentile leaves out",
        "three slow first answers",
    ],
)
def test_what_is_not_surely_slower_stays(new: list[float], old: list[float]) -> None:
    assert too_slow(3.0, times(*new), times(*old)) == ""


def test_without_a_ratio_nothing_is_judged_by_its_times() -> None:
    assert too_slow(None, times(*[900.0] * 500), times(*[1.0] * 500)) == ""


@given(
    new=st.lists(st.floats(0.01, 60_000), max_size=LEAST_ANSWERS - 1),
    old=st.lists(st.floats(0.01, 60_000), max_size=200),
)
def test_few_answers_never_take_a_version_back(new: list[float], old: list[float]) -> None:
    assert too_slow(1.01, times(*new), times(*old)) == ""


@given(seed=st.integers(0, 10_000), sigma=st.floats(0.1, 2.0), count=st.integers(30, 400))
@settings(max_examples=300, deadline=None)
def test_the_same_noise_on_both_sides_never_takes_a_version_back(
    seed: int, sigma: float, count: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - noise, no secret
    new, old = (
        times(*(10 * dice.lognormvariate(0, sigma) for _ in range(size))) for size in (count, 400)
    )

    assert too_slow(3.0, new, old) == ""


@given(slower=st.lists(st.floats(100, 9_000), min_size=LEAST_ANSWERS, max_size=60))
def test_more_slow_answers_only_make_it_surer(slower: list[float]) -> None:
    old = times(*[10.0] * 100)

    assert too_slow(3.0, times(*slower), old)
    assert too_slow(3.0, times(*slower, *slower), old)


def test_every_wait_and_every_step_has_a_reason_with_numbers() -> None:
    seen = Seen(Counts(50, 1), times=times(*[10.0] * 10), other_times=times(*[10.0] * 400))

    waits, goes_on, nothing, absent = (
        judge(PLAN, seen, 0.5),
        judge(PLAN, seen, 2.0),
        judge(PLAN, Seen(), 2.0),
        judge(PLAN, Seen(unready_s=4, other_ready=True), 2.0),
    )

    facts = (
        "1 of 50 requests failed (2.0%), 2.0% are allowed; "
        "p95 11.3 ms of 10 against 11.3 ms of 400 (judged from 30 of each on)"
    )
    assert waits == (Verdict.HOLD, f"{facts}; watched for 0.5 of 2 s")
    assert goes_on == (Verdict.ADVANCE, facts)
    assert nothing == (Verdict.ADVANCE, "no requests were counted; no answer times yet")
    assert absent == (Verdict.HOLD, "not ready for 4 s")


@pytest.mark.parametrize(
    ("found", "held_s", "verdict", "said"),
    [
        (None, 99.0, Verdict.HOLD, "nothing was compared yet"),
        (compared(), 30.0, Verdict.HOLD, "compared for 30 of 60 s"),
        (compared(), 60.0, Verdict.ADVANCE, "99.0% of 200 answers agree with version 1's"),
        (compared(agreement_ratio=0.9), 60.0, Verdict.REVERT, "95.0% are wanted"),
        (compared(requests=29), 60.0, Verdict.HOLD, "waits for 30 compared answers"),
        (compared(failed=9), 1.0, Verdict.REVERT, "9 of 209 requests failed (4.3%)"),
        (compared(latency_p95_ms=90.0), 1.0, Verdict.REVERT, "p95 of 200 copies is 90 ms"),
        (compared(latency_p95_ms=14.0), 60.0, Verdict.ADVANCE, "p95 14 ms against 5 ms"),
    ],
)
def test_a_shadow_is_compared_then_goes_on_or_back(
    found: Comparison | None, held_s: float, verdict: Verdict, said: str
) -> None:
    decided, why = judge_shadow(SHADOW, found, Seen(), held_s)

    assert decided is verdict
    assert said in why


def test_without_a_wanted_agreement_a_person_decides() -> None:
    verdict, why = judge_shadow(replace(SHADOW, min_agreement=None), compared(), Seen(), 900.0)

    assert verdict is Verdict.HOLD
    assert why.startswith("waits for a person: deploy it again to go on; 99.0% of 200 answers")


def test_a_shadow_that_is_gone_goes_back_though_all_agreed_before() -> None:
    seen = Seen(unready_s=20.0, other_ready=True)

    assert judge_shadow(SHADOW, compared(), seen, 30.0) == (
        Verdict.REVERT,
        "not ready for 20 s",
    )
