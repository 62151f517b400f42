# SPDX-License-Identifier: Apache-2.0
"""What tracking answers on the bus, and how it refuses what cannot be asked."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import timedelta
from typing import Any

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import RejectedError
from mlops.contracts.settings import EvaluateSettings, Goal
from mlops.tracking.adapters.memory_reading import MemoryReadings
from mlops.tracking.adapters.packages import RememberedPackages
from mlops.tracking.app import wire_queries
from mlops.tracking.handlers.projects import TrackedProject
from mlops.tracking.model.facts import Package
from mlops.tracking.model.records import ModelRecord, Point, RunRecord, VersionRecord

MOST = 900_000


class Desk:
    """Tracking's questions on a memory bus."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.memory = MemoryReadings()
        wire_queries(self.bus, self.memory, self.memory, self.memory)

    async def ask(self, verb: str, **question: Any) -> dict[str, Any]:
        answer = await self.bus.ask("tracking", verb, question)
        assert len(json.dumps(answer)) < MOST
        return answer

    def run(self, run_id: str, **about: Any) -> None:
        given = {"project": "rain", "status": "FINISHED", "started_ms": 1000, **about}
        self.memory.records.append(RunRecord(run_id, **given))

    async def project(self, name: str, metric: str, goal: str) -> None:
        settings = EvaluateSettings(metric=metric, goal=Goal(goal))
        documents = self.bus.documents("tracking_projects", TrackedProject)
        await documents.change(name, lambda _: TrackedProject(evaluate=settings), applied=name)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_runs_say_what_lists_show(desk: Desk) -> None:
    desk.run(
        "a",
        name="first",
        ended_ms=3500,
        params={"lr": "0.1"},
        metrics={"loss": 0.5, "odd": float("nan"), "tokens_per_second": 9.0},
        tags={
            "mlops.technique": "lora",
            "mlops.system.chip": "M4",
            "mlops.dataset.weather": "3@abc",
            "mlops.git.commit": "f00",
            "mlflow.user": "me",
            "hw.energy_j": "12.5",
            "hw.peak_memory_gb": "much",
        },
        models=(("rain", 4),),
    )

    answer = await desk.ask("runs")

    assert answer == {
        "runs": [
            {
                "run_id": "a",
                "project": "rain",
                "name": "first",
                "status": "FINISHED",
                "user": "me",
                "started_at": "1970-01-01T00:00:01+00:00",
                "ended_at": "1970-01-01T00:00:03.500000+00:00",
                "duration_s": 2.5,
                "technique": "lora",
                "chip": "M4",
                "datasets": [{"name": "weather", "version": 3, "hash": "abc"}],
                "source_commit": "f00",
                "metrics": {"tokens_per_second": 9.0, "loss": 0.5, "odd": None},
                "params": {"lr": "0.1"},
                "hardware": {
                    "energy_j": 12.5,
                    "machine_energy_j": 12.5,
                    "mean_power_w": None,
                    "peak_memory_gb": None,
                    "peak_heat_level": None,
                    "throttled_s": None,
                },
                "throughput": {"tokens_per_second": 9.0},
                "models": [{"name": "rain", "version": 4}],
            }
        ],
        "left_out": 0,
    }


async def test_what_the_web_sends_is_text(desk: Desk) -> None:
    for number in range(3):
        desk.run(f"r{number}", started_ms=number)

    answer = await desk.ask("runs", limit="2", project="", status="FINISHED")

    assert [run["run_id"] for run in answer["runs"]] == ["r2", "r1"]


async def test_a_run_says_more_on_its_own_page(desk: Desk) -> None:
    tags = {"mlops.system.chip": "M4", "mlflow.user": "me", "own": "yes"}
    desk.run("a", tags=tags, artifact_uri="mlflow-artifacts:/a", experiment_id="7")

    run = (await desk.ask("run", run_id="a"))["run"]

    assert run["tags"] == {"mlops.system.chip": "M4", "own": "yes"}
    assert run["system"] == {"chip": "M4"}
    assert (run["artifact_uri"], run["experiment_id"]) == ("mlflow-artifacts:/a", "7")


@pytest.mark.parametrize(
    ("verb", "question", "says"),
    [
        ("runs", {"limit": 0}, "limit must be a whole number from 1 to 200, not 0"),
        ("runs", {"limit": "many"}, "not 'many'"),
        ("runs", {"limit": True}, "not True"),
        ("runs", {"status": "DONE"}, "must be one of RUNNING, SCHEDULED, FINISHED, FAILED, KILLED"),
        (
            "runs",
            {"chips": "M4"},
            "unknown 'chips'; it takes project, status, limit, technique, chip",
        ),
        ("runs", {"project": "snow"}, "no project 'snow' in tracking; there are default, rain"),
        ("runs", {"technique": ["lora"]}, "technique must be a text"),
        ("run", {}, "which run_id? Ask with {run_id}"),
        ("run", {"run_id": "b"}, "no run 'b'; the newest are a"),
        ("points", {"run_id": "b"}, "no run 'b'"),
        ("points", {"run_id": "a", "since_ms": -1}, "since_ms must be a whole number from 0"),
        (
            "compare",
            {"runs": "a"},
            "must be 2 to 20 different names with commas between them, not 1",
        ),
        ("compare", {"runs": "a, a"}, "not 1"),
        ("compare", {"runs": "a,b"}, "no run 'b'"),
        ("compare", {"runs": {"a": 1}}, "must be names with commas"),
        ("techniques", {"project": "snow"}, "no project 'snow'"),
        ("models", {"tag": "team"}, "tag must be written key=value, not 'team'"),
        ("models", {"compatible": "cuda"}, "must be one of mlx, mps, coreml, not 'cuda'"),
        ("models", {"project": "snow"}, "no project 'snow'"),
        ("model", {"name": "rain"}, "which project? Ask with {project, name}"),
        ("model", {"project": "rain", "name": "x"}, "project 'rain' has no model 'x'; it has rain"),
        ("model", {"project": "snow", "name": "x"}, "no project 'snow'"),
    ],
)
async def test_a_wrong_question_is_refused_with_the_fix(
    desk: Desk, verb: str, question: dict[str, Any], says: str
) -> None:
    desk.run("a")
    desk.memory.shelf.append(ModelRecord("rain", "rain"))

    with pytest.raises(RejectedError) as refused:
        await desk.ask(verb, **question)

    assert says in str(refused.value)


async def test_too_many_runs_for_one_answer_are_counted(desk: Desk) -> None:
    params = {f"param {number}": "x" * 250 for number in range(50)}
    for number in range(200):
        desk.run(f"r{number:03}", params=params)

    answer = await desk.ask("runs", limit=200)

    assert len(answer["runs"]) + answer["left_out"] == 200
    assert answer["left_out"] > 0
    assert answer["runs"][0]["run_id"] == "r000"


async def test_points_go_on_where_the_last_page_ended(desk: Desk) -> None:
    desk.run("a", status="RUNNING")
    desk.memory.logged["a"] = [Point("loss", 9.0 - at, at * 1000, at) for at in range(1, 5)]

    first = await desk.ask("points", run_id="a", limit=3)
    second = await desk.ask("points", run_id="a", since_ms=first["next_ms"])
    third = await desk.ask("points", run_id="a", since_ms=second["next_ms"])

    assert first["points"][0] == ["loss", 8.0, 1000, 1]
    assert (len(first["points"]), first["next_ms"], first["more"]) == (3, 3000, True)
    assert second["points"] == [["loss", 5.0, 4000, 4]]
    assert (third["points"], third["next_ms"], third["status"]) == ([], 4000, "RUNNING")


async def test_a_page_of_long_names_ends_between_two_moments(desk: Desk) -> None:
    desk.run("a")
    names = ["n" * 240 + f"{number:04}" for number in range(4000)]
    desk.memory.logged["a"] = [Point(name, 1.0, 1 + at // 1000, 0) for at, name in enumerate(names)]

    first = await desk.ask("points", run_id="a", limit=4000)
    second = await desk.ask("points", run_id="a", limit=4000, since_ms=first["next_ms"])

    told = [*first["points"], *second["points"]]
    assert first["more"]
    assert [point[0] for point in told] == names


async def test_runs_of_two_projects_are_compared(desk: Desk) -> None:
    await desk.project("rain", "accuracy", "max")
    desk.run("a", metrics={"accuracy": 0.5}, tags={"hw.energy_j": "5"})
    desk.run("b", metrics={"accuracy": 0.7}, tags={"hw.energy_j": "9"}, project="snow")

    answer = await desk.ask("compare", runs="b,a")

    rows = {row["name"]: row for row in answer["rows"]}
    assert [run["run_id"] for run in answer["runs"]] == ["b", "a"]
    assert rows["accuracy"] == {
        "name": "accuracy",
        "kind": "metric",
        "unit": "",
        "values": [0.7, 0.5],
        "best": 0,
        "same": False,
    }
    assert (rows["energy_j"]["best"], rows["energy_j"]["unit"]) == (1, "J")


async def test_a_large_comparison_fits(desk: Desk) -> None:
    params = {"p" * 240 + str(number): "x" * 250 for number in range(50)}
    for number in range(20):
        desk.run(f"r{number}", params=params, metrics={"loss": float(number)})

    answer = await desk.ask("compare", runs=",".join(f"r{number}" for number in range(20)))

    assert len(answer["runs"]) == 20
    assert answer["rows"][0]["best"] == 0


async def test_the_best_technique_is_told_per_chip(desk: Desk) -> None:
    await desk.project("rain", "accuracy", "max")
    for technique, accuracy in (("lora", 0.9), ("full", 0.8)):
        tags = {"mlops.technique": technique, "mlops.system.chip": "M4"}
        desk.run(technique, tags=tags, metrics={"accuracy": accuracy})
    desk.run("else", tags={"mlops.technique": "x", "mlops.system.chip": "M1"})

    answer = await desk.ask("techniques", project="rain", chip="M4")

    (chip,) = answer["chips"]
    assert (answer["metric"], answer["goal"]) == ("accuracy", "max")
    assert chip["best"]["metric"] == "lora"
    assert [it["technique"] for it in chip["techniques"]] == ["full", "lora"]
    assert chip["techniques"][1]["projects"] == ["rain"]


async def test_models_of_all_projects_are_told(desk: Desk) -> None:
    sources = {1: "one", 2: "two"}
    aliases = {"champion": 1, "challenger": 2}
    desk.memory.shelf.append(
        ModelRecord("rain", "rain", 2, aliases, {"team": "sky"}, 2000, sources)
    )
    desk.memory.shelf.append(ModelRecord("snow", "depth", 1, {}, {}, 1000, {1: "three"}))

    answer = await desk.ask("models")

    assert [(it["project"], it["name"]) for it in answer["models"]] == [
        ("rain", "rain"),
        ("snow", "depth"),
    ]
    assert answer["models"][0] == {
        "project": "rain",
        "name": "rain",
        "latest": 2,
        "champion": 1,
        "challenger": 2,
        "tags": {"team": "sky"},
        "apple_compatibility": {},
        "updated_at": "1970-01-01T00:00:02+00:00",
    }


async def test_models_are_chosen_by_what_they_run_on(desk: Desk) -> None:
    labels = {1: {"mlops.project": "rain", "mlops.apple.mlx": "yes", "mlops.apple.mps": "no: fp64"}}
    desk.memory.shelf += [
        ModelRecord("rain", "labelled", 1, {}, {}, 3, {1: "one"}, labels),
        ModelRecord("rain", "from-files", 1, {}, {}, 2, {1: "two"}),
        ModelRecord("rain", "nothing-known", 1, {}, {}, 1, {1: "three"}),
    ]
    desk.memory.packages["rain", "one"] = Package(apple={"mps": "yes"})
    desk.memory.packages["rain", "two"] = Package(apple={"mps": "yes", "mlx": "unknown: no file"})

    by_mlx = await desk.ask("models", compatible="mlx")
    by_mps = await desk.ask("models", compatible="mps")

    assert [it["name"] for it in by_mlx["models"]] == ["labelled"]
    assert by_mlx["models"][0]["apple_compatibility"] == {"mlx": "yes", "mps": "no: fp64"}
    assert [it["name"] for it in by_mps["models"]] == ["from-files"]


async def test_a_model_is_told_with_its_versions(desk: Desk) -> None:
    gate = {
        "mlops.gate.decision": "promoted",
        "mlops.gate.reason": "better",
        "mlops.gate.metric": "accuracy",
        "mlops.gate.candidate": "0.75",
        "mlops.gate.champion": "edited",
        "mlops.gate.champion_version": "1",
    }
    version = VersionRecord(2, "r", 1000, "READY", "two", {**gate, "own": "x"}, {"accuracy": 0.75})
    desk.memory.shelf.append(ModelRecord("rain", "rain", 2, {"champion": 2}, {}, 1, {2: "two"}))
    desk.memory.by_model["rain", "rain"] = [version]
    desk.memory.packages["rain", "two"] = Package(("sklearn",), 7)

    model = (await desk.ask("model", project="rain", name="rain"))["model"]

    assert model["versions"] == [
        {
            "version": 2,
            "run_id": "r",
            "aliases": ["champion"],
            "created_at": "1970-01-01T00:00:01+00:00",
            "status": "READY",
            "flavors": ["sklearn"],
            "size_bytes": 7,
            "metrics": {"accuracy": 0.75},
            "gate": {
                "decision": "promoted",
                "reason": "better",
                "metric": "accuracy",
                "candidate": 0.75,
                "champion": None,
                "champion_version": 1,
            },
            "apple_compatibility": {},
            "tags": {"own": "x"},
        }
    ]
    assert (model["champion"], model["left_out"]) == (2, 0)


async def test_files_that_are_slow_to_read_are_known_next_time() -> None:
    go_on = threading.Event()

    def read(project: str, source_uri: str) -> Package:
        go_on.wait(30)
        return Package((project, source_uri))

    packages = RememberedPackages(read, timedelta(seconds=0.05))
    before = await packages.of([("rain", "one"), ("rain", "one")])
    go_on.set()
    async with asyncio.timeout(10):
        while not (after := await packages.of([("rain", "one")])):
            await asyncio.sleep(0.01)
    await packages.close()

    assert before == {}
    assert after == {("rain", "one"): Package(("rain", "one"))}


async def test_what_no_database_takes_as_text_is_refused(desk: Desk) -> None:
    text = "a\0b"

    with pytest.raises(RejectedError, match="query runs: project must be a text"):
        await desk.ask("runs", project=text)
    with pytest.raises(RejectedError, match="query compare: runs must be names"):
        await desk.ask("compare", runs=f"a,{text}")
