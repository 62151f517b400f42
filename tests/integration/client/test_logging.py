# SPDX-License-Identifier: Apache-2.0
"""What is logged through the client arrives at a real MLflow as MLflow's own clients would have logged it."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops.client import MLOpsClient
from mlops.client.errors import BadInputError, NotFoundError
from servers.mlflow_server import MlflowProcess
from servers.programs import until

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(240)]


def test_a_run_is_what_was_logged(client: MLOpsClient, place: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a b.txt").write_text("one")
    (tmp_path / "plan.json").write_text("{}")

    with client.start_run("first", {"mlops.technique": "lora", "n": 1}, hardware=False) as run:
        client.log_params({"depth": 3, "name": "rain"})
        client.log_metrics({"loss": 0.25, "accuracy": 0.75}, step=1)
        client.log_metric("loss", 0.125, step=2)
        client.set_tags({"n": 2, "free": ["any", {"thing": None}]})
        client.log_artifact("plan.json", "deep/er")
        client.log_artifacts("out")
        (tmp_path / "plan.json").write_text("changed later")
        told = client.flush()
        beat = place.tags(run.run_id)["mlops.heartbeat"]

    run_id = run.run_id
    assert run_id is not None
    assert (told.waiting, told.refused, told.dropped) == (0, 0, 0)
    assert place.status(run_id) == "FINISHED"
    assert place.params(run_id) == {"depth": "3", "name": "rain"}
    assert place.points(run_id) == [1, 2]
    tags = place.tags(run_id)
    assert tags["mlflow.runName"] == "first"
    assert tags["n"] == "2"
    assert tags["free"] == "['any', {'thing': None}]"
    assert beat.split()[0].isdigit()
    assert "mlops.heartbeat" not in tags
    root = place.server.folder / "artifacts"
    files = {
        file.name: file.read_text()
        for file in root.rglob("*")
        if run_id in str(file) and file.is_file()
    }
    assert files == {"plan.json": "{}", "a b.txt": "one"}
    assert place.listing().waiting == 0


def test_numbers_that_json_does_not_know_are_kept_as_mlflow_keeps_them(
    client: MLOpsClient, place: Any
) -> None:
    with client.start_run(hardware=False) as run:
        run.log_metrics({"nan": math.nan, "up": math.inf, "down": -math.inf}, step=1)
        run.log_metrics({"nan": math.nan, "up": math.inf, "down": -math.inf}, step=1, at_ms=5)

    rows = place.server.rows(
        "select key, value, is_nan from metrics where run_uuid = ? and timestamp = 5", run.run_id
    )
    assert sorted(rows) == [
        ("down", -1.7976931348623157e308, 0),
        ("nan", 0.0, 1),
        ("up", 1.7976931348623157e308, 0),
    ]


def test_sending_twice_changes_neither_history_nor_latest(client: MLOpsClient, place: Any) -> None:
    with client.start_run(hardware=False) as run:
        for at_ms, value in ((1000, math.nan), (2000, 0.5), (2000, 0.5)):
            run.log_metrics({"loss": value}, step=at_ms, at_ms=at_ms)
        run.flush()
        run.log_metrics({"loss": math.nan}, step=1000, at_ms=1000)
        run.log_metrics({"loss": 0.5}, step=2000, at_ms=2000)

    history = place.server.rows("select step from metrics where run_uuid = ?", run.run_id)
    latest = place.server.rows(
        "select step, value from latest_metrics where run_uuid = ?", run.run_id
    )
    assert sorted(history) == [(1000,), (2000,)]
    assert latest == [(2000, 0.5)]


def test_block_that_fails_makes_the_run_fail_and_says_why(client: MLOpsClient, place: Any) -> None:
    with pytest.raises(ZeroDivisionError), client.start_run(hardware=False) as run:
        run.log_metric("loss", 1 / 0)

    assert place.status(run.run_id) == "FAILED"
    assert place.tags(run.run_id)["mlops.error"] == "ZeroDivisionError: division by zero"


def test_nested_runs_know_their_parent(client: MLOpsClient, place: Any) -> None:
    with client.start_run("outer", hardware=False) as outer:
        with client.start_run("inner", nested=True, hardware=False) as inner:
            assert client.active_run() is inner
            client.log_metric("loss", 1.0)
        assert client.active_run() is outer
    assert client.active_run() is None

    assert place.tags(inner.run_id)["mlflow.parentRunId"] == outer.run_id
    assert place.points(inner.run_id) == [0]
    assert place.points(outer.run_id) == []


def test_worker_threads_log_to_the_run_of_the_process(client: MLOpsClient, place: Any) -> None:
    def work(number: int) -> None:
        for step in range(100):
            client.log_metrics({f"loss{number}": step}, step=step)

    with client.start_run(hardware=False) as run:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [place.points(run.run_id, f"loss{number}") for number in range(8)] == [
        list(range(100))
    ] * 8


def test_bad_input_is_refused_at_the_call_and_nothing_of_it_is_logged(
    client: MLOpsClient, place: Any
) -> None:
    with client.start_run(hardware=False) as run:
        run.log_params({"depth": 3})
        run.log_params({"depth": 3})
        with pytest.raises(BadInputError, match="'3' already, not '4'"):
            run.log_params({"new": 1, "depth": 4})
        with pytest.raises(BadInputError, match="loss"):
            run.log_metrics({"fine": 1.0, "loss": "0.5"})
        with pytest.raises(BadInputError, match="leave"):
            run.log_artifact("mlflow", "../../elsewhere")
        with pytest.raises(BadInputError, match="no such file"):
            run.log_artifact("nothing.txt")

    assert place.params(run.run_id) == {"depth": "3"}
    assert place.points(run.run_id, "fine") == []


def test_ten_megabytes_of_param_are_cut_and_kept(client: MLOpsClient, place: Any) -> None:
    value = "é" * 5_000_000

    with client.start_run(hardware=False) as run:
        run.log_param("prompt", value)
        run.set_tags({"long": "x" * 9000})

    kept = place.params(run.run_id)["prompt"]
    (file,) = (place.server.folder / "artifacts").rglob(f"{run.run_id}/**/prompt.txt")
    assert len(kept) == 6000
    assert kept.endswith("(cut; 5000000 characters in artifact long_params/prompt.txt)")
    assert file.read_text() == value
    assert len(place.tags(run.run_id)["long"]) == 8000


def test_deleted_run_is_told_at_once_and_later_entries_are_set_aside(
    client: MLOpsClient, place: Any
) -> None:
    with client.start_run(hardware=False) as run:
        pass
    place.server.call("POST", "runs/delete", "rain", json={"run_id": run.run_id})

    with pytest.raises(NotFoundError, match="deleted"):
        client.start_run(run_id=run.run_id)
    with pytest.raises(NotFoundError, match="not found"):
        client.attach_run("0" * 32)

    with client.start_run(hardware=False) as other:
        other.flush()
        place.server.call("POST", "runs/delete", "rain", json={"run_id": other.run_id})
        other.log_metric("loss", 1.0)
        told = other.flush()

    assert told.waiting == 0
    assert told.refused >= 1
    assert "active" in place.listing().refused[-1].reason


def test_resumed_and_attached_runs_end_as_they_should(client: MLOpsClient, place: Any) -> None:
    with client.start_run(hardware=False) as run:
        run.log_metric("loss", 1.0, step=1)
    with client.attach_run(str(run.run_id)) as attached:
        attached.log_metric("loss", 1.0, step=2)
        attached.set_tags({"seen": "yes"})
    status_after_attached = place.status(run.run_id)
    resumed = client.start_run(run_id=run.run_id, hardware=False)
    resumed.flush()
    status_while_resumed = place.status(run.run_id)
    resumed.log_metric("loss", 1.0, step=3)
    resumed.end()

    assert place.points(run.run_id) == [1, 2, 3]
    assert (status_after_attached, status_while_resumed) == ("FINISHED", "RUNNING")
    assert place.status(run.run_id) == "FINISHED"


def test_what_is_logged_after_the_end_arrives_too(client: MLOpsClient, place: Any) -> None:
    with client.start_run(hardware=False) as run:
        run.log_metric("loss", 1.0, step=1)

    run.log_metric("loss", 1.0, step=2)
    client.flush()

    assert place.points(run.run_id) == [1, 2]


def test_machine_is_described_and_sampled(client: MLOpsClient, place: Any) -> None:
    with client.start_run() as run:
        run.log_apple_silicon_metrics({"package_power_w": 12.0, "thermal_state": "fair"})
        # A run that is shorter than the description of its machine has no summary.
        until(lambda: run.sampler is not None, 30, lambda: "no sampler")

    tags = place.tags(run.run_id)
    assert tags["mlops.system.python"].startswith("3.")
    assert any(name.startswith("hw.") for name in tags)
    assert place.points(run.run_id, "system/package_power_w") == [0]
    assert place.points(run.run_id, "system/heat_level") == [0]


def test_workspace_that_comes_later_is_waited_for(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLOPS_SPOOL"):
        monkeypatch.setenv(name, place.environment[name])

    with MLOpsClient("late") as client, client.start_run(hardware=False) as run:
        run.log_metric("loss", 1.0, step=7)
        early = client.flush(1)
        place.server.make_workspace("late")
        late = client.flush(30)

    assert early.waiting > 0
    assert "late" in early.reason
    assert late.waiting == 0
    assert place.points(run.run_id) == [7]


@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")
def test_model_is_logged_registered_and_loads_with_plain_mlflow(
    client: MLOpsClient, place: Any
) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    model = linear.LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])

    with client.start_run(hardware=False) as run:
        handle = run.log_model(model, "rain", registered_name=True, input_example=[[0.5]])
        sent = handle.wait(60)
        again = run.log_model(model, "rain", registered_name=True, input_example=[[0.5]]).wait(60)

    assert (sent.version, again.version) == (1, 2)
    assert handle.uri == f"models:/{sent.model_id}"
    found = place.server.call("GET", "runs/get", "rain", params={"run_id": run.run_id})
    outputs = [one["model_id"] for one in found["run"]["outputs"]["model_outputs"]]
    assert sorted(outputs) == sorted([sent.model_id, again.model_id])
    script = "import mlflow; print(mlflow.pyfunc.load_model('models:/rain/1').predict([[0.25]]))"
    assert "0.25" in place.run(script, MLFLOW_WORKSPACE="rain")


def test_server_without_workspaces_works_too(
    mortal_mlflow: MlflowProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mortal_mlflow.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mortal_mlflow.uri)
    monkeypatch.setenv("MLOPS_SPOOL", str(tmp_path / "spool"))

    with MLOpsClient("rain") as client, client.start_run(hardware=False) as run:
        run.log_metric("loss", 1.0)
        run.log_artifact(__file__)

    assert mortal_mlflow.rows("select count(*) from metrics where run_uuid = ?", run.run_id) == [
        (1,)
    ]
    found = httpx.get(
        f"{mortal_mlflow.uri}/api/2.0/mlflow/artifacts/list", params={"run_id": run.run_id or ""}
    ).json()
    assert [file["path"] for file in found["files"]] == ["test_logging.py"]
