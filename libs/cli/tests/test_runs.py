# SPDX-License-Identifier: Apache-2.0
"""run list|show|compare|tail: what is asked of tracking, and what people and programs get to see."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from libs.cli.tests.conftest import Asked, Door, Refuse

from mlops.cli.runs import length, size, sparkline
from mlops.cli.tailing import Point, lines

FIRST, SECOND = "a" * 32, "b" * 32


def run(run_id: str, name: str, **more: object) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "project": "rain",
        "name": name,
        "status": "FINISHED",
        "user": "ada",
        "started_at": "2026-01-31T12:00:00+00:00",
        "ended_at": "2026-01-31T12:01:30+00:00",
        "duration_s": 90.0,
        "technique": "lora",
        "chip": "Apple M2 Pro",
        "datasets": [{"name": "days", "version": 3, "hash": "d5229e539dfe8f9a"}],
        "source_commit": "abc123",
        "metrics": {"accuracy": 0.91, "loss": 0.2},
        "params": {"lr": "0.1"},
        "hardware": {"energy_j": 385.2, "mean_power_w": None},
        "throughput": {"samples_per_second": 260.0},
        "models": [{"name": "rain", "version": 2}],
        **more,
    }


@pytest.fixture
def two(door: Door) -> Door:
    door.answer("tracking", "runs", {"runs": [run(FIRST, "first"), run(SECOND, "second")]})
    return door


def test_list_passes_on_what_is_wanted_and_nothing_else(two: Door) -> None:
    found = two.json("run", "list", "-p", "rain", "--status", "finished", "-n", "7")

    assert [one["name"] for one in found] == ["first", "second"]
    assert two.queries("/api/v1/query/tracking/runs") == [
        {"project": "rain", "status": "FINISHED", "limit": "7"}
    ]


@pytest.mark.parametrize("width", [80, 200])
def test_a_list_fits_its_terminal(two: Door, width: int) -> None:
    shown = two.screen(width, "run", "list")

    assert max(map(len, shown)) <= width
    assert "a" * 8 in shown[1]
    assert (FIRST in shown[1]) == (width == 200)
    assert len(shown) == 3
    assert ("Apple M2 Pro" in shown[1]) == (width == 200)


def test_show_tells_what_became_of_a_run(two: Door) -> None:
    whole = run(
        FIRST, "first", system={"chip": "Apple M2 Pro"}, tags={"hw.reason.throttled_s": "no root"}
    )
    rollouts = [
        {"project": "rain", "model": "rain", "version": version, "state": "completed", "at": ""}
        for version in (1, 2)
    ]
    two.answer("tracking", "run", {"run": whole})
    two.answers["/api/v1/deployments"] = {"deployments": rollouts, "routes": []}

    shown = two.run("run", "show", "first").stdout
    found = two.json("run", "show", FIRST)

    assert two.queries("/api/v1/query/tracking/run") == [{"run_id": FIRST}] * 2
    assert "rain:2 deployed" in shown
    assert "rain:1 deployed" not in shown
    assert "not measured: no root" in shown
    assert "days v3" in shown
    assert [one["version"] for one in found["deployments"]] == [2]


@pytest.mark.parametrize("meant", ["first", "aaaa", FIRST])
def test_a_run_is_known_by_name_by_its_beginning_and_by_its_id(two: Door, meant: str) -> None:
    two.answer("tracking", "run", {"run": run(FIRST, "first", models=[])})

    assert two.json("run", "show", meant)["run_id"] == FIRST


def test_a_run_that_is_not_known_or_not_the_only_one_is_an_input_error(door: Door) -> None:
    door.answer("tracking", "runs", {"runs": [run(FIRST, "same"), run(SECOND, "same")]})

    many, none = door.run("run", "show", "same"), door.run("run", "show", "other")

    assert (many.exit_code, none.exit_code) == (2, 2)
    assert FIRST in many.stderr
    assert SECOND in many.stderr
    assert "mlops run list" in none.stderr


def test_compare_marks_the_best_and_leaves_out_what_is_the_same(two: Door) -> None:
    rows = [
        row("accuracy", "metric", [0.9, 0.95], best=1),
        row("layers", "param", ["8", "8"], same=True),
    ]
    two.answer(
        "tracking", "compare", {"rows": rows, "runs": [run(FIRST, "first"), run(SECOND, "second")]}
    )

    short = two.run("run", "compare", "first", "second").stdout
    whole = two.run("run", "compare", "first", "second", "--all").stdout

    assert "0.95 ★" in short
    assert "0.9 ★" not in short
    assert "layers" not in short
    assert "1 rows do not differ" in short
    assert "layers" in whole
    assert two.queries("/api/v1/query/tracking/compare")[0] == {"runs": f"{FIRST},{SECOND}"}


def row(name: str, kind: str, values: list[object], **more: object) -> dict[str, object]:
    usual = {"unit": "", "best": None, "same": False}
    return {"name": name, "kind": kind, "values": values, **usual, **more}


@pytest.mark.parametrize("words", [[], ["first"], ["first", "first"], ["first", "--technique"]])
def test_compare_needs_different_runs_or_techniques(two: Door, words: list[str]) -> None:
    assert two.run("run", "compare", *words).exit_code == 2


def test_techniques_are_shown_by_chip_with_what_each_is_best_at(door: Door) -> None:
    technique = {
        "technique": "lora",
        "runs": 2,
        "projects": ["rain"],
        "metric_median": 0.9,
        "throughput_median": 180.0,
        "energy_j_median": 500.0,
        "peak_memory_gb_median": 4.0,
        "peak_heat_level_max": 1,
    }
    chips = [{"chip": "Apple M2 Pro", "techniques": [technique], "best": {"energy": "lora"}}]
    door.answer("tracking", "techniques", {"chips": chips, "metric": "accuracy"})

    shown = door.run("run", "compare", "--technique", "--chip", "Apple M2 Pro").stdout

    assert door.queries("/api/v1/query/tracking/techniques") == [{"chip": "Apple M2 Pro"}]
    assert "Apple M2 Pro" in shown
    assert "least energy" in shown


def test_tail_shows_each_point_once_and_ends_with_the_run(two: Door) -> None:
    # The service tells the last millisecond's points again, as anything may have come within it.
    looks = [
        ([["loss", 2.0, 10, 0], ["system/gpu_power_w", 9.0, 10, 0]], 10, "RUNNING"),
        ([["loss", 2.0, 10, 0], ["accuracy", 0.5, 10, 0], ["loss", 1.0, 20, 1]], 20, "FINISHED"),
    ]
    two.answer("tracking", "points", _one_after_the_other(looks))

    found = two.run("run", "tail", "first", "--json")

    told = [json.loads(line) for line in found.stdout.splitlines()]
    assert [(one["metric"], one["step"]) for one in told[:-1]] == [
        ("loss", 0),
        ("accuracy", 0),
        ("loss", 1),
    ]
    assert told[-1] == {"status": "FINISHED"}
    assert [one["since_ms"] for one in two.queries("/api/v1/query/tracking/points")] == ["0", "10"]
    assert found.exit_code == 0


def test_tail_of_a_run_that_failed_is_a_failure(two: Door) -> None:
    two.answer("tracking", "points", {"points": [], "next_ms": 0, "status": "FAILED"})

    found = two.run("run", "tail", FIRST)

    assert found.exit_code == 1
    assert "ended FAILED" in found.stderr


def test_tail_goes_on_when_the_gateway_was_away_for_a_moment(two: Door) -> None:
    looks = count()

    def answer(_: Asked) -> object:
        if next(looks) == 0:
            return Refuse(503, "not available at the moment")
        return {"points": [["loss", 1.0, 1, 0]], "next_ms": 1, "status": "FINISHED"}

    two.answer("tracking", "points", answer)

    found = two.run("run", "tail", FIRST)

    assert found.exit_code == 0
    assert "loss=1" in found.stdout


def test_tail_in_a_terminal_is_a_table_with_the_course_of_each_metric(two: Door) -> None:
    points = [["loss", 8.0 - step, step, step] for step in range(8)]
    two.answer("tracking", "points", {"points": points, "next_ms": 8, "status": "FINISHED"})

    shown = "\n".join(two.screen(100, "run", "tail", FIRST))

    assert "█▇▆▅▄▃▂▁" in shown
    assert "finished" in shown


def test_points_of_one_step_stand_in_one_line() -> None:
    points = [
        Point("loss", 1.0, 1, 0),
        Point("accuracy", None, 1, 0),
        Point("system/x", 1.0, 1, 0),
        Point("loss", 0.5, 2, 1),
        Point("loss", 0.25, 3, 1),
    ]

    assert list(lines(points, system=False)) == [
        "step      0  loss=1  accuracy=-",
        "step      1  loss=0.5",
        "step      1  loss=0.25",
    ]


def test_a_sparkline_keeps_the_last_value_and_its_width() -> None:
    assert sparkline([1.0, 2.0, 3.0]) == "▁▅█"
    assert sparkline([5.0, 5.0]) == "▁▁"
    assert sparkline([]) == ""
    assert len(sparkline([float(at) for at in range(1000)], 20)) == 20
    assert sparkline([0.0] * 99 + [9.0], 10)[-1] == "█"


@pytest.mark.parametrize(
    ("seconds", "told"), [(None, ""), (0.25, "0.2 s"), (90, "1.5 min"), (7200, "2.0 h")]
)
def test_lengths_are_told_in_a_unit_that_suits_them(seconds: float | None, told: str) -> None:
    assert length(seconds) == told


def test_sizes_are_told_in_a_unit_that_suits_them() -> None:
    assert [size(one) for one in (None, 12, 151_404, 2_000_000_000)] == [
        "",
        "12 B",
        "151.4 kB",
        "2.0 GB",
    ]


def _one_after_the_other(looks: Sequence[tuple[Sequence[object], int, str]]) -> object:
    left = iter(looks)

    def answer(_: Asked) -> dict[str, object]:
        points, next_ms, status = next(left)
        return {"points": points, "next_ms": next_ms, "status": status, "more": False}

    return answer
