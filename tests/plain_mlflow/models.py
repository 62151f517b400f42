# SPDX-License-Identifier: Apache-2.0
"""What MLflow promises of artifacts, registered and logged models, autologging, prompts and deletion for good."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import pytest

from plain_mlflow.asking import a_run, client, command, fresh, refused


def artifacts_come_back() -> None:
    run_id = a_run()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data").mkdir()
        (Path(folder) / "data" / "big.bin").write_bytes(os.urandom(3_000_000))
        client.log_artifacts(run_id, folder, "deep/folder")
        client.log_artifact(run_id, str(Path(folder) / "data" / "big.bin"))
        client.log_text(run_id, "grüße", "notes/a.txt")
        client.log_dict(run_id, {"a": [1]}, "b.json")
        names = sorted(item.path for item in client.list_artifacts(run_id))
        assert names == ["b.json", "big.bin", "deep", "notes"]
        (found,) = client.list_artifacts(run_id, "deep/folder/data")
        assert (found.path, found.file_size) == ("deep/folder/data/big.bin", 3_000_000)
        there = Path(client.download_artifacts(run_id, "deep", folder))
        assert (there / "folder" / "data" / "big.bin").read_bytes() == (
            Path(folder) / "data" / "big.bin"
        ).read_bytes()
    uri = f"runs:/{run_id}/notes/a.txt"
    assert mlflow.artifacts.load_text(uri) == "grüße"
    assert mlflow.artifacts.load_dict(f"runs:/{run_id}/b.json") == {"a": [1]}
    assert client.list_artifacts(run_id, "nothing") == []


def artifacts_stay_in_their_place() -> None:
    run_id = a_run()
    for path in ("../../outside", "/etc/passwd"):
        with pytest.raises(Exception, match="Invalid"):
            client.log_text(run_id, "x", path + "/x.txt")


def models_are_registered() -> None:
    name = fresh("model")
    run_id = a_run()
    source = client.get_run(run_id).info.artifact_uri + "/model"
    client.create_registered_model(name, {"team": "sky"}, "about")
    refused("RESOURCE_ALREADY_EXISTS", client.create_registered_model, name)
    versions = [client.create_model_version(name, source, run_id, {"n": "1"}) for _ in range(3)]
    assert [version.version for version in versions] in ([1, 2, 3], ["1", "2", "3"])
    client.set_registered_model_alias(name, "challenger", "2")
    client.set_registered_model_alias(name, "challenger", "3")
    assert str(client.get_model_version_by_alias(name, "challenger").version) == "3"
    client.set_model_version_tag(name, "1", "ok", "yes")
    found = client.search_model_versions(f"name = '{name}' and tags.ok = 'yes'")
    assert [str(version.version) for version in found] == ["1"]
    assert client.get_model_version(name, "1").run_id == run_id
    assert client.get_model_version_download_uri(name, "1") == source
    client.update_model_version(name, "1", "described")
    client.delete_model_version_tag(name, "1", "ok")
    assert client.get_model_version(name, "1").description == "described"
    assert "ok" not in client.get_model_version(name, "1").tags
    client.delete_registered_model_alias(name, "challenger")
    refused("INVALID_PARAMETER_VALUE", client.get_model_version_by_alias, name, "challenger")
    client.delete_model_version(name, "3")
    (model,) = client.search_registered_models(f"name = '{name}'")
    assert (model.tags["team"], model.description) == ("sky", "about")
    client.rename_registered_model(name, name + "-new")
    assert len(client.search_model_versions(f"name = '{name}-new'")) == 2
    client.delete_registered_model(name + "-new")
    refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, name + "-new")


def sklearn_logs_itself() -> None:
    import numpy as np  # noqa: PLC0415 - for this check only
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - the same

    mlflow.set_experiment(fresh("autolog"))
    mlflow.sklearn.autolog(registered_model_name=(name := fresh("auto")))
    try:
        table, labels = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
        with mlflow.start_run() as run:
            trained = LogisticRegression(C=0.5).fit(table, labels)
    finally:
        mlflow.sklearn.autolog(disable=True)
    found = client.get_run(run.info.run_id)
    assert found.data.params["C"] == "0.5"
    assert found.data.metrics["training_accuracy_score"] == 1.0
    assert found.inputs.dataset_inputs
    (version,) = client.search_model_versions(f"name = '{name}'")
    assert version.run_id == run.info.run_id
    loaded = mlflow.sklearn.load_model(f"models:/{name}/{version.version}")
    assert list(loaded.predict(table)) == list(trained.predict(table))


class Same(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow has no types
    """Predicts what it is given."""

    def predict(self, context: Any, model_input: list[float]) -> list[float]:
        del context
        return model_input


def models_are_logged_searched_and_loaded() -> None:
    experiment = mlflow.set_experiment(fresh("logged")).experiment_id
    with mlflow.start_run() as run:
        model = mlflow.pyfunc.log_model(name="same", python_model=Same(), params={"k": "v"})
        mlflow.log_metric("accuracy", 0.75, model_id=model.model_id)
    assert mlflow.pyfunc.load_model(f"models:/{model.model_id}").predict([1.0]) == [1.0]
    found = client.get_logged_model(model.model_id)
    assert (found.status.value, found.source_run_id) == ("READY", run.info.run_id)
    assert found.params == {"k": "v"}
    (searched,) = client.search_logged_models([experiment], filter_string="metrics.accuracy > 0.5")
    assert searched.model_id == model.model_id
    assert client.search_logged_models([experiment], filter_string="metrics.accuracy > 0.9") == []
    client.set_logged_model_tags(model.model_id, {"a": "1"})
    assert client.get_logged_model(model.model_id).tags["a"] == "1"
    (output,) = client.get_run(run.info.run_id).outputs.model_outputs
    assert output.model_id == model.model_id


def a_logged_model_is_finished_by_hand() -> None:
    experiment = mlflow.set_experiment(fresh("by-hand")).experiment_id
    model = mlflow.initialize_logged_model(name="mine", params={"a": "1"}, experiment_id=experiment)
    assert model.status.value == "PENDING"
    mlflow.finalize_logged_model(model.model_id, "READY")
    assert client.get_logged_model(model.model_id).status.value == "READY"
    client.delete_logged_model(model.model_id)
    assert client.search_logged_models([experiment]) == []


def prompts_have_versions() -> None:
    name = fresh("ask")
    mlflow.genai.register_prompt(name=name, template="What is {{question}}?")
    prompt = mlflow.genai.load_prompt(f"prompts:/{name}/1")
    assert prompt.format(question="rain") == "What is rain?"
    assert client.search_registered_models(f"name = '{name}'") == []


def deleted_runs_are_collected() -> None:
    run_id, kept = a_run(), a_run()
    client.log_text(run_id, "hello", "a.txt")
    client.delete_run(run_id)
    store = os.environ["STORE_URI"]
    uri = os.environ["MLFLOW_TRACKING_URI"]
    command("gc", "--backend-store-uri", store, "--tracking-uri", uri, "--run-ids", run_id)
    refused("RESOURCE_DOES_NOT_EXIST", client.get_run, run_id)
    assert client.get_run(kept).info.lifecycle_stage == "active"


CHECKS = [
    artifacts_come_back,
    artifacts_stay_in_their_place,
    models_are_registered,
    sklearn_logs_itself,
    models_are_logged_searched_and_loaded,
    a_logged_model_is_finished_by_hand,
    prompts_have_versions,
    deleted_runs_are_collected,
]
