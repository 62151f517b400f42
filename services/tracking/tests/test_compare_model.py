# SPDX-License-Identifier: Apache-2.0
"""Which of several runs, and which technique on a chip, is best; and when nobody is."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.tracking.model.compare import Row, compare
from mlops.tracking.model.facts import Dataset
from mlops.tracking.model.records import RunRecord, direction
from mlops.tracking.model.techniques import Chip, summarise


def a_run(run_id: str = "r", **about: Any) -> RunRecord:
    return RunRecord(run_id, **{"project": "rain", "status": "FINISHED", **about})


def row(name: str, runs: list[RunRecord], *goals: dict[str, str]) -> Row:
    given = list(goals) or [{}] * len(runs)
    return next(found for found in compare(runs, given) if found.name == name)


@pytest.mark.parametrize(
    ("name", "goal"),
    [
        ("val_loss", "min"),
        ("eval/rmse", "min"),
        ("latency_ms", "min"),
        ("perplexity", "min"),
        ("energy_j", "min"),
        ("tokens_per_second", "max"),
        ("accuracy", None),
        ("glossy", None),
        ("terror", None),
    ],
)
def test_what_is_better_is_told_by_the_name(name: str, goal: str | None) -> None:
    assert direction(name, {}) == goal


@pytest.mark.parametrize(("said", "goal"), [("max", "max"), ("min", "min"), ("unknown", None)])
def test_the_project_knows_better_than_the_name(said: str, goal: str | None) -> None:
    assert direction("loss", {"loss": said}) == goal


def test_metrics_are_judged_by_the_goal_of_the_project() -> None:
    runs = [a_run(metrics={"accuracy": 0.5}), a_run(metrics={"accuracy": 0.7}), a_run()]

    assert row("accuracy", runs).best is None
    assert row("accuracy", runs, *[{"accuracy": "max"}] * 3).best == 1
    assert row("accuracy", runs, *[{"accuracy": "min"}] * 3).best == 0
    assert row("accuracy", runs).values == (0.5, 0.7, None)


def test_projects_that_disagree_leave_a_metric_unjudged() -> None:
    runs = [a_run(metrics={"score": 0.5}), a_run(metrics={"score": 0.7})]

    assert row("score", runs, {"score": "max"}, {"score": "min"}).best is None


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([1.0, 2.0], 0),
        ([1.0, 1.0, 2.0], None),
        ([1.0], None),
        ([float("nan"), 2.0], None),
        ([float("inf"), 2.0, 3.0], 1),
    ],
)
def test_a_tie_one_alone_and_no_numbers_are_never_best(
    values: list[float], best: int | None
) -> None:
    assert row("loss", [a_run(metrics={"loss": value}) for value in values]).best == best


def test_a_run_that_broke_off_saved_no_energy() -> None:
    broken = a_run(status="FAILED", tags={"hw.energy_j": "1"}, started_ms=0, ended_ms=10)
    whole = a_run(tags={"hw.energy_j": "90"}, started_ms=0, ended_ms=9000)
    other = a_run(tags={"hw.energy_j": "80"}, started_ms=0, ended_ms=8000)

    energy = row("energy_j", [broken, whole, other])
    duration = row("duration_s", [broken, whole, other])

    assert (energy.values, energy.best, energy.unit) == ((1.0, 90.0, 80.0), 2, "J")
    assert (duration.values, duration.best, duration.unit) == ((0.01, 9.0, 8.0), 2, "s")


@pytest.mark.parametrize("name", ["peak_memory_gb", "peak_heat_level"])
def test_a_run_that_broke_off_has_not_met_its_peak(name: str) -> None:
    broken = a_run(status="FAILED", tags={f"hw.{name}": "1"})
    runs = [broken, a_run(tags={f"hw.{name}": "3"}), a_run(tags={f"hw.{name}": "2"})]

    assert row(name, runs).best == 2


def test_everything_that_any_run_says_has_a_row() -> None:
    first = a_run(
        params={"lr": "0.1"},
        metrics={"loss": 1.0, "system/gpu": 5.0},
        tags={
            "mlops.system.chip": "M4",
            "mlops.technique": "lora",
            "mlops.dataset.weather": "3@abc",
            "mlflow.user": "me",
            "team": "sky",
        },
        inputs=(Dataset("frame", None, "f00"),),
    )
    second = a_run(params={"lr": "0.1", "depth": "3"})

    rows = {(it.kind, it.name): it for it in compare([first, second], [{}, {}])}

    assert set(rows) == {
        ("metric", "loss"),
        ("param", "lr"),
        ("param", "depth"),
        ("dataset", "weather"),
        ("dataset", "frame"),
        ("system", "chip"),
        ("tag", "technique"),
        ("tag", "team"),
    }
    assert rows["dataset", "weather"].values == ("3@abc", None)
    assert rows["dataset", "frame"].values == ("@f00", None)
    assert rows["param", "lr"].same
    assert not rows["param", "depth"].same


# Techniques


def tried(technique: str, chip: str = "M4", **about: Any) -> RunRecord:
    tags = {"mlops.technique": technique, "mlops.system.chip": chip}
    measured = {
        f"hw.{name}": str(about.pop(name))
        for name in ("energy_j", "peak_memory_gb", "peak_heat_level")
        if name in about
    }
    return a_run(tags={**tags, **measured}, **about)


def only(runs: list[RunRecord], metric: str | None = None, goal: str | None = None) -> Chip:
    (chip,) = summarise(runs, metric, goal)
    return chip


def test_the_best_technique_of_a_chip_is_told_by_medians() -> None:
    runs = [
        tried("lora", energy_j=10, peak_memory_gb=4, metrics={"tokens_per_second": 90.0}),
        tried("lora", energy_j=30, peak_memory_gb=4, metrics={"tokens_per_second": 110.0}),
        tried("lora", energy_j=999, peak_memory_gb=4),
        tried("full", energy_j=40, peak_memory_gb=3, metrics={"tokens_per_second": 50.0}),
    ]

    chip = only(runs)

    full, lora = chip.techniques
    assert (lora.technique, lora.runs, lora.energy_j_median) == ("lora", 3, 30.0)
    assert (full.throughput_median, lora.throughput_median) == (50.0, 100.0)
    assert chip.best == {
        "throughput": "lora",
        "energy": "lora",
        "memory": "full",
        "heat": None,
        "metric": None,
    }


def test_runs_without_energy_are_not_best_in_energy() -> None:
    chip = only([tried("lora"), tried("full", energy_j=40), tried("int8", energy_j=50)])

    assert chip.best["energy"] == "full"
    assert only([tried("lora"), tried("full", energy_j=40)]).best["energy"] is None


def test_a_tie_has_no_best() -> None:
    chip = only([tried("lora", peak_heat_level=1), tried("full", peak_heat_level=1)])

    assert chip.best["heat"] is None
    assert [it.peak_heat_level_max for it in chip.techniques] == [1.0, 1.0]


def test_only_finished_runs_with_a_technique_count() -> None:
    unfinished = tried("full", status="FAILED", energy_j=1)

    assert only([tried("lora", energy_j=9), unfinished, a_run()]).techniques[0].technique == "lora"
    assert summarise([unfinished, a_run()]) == []


def test_chips_are_told_apart() -> None:
    found = summarise(
        [tried("lora", "M1"), tried("lora", "M4"), a_run(tags={"mlops.technique": "x"})]
    )

    assert [chip.chip for chip in found] == ["M1", "M4", "unknown"]


def test_tokens_and_samples_are_no_common_measure() -> None:
    runs = [
        tried("lora", metrics={"tokens_per_second": 9.0}),
        tried("lora", metrics={"tokens_per_second": 8.0}),
        tried("full", metrics={"samples_per_second": 900.0}),
    ]

    chip = only(runs)

    assert chip.throughput_metric == "tokens_per_second"
    assert [it.throughput_median for it in chip.techniques] == [None, 8.5]
    assert chip.best["throughput"] is None


@pytest.mark.parametrize(("goal", "best"), [("max", "lora"), ("min", "full"), (None, None)])
def test_the_metric_is_judged_by_its_goal(goal: str | None, best: str | None) -> None:
    runs = [
        tried("lora", metrics={"score": 0.9}, project="rain"),
        tried("full", metrics={"score": 0.8}, project="snow"),
    ]

    chip = only(runs, "score", goal)

    assert chip.best["metric"] == best
    assert chip.techniques[1].projects == ("rain",)
