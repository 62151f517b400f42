# SPDX-License-Identifier: Apache-2.0
"""What lineage says of runs and workflows, as events of OpenLineage made by its own library."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openlineage.client.serde import Serde

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.examples import full
from mlops.contracts.message import Message
from mlops.contracts.orchestration_bridge import (
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowQueued,
    WorkflowStarted,
)
from mlops.contracts.tracking import ModelRegistered, RunCompleted, RunFailed, RunStale, RunStarted
from mlops.tracking.adapters.memory import MemoryTracking
from mlops.tracking.adapters.openlineage import open_sink
from mlops.tracking.adapters.openlineage_worker import event
from mlops.tracking.app import wire_lineage
from mlops.tracking.handlers.lineage import Lineage
from mlops.tracking.model import lineage
from mlops.tracking.model.lineage import Telling

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
COMMIT = "9f2c1b7a6d5e4f30817263544536271809aabbcc"


@dataclass
class Told:
    """Keeps what it is told."""

    tellings: list[Telling] = field(default_factory=list)

    async def tell(self, telling: Telling) -> None:
        self.tellings.append(telling)

    async def close(self) -> None: ...


class World:
    def __init__(self) -> None:
        self.bus, self.sink, self.tracking = MemoryBus(), Told(), MemoryTracking()
        wire_lineage(self.bus, Lineage(self.sink, self.tracking, self.tracking))

    async def say(self, message: Message) -> dict[str, Any]:
        """Publish a message and return the event that follows, as it is sent."""
        known = len(self.sink.tellings)
        await self.bus.publish(message)
        await self.bus.settle()
        assert self.bus.dead == []
        (telling,) = self.sink.tellings[known:]
        return as_sent(telling)


def as_sent(telling: Telling) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Serde.to_json(event(spoken(telling))))
    return found


def spoken(telling: Telling) -> Mapping[str, Any]:
    times = {name: getattr(telling, name) for name in ("at", "began", "ended")}
    return {**asdict(telling), **{k: v.isoformat() if v else None for k, v in times.items()}}


@pytest.fixture
def world() -> World:
    return World()


def told(kind: type[Message], **fields: Any) -> Any:
    return full(kind).model_copy(update=fields)


async def test_a_run_begins_with_its_code_its_data_its_params_and_its_workflow(
    world: World,
) -> None:
    tags = {"mlops.workflow_key": "rain-7", "mlops.workflow_kind": "retrain"}
    begun = told(RunStarted, started_at=AT, source_commit=COMMIT, tags=tags, user="ada")

    sent = await world.say(begun)

    assert (sent["eventType"], sent["eventTime"]) == ("START", AT.isoformat())
    assert sent["run"]["runId"] == lineage.run_uuid("rainfall", begun.run_id)
    job, run = sent["job"], sent["run"]["facets"]
    assert (job["namespace"], job["name"]) == ("rainfall", begun.experiment_name)
    assert job["facets"]["sourceCodeLocation"]["url"] == f"swh:1:rev:{COMMIT}"
    assert job["facets"]["sourceCodeLocation"]["version"] == COMMIT
    assert job["facets"]["ownership"]["owners"] == [{"name": "user:ada"}]
    assert job["facets"]["jobType"]["jobType"] == "RUN"
    assert begun.experiment_name in job["facets"]["documentation"]["description"]
    assert run["nominalTime"]["nominalStartTime"] == AT.isoformat()
    assert run["processing_engine"]["name"] == "mlflow"
    parameters = {one["key"]: one["value"] for one in run["executionParameters"]["parameters"]}
    assert parameters == begun.params
    assert run["parent"]["run"]["runId"] == lineage.workflow_uuid("rainfall", "rain-7")
    assert run["parent"]["job"]["name"] == "workflow.retrain"
    assert {one["key"]: one["value"] for one in run["tags"]["tags"]}[
        "mlflow.run_id"
    ] == begun.run_id
    first, wanted = sent["inputs"][0], begun.datasets[0]
    assert first["name"] == f"data/{wanted.name}"
    assert first["facets"]["version"]["datasetVersion"] == f"{wanted.version}@{wanted.hash}"


async def test_a_run_completes_with_what_it_made_and_how_well(world: World) -> None:
    run_id = world.tracking.start_run("rainfall")
    world.tracking.register("rainfall", "rain", run_id)
    ended = told(RunCompleted, run_id=run_id, ended_at=AT, metrics={"accuracy": 0.75})

    sent = await world.say(ended)

    assert (sent["eventType"], sent["eventTime"]) == ("COMPLETE", AT.isoformat())
    (made,) = sent["outputs"]
    assert (made["namespace"], made["name"]) == ("rainfall", "models/rain")
    assert made["facets"]["version"]["datasetVersion"] == "1"
    assert made["facets"]["datasetType"]["datasetType"] == "MODEL"
    assert sent["run"]["facets"]["nominalTime"]["nominalEndTime"] == AT.isoformat()
    tags = {one["key"]: one["value"] for one in sent["run"]["facets"]["tags"]["tags"]}
    assert tags["metric.accuracy"] == "0.75"


@pytest.mark.parametrize(
    ("message", "phase", "error"),
    [
        (told(RunFailed, status="FAILED", reason=""), "FAIL", "the run ended with status FAILED"),
        (told(RunFailed, status="KILLED", reason=""), "ABORT", "the run ended with status KILLED"),
        (told(RunFailed, status="KILLED", reason="its workflow"), "ABORT", "its workflow"),
        (told(RunStale, reason=""), "ABORT", "the run gave no more signs of life"),
    ],
)
async def test_a_run_that_does_not_complete_says_why(
    world: World, message: Message, phase: str, error: str
) -> None:
    sent = await world.say(message)

    assert sent["eventType"] == phase
    assert sent["run"]["facets"]["errorMessage"]["message"] == error


async def test_a_run_that_is_opened_again_runs_on_under_its_id(world: World) -> None:
    begun = await world.say(told(RunStarted, started_at=AT, resumed=False))

    again = await world.say(
        told(RunStarted, id="again", started_at=AT, resumed=True, time=AT + timedelta(hours=1))
    )

    assert again["eventType"] == "RUNNING"
    assert again["eventTime"] == (AT + timedelta(hours=1)).isoformat()
    assert again["run"]["runId"] == begun["run"]["runId"]


async def test_a_registered_model_is_an_output_of_its_run(world: World) -> None:
    run_id = world.tracking.start_run("rainfall")
    registered = told(ModelRegistered, run_id=run_id)

    sent = await world.say(registered)

    assert sent["eventType"] == "OTHER"
    assert sent["job"]["name"] == "rainfall"  # the experiment, as MLflow knows it
    assert sent["run"]["runId"] == lineage.run_uuid("rainfall", run_id)
    (made,) = sent["outputs"]
    assert made["facets"]["dataSource"]["uri"] == registered.source_uri
    assert made["facets"]["version"]["datasetVersion"] == str(registered.version)


async def test_a_model_that_came_from_no_run_has_no_lineage(world: World) -> None:
    await world.bus.publish(told(ModelRegistered, run_id=None))
    await world.bus.settle()

    assert world.sink.tellings == []
    assert world.bus.dead == []


async def test_a_workflow_from_queue_to_end_is_one_run_of_one_job(world: World) -> None:
    started, moved = told(WorkflowStarted, attempt=1), told(WorkflowStarted, attempt=2, id="again")
    said = (told(WorkflowQueued), started, moved, told(WorkflowCompleted))
    sent = [await world.say(message) for message in said]

    assert [one["eventType"] for one in sent] == ["OTHER", "START", "RUNNING", "COMPLETE"]
    assert len({one["run"]["runId"] for one in sent}) == 1
    assert {one["job"]["name"] for one in sent} == {"workflow.retrain"}
    why = {one["key"]: one["value"] for one in sent[0]["run"]["facets"]["tags"]["tags"]}
    assert why["mlops.why"] == "accuracy 0.66 is below 0.69"
    times = sent[3]["run"]["facets"]["nominalTime"]
    took = [datetime.fromisoformat(times[f"nominal{name}Time"]) for name in ("Start", "End")]
    assert took[1] - took[0] == timedelta(seconds=48.25)


async def test_a_failed_workflow_names_the_step_and_keeps_the_diagnosis(world: World) -> None:
    diagnosis = "Traceback\n  train.py, line 3\nModuleNotFoundError: No module named 'sklearn'"

    sent = await world.say(told(WorkflowFailed, step="train", diagnosis=diagnosis))

    error = sent["run"]["facets"]["errorMessage"]
    assert sent["eventType"] == "FAIL"
    assert error["message"] == "train: ModuleNotFoundError: No module named 'sklearn'"
    assert error["stackTrace"] == diagnosis


async def test_a_cancelled_workflow_is_aborted(world: World) -> None:
    sent = await world.say(told(WorkflowCancelled, reason="not needed"))

    assert sent["eventType"] == "ABORT"
    assert sent["run"]["facets"]["errorMessage"]["message"] == "not needed"


async def test_the_same_message_again_is_the_same_event(world: World) -> None:
    kinds = (RunStarted, RunFailed, RunStale, ModelRegistered, WorkflowQueued, WorkflowFailed)
    for kind in kinds:
        message = told(kind)
        first = await world.say(message)
        known = len(world.sink.tellings)
        await world.bus.publish_bytes(message.subject, message.encode(), "again-" + message.type)
        await world.bus.settle()

        assert as_sent(world.sink.tellings[known]) == first


def test_ids_are_documented_and_stay() -> None:
    assert lineage.run_uuid("rain", "0af7") == "2671b97e-d85a-562c-bb6c-4b41f4cf6f11"
    assert lineage.workflow_uuid("rain", "rain-7") == "73f9af46-48fd-520b-8df1-8460beb68624"


def test_a_commit_that_is_none_is_no_source() -> None:
    assert lineage.run_job("rain", "rain", commit="unknown").code_url == ""


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        ({"OPENLINEAGE_URL": "http://sink"}, True),
        ({"OPENLINEAGE_CONFIG": "/etc/openlineage.yml"}, True),
        ({"OPENLINEAGE__TRANSPORT__TYPE": "console"}, True),
        ({"OPENLINEAGE_URL": "http://sink", "OPENLINEAGE_DISABLED": "True"}, False),
        ({"OPENLINEAGE_API_KEY": "a key is no sink"}, False),
    ],
)
def test_lineage_is_off_unless_a_sink_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], *, on: bool
) -> None:
    monkeypatch.chdir(tmp_path)

    assert (open_sink(tmp_path, {"HOME": str(tmp_path), **environ}) is not None) is on


def test_a_file_in_the_home_folder_turns_it_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    (home / "openlineage.yml").write_text("transport:\n  type: console\n")

    assert open_sink(home, {"HOME": str(tmp_path)}) is not None
    assert open_sink(tmp_path, {"HOME": str(tmp_path)}) is None


def test_without_the_library_there_is_no_lineage_and_the_log_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mlops.tracking.adapters.openlineage.find_spec", lambda _: None)

    assert open_sink(tmp_path, {"OPENLINEAGE_URL": "http://sink"}) is None
    assert "mlops-tracking[lineage]" in "".join(capsys.readouterr())


ALL: tuple[type[Message], ...] = (
    RunStarted,
    RunCompleted,
    RunFailed,
    RunStale,
    ModelRegistered,
    WorkflowQueued,
    WorkflowStarted,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowCancelled,
)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.type)
async def test_every_event_keeps_the_rules_of_the_specification(
    world: World, kind: type[Message]
) -> None:
    sent = await world.say(told(kind))

    assert datetime.fromisoformat(sent["eventTime"]).tzinfo is not None
    assert sent["producer"].startswith("urn:")
    assert sent["schemaURL"].endswith("#/$defs/RunEvent")
    assert uuid.UUID(sent["run"]["runId"]).version == 5
    assert sent["job"]["namespace"] == "rainfall"
    assert sent["job"]["name"]
    things = [sent["run"], sent["job"], *sent["inputs"], *sent["outputs"]]
    facets = [(name, one) for thing in things for name, one in thing["facets"].items()]
    assert len(facets) >= 4
    for name, facet in facets:
        assert facet["_producer"] == sent["producer"]
        # The name of a standard facet begins the name of its schema.
        bare = name.replace("_", "").lower().removesuffix("s")
        assert bare in facet["_schemaURL"].lower()
