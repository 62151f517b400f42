# SPDX-License-Identifier: Apache-2.0
"""The promises of Readings and Shelf, each held by the memory fake and by MLflow's tables on SQLite and PostgreSQL."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from mlops.tracking.model.facts import Dataset
from mlops.tracking.model.records import ModelRecord, Point, RunRecord, VersionRecord, Wanted
from servers.readings import Lab, MemoryLab, SqlLab, tables_at

pytestmark = [
    pytest.mark.timeout(120),
    # MLflow's own classes, when they are first used.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]


def engine_of(request: pytest.FixtureRequest, kind: str, folder: Path) -> sa.Engine:
    if kind == "postgres":
        server = request.getfixturevalue("postgres")
        return tables_at(server.database(f"readings_{uuid.uuid4().hex[:12]}"))
    return tables_at(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture(
    params=[
        "memory",
        pytest.param("sqlite", marks=pytest.mark.mlflow),
        pytest.param("postgres", marks=[pytest.mark.mlflow, pytest.mark.server]),
    ]
)
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    if request.param == "memory":
        yield MemoryLab()
        return
    engine = engine_of(request, request.param, tmp_path)
    yield SqlLab(engine)
    engine.dispose()


def a_run(run_id: str, **about: Any) -> RunRecord:
    given = {"project": "rain", "experiment_id": "7", "status": "FINISHED", "started_ms": 1000}
    return RunRecord(run_id, **{**given, **about})


async def ids(lab: Lab, **wanted: Any) -> list[str]:
    return [record.run_id for record in await lab.readings.runs(Wanted(**wanted))]


# Runs


async def test_a_run_is_read_as_it_was_written(lab: Lab) -> None:
    written = a_run(
        "a",
        name="first",
        user="me",
        ended_ms=3000,
        artifact_uri="mlflow-artifacts:/a",
        params={"lr": "0.1"},
        metrics={"loss": 0.5},
        tags={"mlops.technique": "lora", "own": "yes"},
        inputs=(Dataset("frame", None, "abc"),),
    )

    lab.run(written)

    assert await lab.readings.runs(Wanted()) == [written]
    assert await lab.readings.some(["a"]) == [written]


async def test_the_newest_come_first_and_no_more_than_asked(lab: Lab) -> None:
    lab.run(a_run("old", started_ms=1000))
    lab.run(a_run("new", started_ms=3000))
    lab.run(a_run("oldest", started_ms=0))
    lab.run(a_run("middle", started_ms=2000))

    assert await ids(lab) == ["new", "middle", "old", "oldest"]
    assert await ids(lab, limit=2) == ["new", "middle"]


async def test_runs_are_chosen_by_project_status_and_tags(lab: Lab) -> None:
    lora = {"mlops.technique": "lora", "mlops.system.chip": "M4"}
    lab.run(a_run("a", tags=lora))
    lab.run(a_run("b", tags={**lora, "mlops.system.chip": "M1"}, status="FAILED"))
    lab.run(a_run("c", project="snow", experiment_id="8"))

    assert await ids(lab, project="snow") == ["c"]
    assert await ids(lab, status="FAILED") == ["b"]
    assert await ids(lab, tags={"mlops.technique": "lora"}) == ["a", "b"]
    assert await ids(lab, tags=lora) == ["a"]
    assert await ids(lab, tags={"mlops.system.chip": None}) == ["a", "b"]
    assert await ids(lab, project="nowhere") == []


async def test_deleted_runs_are_not_listed_but_found_by_id(lab: Lab) -> None:
    lab.run(a_run("a"))
    lab.run(a_run("b"))

    lab.delete("a")

    assert await ids(lab) == ["b"]
    assert [record.run_id for record in await lab.readings.some(["a", "zero", "b"])] == ["a", "b"]


async def test_what_is_too_much_is_cut_and_counted(lab: Lab) -> None:
    params = {f"p{number:03}": "x" * 500 for number in range(60)}
    metrics = {f"m{number:03}": 1.0 for number in range(70)}
    tags = {f"t{number:03}": "y" for number in range(300)}
    wanted = {"samples_per_second": 9.0, "z": 2.0, "system/gpu": 3.0}
    ours = {"mlops.technique": "lora", "mlflow.source.name": "train.py", "mlflow.user": "me"}
    lab.run(a_run("a", params=params, metrics={**metrics, **wanted}, tags={**tags, **ours}))

    (found,) = await lab.readings.runs(Wanted(), first=["z"])

    assert (len(found.params), found.more_params) == (50, 10)
    assert (len(found.metrics), found.more_metrics) == (50, 22)
    assert found.metrics["z"] == 2.0
    assert found.throughput == {"samples_per_second": 9.0}
    assert "system/gpu" not in found.metrics
    assert set(found.params.values()) == {"x" * 250}
    assert len(found.tags) == 200
    assert (found.technique, found.tags["mlflow.user"]) == ("lora", "me")
    assert "mlflow.source.name" not in found.tags


async def test_a_value_that_is_no_number_stays_one(lab: Lab) -> None:
    lab.run(a_run("a", metrics={"loss": float("nan")}))

    (found,) = await lab.readings.some(["a"])

    assert math.isnan(found.metrics["loss"])


async def test_capitals_make_another_name(lab: Lab) -> None:
    lab.run(a_run("a", metrics={"System/loss": 1.0, "system/gpu": 2.0}, tags={"MLflow.own": "yes"}))

    (found,) = await lab.readings.runs(Wanted())
    (sample,) = await lab.readings.samples(Wanted(), [])

    assert (found.metrics, found.tags) == ({"System/loss": 1.0}, {"MLflow.own": "yes"})
    assert sample.tags == {}


async def test_samples_hold_what_was_asked_for_only(lab: Lab) -> None:
    tags = {"mlops.technique": "lora", "hw.energy_j": "5", "own": "no"}
    lab.run(a_run("a", tags=tags, metrics={"loss": 1.0, "accuracy": 0.5}, params={"lr": "1"}))

    (found,) = await lab.readings.samples(Wanted(), ["accuracy"])

    assert found.metrics == {"accuracy": 0.5}
    assert found.tags == {"mlops.technique": "lora", "hw.energy_j": "5"}
    assert (found.run_id, found.project, found.params) == ("a", "rain", {})


async def test_projects_are_all_workspaces(lab: Lab) -> None:
    lab.run(a_run("a"))

    assert await lab.readings.projects() == ["default", "rain"]


# Points


async def test_points_come_oldest_first_after_a_moment(lab: Lab) -> None:
    lab.run(a_run("a"))
    first, second = Point("loss", 2.0, 1000, 0), Point("loss", 1.0, 2000, 1)
    lab.log("a", [second, first, Point("system/gpu", 9.0, 3000, 0)])

    assert await lab.readings.points("a", 0, 2) == [first, second]
    assert await lab.readings.points("a", 1000, 1) == [second]
    assert [it.name for it in await lab.readings.points("a", 2000, 9)] == ["system/gpu"]
    assert await lab.readings.points("b", 0, 9) == []


async def test_points_of_one_moment_are_never_parted(lab: Lab) -> None:
    lab.run(a_run("a"))
    lab.log("a", [Point(name, 1.0, 2000, 0) for name in "vwxyz"] + [Point("a", 1.0, 1000, 0)])

    found = await lab.readings.points("a", 0, 3)

    assert [point.name for point in found] == ["a", *"vwxyz"]
    assert await lab.readings.points("a", found[-1].at_ms, 3) == []


# Models


async def test_models_of_all_projects_the_last_changed_first(lab: Lab) -> None:
    labels = {"mlops.project": "rain", "mlops.apple.mlx": "yes"}
    versions = [
        VersionRecord(1, source_uri="one", tags={**labels, "own": "x"}),
        VersionRecord(2, source_uri="two"),
    ]
    sources = {1: "one", 2: "two"}
    rain = ModelRecord(
        "rain", "rain", 2, {"champion": 1}, {"team": "sky"}, 2000, sources, {1: labels}
    )
    lab.model(rain, versions)
    lab.model(
        ModelRecord("snow", "rain", 1, {}, {}, 3000, {1: "x"}), [VersionRecord(1, source_uri="x")]
    )
    lab.model(ModelRecord("snow", "empty", updated_ms=1000))

    found = await lab.shelf.models()

    assert [(it.project, it.name) for it in found] == [
        ("snow", "rain"),
        ("rain", "rain"),
        ("snow", "empty"),
    ]
    assert found[1] == rain
    assert await lab.shelf.models("rain") == [rain]
    assert [it.project for it in await lab.shelf.models(name="rain", limit=1)] == ["snow"]
    assert await lab.shelf.models(tag=("team", "sky")) == [rain]
    assert await lab.shelf.models(tag=("team", "sea")) == []


async def test_versions_come_newest_first_with_their_runs_metrics(lab: Lab) -> None:
    metrics = {"accuracy": 0.5}
    lab.run(a_run("r", metrics=metrics))
    first = VersionRecord(1, None, 1000, "READY", "s3://one")
    second = VersionRecord(
        2, "r", 2000, "READY", "s3://two", {"mlops.gate.decision": "promoted"}, metrics
    )
    lab.model(ModelRecord("rain", "rain", updated_ms=1), [first, second])

    assert await lab.shelf.versions("rain", "rain", 5) == [second, first]
    assert await lab.shelf.versions("rain", "rain", 1) == [second]
    assert await lab.shelf.versions("snow", "rain", 5) == []


async def test_a_run_knows_the_models_registered_from_it(lab: Lab) -> None:
    run = a_run("r", models=(("rain", 2), ("rain", 1)))
    lab.run(run)
    lab.model(
        ModelRecord("rain", "rain", updated_ms=1), [VersionRecord(1, "r"), VersionRecord(2, "r")]
    )

    assert (await lab.readings.some(["r"]))[0].models == run.models


@pytest.mark.mlflow
async def test_one_version_with_many_tags_takes_no_room_of_others(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    engine = engine_of(request, "sqlite", tmp_path)
    lab = SqlLab(engine)
    many = {f"t{number:03}": "x" for number in range(250)}
    first = VersionRecord(1, source_uri="a", tags={"z": "y"})
    second = VersionRecord(2, source_uri="b", tags={**many, "mlops.project": "rain"})
    lab.model(ModelRecord("rain", "rain", updated_ms=1), [first, second])

    two, one = await lab.shelf.versions("rain", "rain", 5)

    assert (len(two.tags), two.tags["mlops.project"]) == (100, "rain")
    assert one.tags == {"z": "y"}
    engine.dispose()


@pytest.mark.mlflow
async def test_prompts_are_no_models(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    engine = engine_of(request, "sqlite", tmp_path)
    lab = SqlLab(engine)
    lab.model(ModelRecord("rain", "ask", tags={"mlflow.prompt.is_prompt": "true"}, updated_ms=1))

    assert await lab.shelf.models() == []
    engine.dispose()
