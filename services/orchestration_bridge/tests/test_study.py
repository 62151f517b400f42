# SPDX-License-Identifier: Apache-2.0
"""A study is the same however many work on it, its intervals cover what they should, and its command says what is wrong."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.orchestration_bridge.simulation.outcome import FIGURES
from mlops.orchestration_bridge.simulation.paired import difference, interval
from mlops.orchestration_bridge.simulation.study import Cell, Study, play, played, summary

_FEW = ("--loads", "0.1", "--seeds", "2", "--fleet", "fans", "--policies", "ours,cooldown")


def test_the_number_of_workers_changes_nothing() -> None:
    alone, together = (command(*_FEW, "--workers", workers) for workers in ("1", "3"))

    assert alone.returncode == together.returncode == 0
    assert alone.stdout.splitlines()[-1] == together.stdout.splitlines()[-1]


def test_no_worker_outlives_a_study_that_is_killed() -> None:
    program = [sys.executable, "-m", "mlops.orchestration_bridge.simulation", "--workers", "2"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as study:
        assert study.stdout is not None
        assert json.loads(study.stdout.readline())["done"] == 1
        workers = psutil.Process(study.pid).children(recursive=True)

        study.kill()

    _, alive = psutil.wait_procs(workers, timeout=15)
    assert alive == []


def test_who_waits_for_a_study_hears_how_far_it_is() -> None:
    study = Study(loads=(0.1,), seeds=2, fleet="fans", schedulers=("coolest",))
    told: list[tuple[int, int]] = []

    played(study, 1, lambda done, of: told.append((done, of)))

    assert told == [(1, 2), (2, 2)]


def test_a_cell_is_fully_determined() -> None:
    cell = Cell("cooldown", 0.2, 7, "fanless", "heavy-tailed")

    assert play(cell) == play(cell)
    assert play(cell) != play(replace(cell, seed=8))


def test_ours_is_compared_with_every_other_in_every_figure() -> None:
    study = Study(loads=(0.4,), seeds=2, fleet="fans", jobs="short", schedulers=("ours", "coolest"))
    figures = {
        Cell(name, 0.4, seed, "fans", "short"): {one.key: value for one in FIGURES}
        for name, seed, value in (
            ("ours", 1, 8.0),
            ("ours", 2, 9.0),
            ("coolest", 1, 10.0),
            ("coolest", 2, 10.0),
        )
    }

    found = summary(study, figures)

    differences = found["differences"]
    assert isinstance(differences, list)
    assert [one["figure"] for one in differences] == [figure.key for figure in FIGURES]
    assert all(one["mean"] == pytest.approx(-0.15) for one in differences)
    assert all(one["verdict"] == "less" for one in differences)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(1, 100)), min_size=2, max_size=30))
def test_an_interval_lies_about_its_mean(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = zip(*pairs, strict=True)

    found = difference(ours, theirs)

    assert found.low <= found.mean + 1e-9
    assert found.mean - 1e-9 <= found.high
    assert found.relative


def test_the_same_row_is_no_difference_and_an_empty_one_is_not_divided_by() -> None:
    same, nought = difference([1.0, 2.0], [1.0, 2.0]), difference([1.0, 2.0], [0.0, 0.0])

    assert (same.mean, same.low, same.high, same.verdict) == (0.0, 0.0, 0.0, "no difference")
    assert (nought.mean, nought.relative, nought.verdict) == (1.5, False, "more")


def test_pairs_must_be_pairs() -> None:
    with pytest.raises(ValueError, match="shorter"):
        difference([1.0, 2.0], [1.0])


def test_intervals_cover_the_true_mean_about_as_often_as_they_say() -> None:
    dice = random.Random(5)  # noqa: S311 - draws, not secrets
    covered = 0
    for _ in range(100):
        low, high = interval([dice.gauss(10.0, 2.0) for _ in range(30)])
        covered += low <= 10.0 <= high

    assert covered >= 86


def command(*words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "mlops.orchestration_bridge.simulation", *words]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=50)


def test_the_command_prints_progress_and_one_result() -> None:
    words = ("--loads", "0.1", "--seeds", "1", "--fleet", "fans")

    ended = command(*words, "--policies", "ours,round-robin", "--workers", "1")

    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert lines[:-1] == [{"done": 1, "of": 2}, {"done": 2, "of": 2}]
    result = lines[-1]["result"]
    assert {run["scheduler"] for run in result["runs"]} == {"ours", "round-robin"}
    assert result["study"]["seeds"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--policies", "magic"), "no policy 'magic'; there are ours"),
        (("--loads", "0"), "a load lies between 0 and 2"),
        (("--seeds", "0"), "must be 1 or more"),
        (("--fleet", "cray"), "invalid choice: 'cray'"),
    ],
)
def test_the_command_says_what_is_wrong(words: tuple[str, ...], said: str) -> None:
    ended = command(*words)

    assert ended.returncode == 2
    assert said in ended.stderr
