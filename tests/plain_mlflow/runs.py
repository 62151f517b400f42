# SPDX-License-Identifier: Apache-2.0
"""What MLflow promises of experiments, runs, metrics, search, traces and its command line."""

from __future__ import annotations

import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag, ViewType

from plain_mlflow.asking import a_run, an_experiment, client, command, fresh, refused


def a_run_keeps_what_is_logged() -> None:
    experiment = an_experiment()
    run_id = a_run(experiment, run_name="first", tags={"a": "1"}, start_time=1000)
    client.log_param(run_id, "depth", 3)
    client.log_metric(run_id, "loss", 2.0, timestamp=1, step=0)
    client.log_metric(run_id, "loss", 1.0, timestamp=2, step=1)
    client.set_tag(run_id, "b", "2")
    client.delete_tag(run_id, "a")
    client.set_terminated(run_id, "FAILED", end_time=3000)
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("first", "FAILED")
    assert (run.info.start_time, run.info.end_time) == (1000, 3000)
    assert run.info.experiment_id == experiment
    assert run.data.params == {"depth": "3"}
    assert run.data.metrics == {"loss": 1.0}
    assert run.data.tags["b"] == "2"
    assert "a" not in run.data.tags
    history = [
        (point.value, point.timestamp, point.step)
        for point in client.get_metric_history(run_id, "loss")
    ]
    assert history == [(2.0, 1, 0), (1.0, 2, 1)]


def a_param_cannot_change() -> None:
    run_id = a_run()
    client.log_param(run_id, "depth", 3)
    client.log_param(run_id, "depth", 3)
    said = refused("INVALID_PARAMETER_VALUE", client.log_param, run_id, "depth", 4)
    assert "depth" in said


def odd_numbers_are_kept() -> None:
    run_id = a_run()
    for name, value in (("nan", math.nan), ("inf", math.inf), ("less", -math.inf)):
        client.log_metric(run_id, name, value)
    found = client.get_run(run_id).data.metrics
    assert math.isnan(found["nan"])
    assert found["inf"] > 1e308
    assert found["less"] < -1e308


def a_batch_is_one_call() -> None:
    run_id = a_run()
    points = [Metric("loss", float(step), step, step) for step in range(1000)]
    client.log_batch(run_id, points, [Param("p", "1")], [RunTag("t", "2")])
    run = client.get_run(run_id)
    assert run.data.metrics == {"loss": 999.0}
    assert (run.data.params, run.data.tags["t"]) == ({"p": "1"}, "2")
    assert [point.step for point in client.get_metric_history(run_id, "loss")] == list(range(1000))
    refused("INVALID_PARAMETER_VALUE", client.log_batch, run_id, [], [Param("p", "other")], [])


def runs_nest() -> None:
    mlflow.set_experiment(fresh("nested"))
    with mlflow.start_run(run_name="parent") as parent:
        with mlflow.start_run(nested=True) as child:
            mlflow.log_metric("loss", 1.0)
        mlflow.log_param("depth", 1)
    wanted = f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    (found,) = mlflow.search_runs(filter_string=wanted, output_format="list")
    assert found.info.run_id == child.info.run_id
    assert client.get_run(parent.info.run_id).info.status == "FINISHED"


def a_run_that_raises_is_failed_and_can_go_on() -> None:
    mlflow.set_experiment(fresh("resumed"))
    with pytest.raises(RuntimeError), mlflow.start_run() as run:
        raise RuntimeError("no convergence")
    assert client.get_run(run.info.run_id).info.status == "FAILED"
    with mlflow.start_run(run_id=run.info.run_id):
        assert client.get_run(run.info.run_id).info.status == "RUNNING"
        mlflow.log_metric("loss", 1.0)
    assert client.get_run(run.info.run_id).info.status == "FINISHED"


def runs_are_searched() -> None:
    experiment = an_experiment()
    made = [a_run(experiment, run_name=f"run {number}") for number in range(10)]
    for number, run_id in enumerate(made):
        client.log_batch(
            run_id,
            [Metric("score", number / 10, 1, 0)],
            [Param("kind", "even" if number % 2 == 0 else "odd")],
            [RunTag("group", "a" if number < 5 else "b")],
        )

    def search(what: str, order: str = "metrics.score ASC", **more: Any) -> list[int]:
        found = client.search_runs([experiment], what, order_by=[order], **more)
        return [made.index(run.info.run_id) for run in found]

    assert search("metrics.score > 0.65") == [7, 8, 9]
    assert search("params.kind = 'even' and tags.group = 'b'") == [6, 8]
    assert search("attributes.run_name = 'run 3'") == [3]
    assert search("attributes.run_name LIKE 'run %' and metrics.score <= 0.1") == [0, 1]
    assert search(f"attributes.run_id IN ('{made[1]}', '{made[2]}')") == [1, 2]
    assert search("params.kind != 'even'", "metrics.score DESC", max_results=2) == [9, 7]
    first = client.search_runs([experiment], order_by=["metrics.score"], max_results=6)
    rest = client.search_runs(
        [experiment], order_by=["metrics.score"], max_results=6, page_token=first.token
    )
    assert [made.index(run.info.run_id) for run in [*first, *rest]] == list(range(10))
    assert not rest.token
    refused("INVALID_PARAMETER_VALUE", client.search_runs, [experiment], "nonsense ===")
    table = mlflow.search_runs([experiment], "metrics.score > 0.85")
    assert list(table["metrics.score"]) == [0.9]


def experiments_are_found_renamed_and_tagged() -> None:
    name = fresh("found")
    number = client.create_experiment(name, tags={"team": "sky"})
    refused("RESOURCE_ALREADY_EXISTS", client.create_experiment, name)
    assert client.get_experiment_by_name(name).experiment_id == number
    client.set_experiment_tag(number, "stage", "one")
    (found,) = client.search_experiments(filter_string=f"name = '{name}' and tags.team = 'sky'")
    assert found.tags == {**found.tags, "team": "sky", "stage": "one"}
    client.rename_experiment(number, name + "-new")
    assert client.get_experiment(number).name == name + "-new"
    assert client.get_experiment_by_name(name) is None


def what_is_deleted_can_be_restored() -> None:
    experiment = an_experiment()
    run_id = a_run(experiment)
    client.delete_run(run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    assert client.search_runs([experiment]) == []
    assert len(client.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY)) == 1
    refused("INVALID_PARAMETER_VALUE", client.log_metric, run_id, "loss", 1.0)
    client.restore_run(run_id)
    assert len(client.search_runs([experiment])) == 1
    client.delete_experiment(experiment)
    assert client.get_experiment(experiment).lifecycle_stage == "deleted"
    client.restore_experiment(experiment)
    assert client.get_experiment(experiment).lifecycle_stage == "active"
    assert client.get_run(run_id).info.lifecycle_stage == "active"


def what_does_not_exist_is_said() -> None:
    absent = "RESOURCE_DOES_NOT_EXIST"
    refused(absent, client.get_run, "0" * 32)
    refused(absent, client.get_experiment, "999999")
    refused(absent, client.get_registered_model, fresh())
    refused(absent, client.log_metric, "0" * 32, "loss", 1.0)
    assert client.get_experiment_by_name(fresh()) is None


def datasets_are_inputs() -> None:
    import pandas as pd  # noqa: PLC0415 - for this check only

    mlflow.set_experiment(fresh("inputs"))
    table = pd.DataFrame({"x": [1.0, 2.0]})
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_pandas(table, name="frame"), context="training")
    (dataset,) = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.tags[0].value) == ("frame", "training")
    (found,) = mlflow.search_runs(
        filter_string="datasets.name = 'frame'", search_all_experiments=False, output_format="list"
    )
    assert found.info.run_id == run.info.run_id


def hardware_is_measured() -> None:
    mlflow.set_experiment(fresh("system"))
    mlflow.set_system_metrics_sampling_interval(0.2)
    mlflow.set_system_metrics_samples_before_logging(1)
    with mlflow.start_run(log_system_metrics=True) as run:
        time.sleep(1.5)
    names = client.get_run(run.info.run_id).data.metrics
    assert "system/cpu_utilization_percentage" in names, names


def logging_need_not_wait() -> None:
    mlflow.set_experiment(fresh("async"))
    with mlflow.start_run() as run:
        for step in range(50):
            mlflow.log_metric("loss", float(step), step=step, synchronous=False)
        mlflow.log_params({"a": 1}, synchronous=False).wait()
        mlflow.flush_async_logging()
        assert len(client.get_metric_history(run.info.run_id, "loss")) == 50
    assert client.get_run(run.info.run_id).data.params == {"a": "1"}


def traces_are_kept() -> None:
    experiment = mlflow.set_experiment(fresh("traces")).experiment_id
    with mlflow.start_span("outer") as span:
        span.set_inputs({"q": 1})
        with mlflow.start_span("inner"):
            pass
    mlflow.flush_trace_async_logging()
    (trace,) = client.search_traces(locations=[experiment])
    assert sorted(each.name for each in trace.data.spans) == ["inner", "outer"]


def the_command_line_works() -> None:
    experiment = an_experiment()
    run_id = a_run(experiment, run_name="listed")
    client.log_text(run_id, "hello", "a.txt")
    assert run_id in command("runs", "list", "--experiment-id", experiment).output
    assert (
        json.loads(command("runs", "describe", "--run-id", run_id).output)["info"]["run_id"]
        == run_id
    )
    assert experiment in command("experiments", "search").output
    assert "listed" in command("experiments", "csv", "-x", experiment).output
    assert "a.txt" in command("artifacts", "list", "--run-id", run_id).output
    with tempfile.TemporaryDirectory() as folder:
        command(
            "artifacts", "download", "--run-id", run_id, "--artifact-path", "a.txt", "-d", folder
        )
        assert (Path(folder) / "a.txt").read_text() == "hello"
    command("runs", "delete", "--run-id", run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    command("runs", "restore", "--run-id", run_id)
    command("experiments", "rename", "-x", experiment, "--new-name", (name := fresh("renamed")))
    assert client.get_experiment(experiment).name == name


CHECKS = [
    a_run_keeps_what_is_logged,
    a_param_cannot_change,
    odd_numbers_are_kept,
    a_batch_is_one_call,
    runs_nest,
    a_run_that_raises_is_failed_and_can_go_on,
    runs_are_searched,
    experiments_are_found_renamed_and_tagged,
    what_is_deleted_can_be_restored,
    what_does_not_exist_is_said,
    datasets_are_inputs,
    hardware_is_measured,
    logging_need_not_wait,
    traces_are_kept,
    the_command_line_works,
]
