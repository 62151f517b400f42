# SPDX-License-Identifier: Apache-2.0
"""The gate's decision, case by case."""

from __future__ import annotations

import pytest

from mlops.tracking.model.gate import Contender, Outcome, Rule, judge

ACCURACY = Rule("accuracy", min_gain=0.01)


def contender(version: int, *, running: bool = False, **metrics: float) -> Contender:
    return Contender(version, metrics, f"run-{version}", running)


def test_first_model_is_promoted() -> None:
    verdict = judge(ACCURACY, contender(1, accuracy=0.5), None)

    assert (verdict.outcome, verdict.candidate) == (Outcome.PROMOTE, 0.5)
    assert "first" in verdict.reason


@pytest.mark.parametrize(
    ("goal", "candidate", "champion", "outcome"),
    [
        ("max", 0.81, 0.8, Outcome.PROMOTE),
        ("max", 0.805, 0.8, Outcome.REJECT),
        ("max", 0.7, 0.8, Outcome.REJECT),
        ("min", 0.3, 0.4, Outcome.PROMOTE),
        ("min", 0.4, 0.3, Outcome.REJECT),
    ],
)
def test_candidate_must_gain_enough(
    goal: str, candidate: float, champion: float, outcome: Outcome
) -> None:
    rule = Rule("loss", goal, 0.01)

    verdict = judge(rule, contender(2, loss=candidate), contender(1, loss=champion))

    assert verdict.outcome is outcome
    assert (verdict.candidate, verdict.champion, verdict.champion_version) == (
        candidate,
        champion,
        1,
    )


def test_rounding_takes_no_gain_away() -> None:
    verdict = judge(Rule("m", min_gain=0.1), contender(2, m=0.3), contender(1, m=0.2))

    assert verdict.outcome is Outcome.PROMOTE


def test_champion_on_the_same_rows_counts_more_than_its_own_run() -> None:
    candidate = contender(2, accuracy=0.75, champion_accuracy=0.6)

    verdict = judge(ACCURACY, candidate, contender(1, accuracy=0.9))

    assert (verdict.outcome, verdict.champion) == (Outcome.PROMOTE, 0.6)
    assert "on the same rows" in verdict.reason


def test_missing_metric_is_named_with_what_was_logged() -> None:
    verdict = judge(ACCURACY, contender(2, loss=0.1, f1=0.2), contender(1, accuracy=0.9))

    assert verdict.outcome is Outcome.REJECT
    assert "'accuracy' is missing in run run-2; logged: f1, loss" in verdict.reason


def test_missing_metric_of_a_running_run_is_waited_for() -> None:
    assert judge(ACCURACY, contender(2, running=True), None).outcome is Outcome.WAIT


def test_metric_that_is_no_number_is_rejected() -> None:
    verdict = judge(ACCURACY, contender(2, accuracy=float("nan")), None)

    assert verdict.outcome is Outcome.REJECT
    assert "finite" in verdict.reason


def test_champion_without_the_metric_gives_way() -> None:
    verdict = judge(ACCURACY, contender(2, accuracy=0.5), contender(1, loss=0.1))

    assert verdict.outcome is Outcome.PROMOTE
    assert "nothing" in verdict.reason or "no 'accuracy' to compare" in verdict.reason


@pytest.mark.parametrize(
    ("promote", "outcome"),
    [
        ("auto", Outcome.PROMOTE),
        ("approve", Outcome.CHALLENGE),
        ("suggest", Outcome.CHALLENGE),
        ("unknown", Outcome.CHALLENGE),
        ("never", Outcome.REJECT),
    ],
)
def test_consent_decides_what_a_better_candidate_gets(promote: str, outcome: Outcome) -> None:
    rule = Rule("accuracy", promote=promote)

    assert judge(rule, contender(2, accuracy=0.9), contender(1, accuracy=0.1)).outcome is outcome


def test_unknown_goal_is_refused_with_the_fix() -> None:
    verdict = judge(Rule("accuracy", goal="unknown"), contender(1, accuracy=0.9), None)

    assert verdict.outcome is Outcome.REJECT
    assert 'neither "max" nor "min"' in verdict.reason
