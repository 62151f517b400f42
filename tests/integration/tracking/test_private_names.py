# SPDX-License-Identifier: Apache-2.0
"""The names that MLflow keeps to itself and our adapters use are still there."""

# MLflow takes two seconds to import, which a run without these tests saves.
# ruff: noqa: PLC0415

from __future__ import annotations

import warnings
from typing import Any

import pytest

from mlops.tracking.adapters.mlflow_server import environment

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def handlers() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.server import handlers

    return handlers


def test_the_environment_still_speaks_to_the_server(handlers: Any) -> None:
    from mlflow.server import constants

    assert handlers is not None
    assert {
        constants.BACKEND_STORE_URI_ENV_VAR,
        constants.ARTIFACT_ROOT_ENV_VAR,
        constants.ARTIFACTS_DESTINATION_ENV_VAR,
        constants.SERVE_ARTIFACTS_ENV_VAR,
    } <= environment("sqlite:///x", "y").keys()


@pytest.mark.parametrize(
    "name",
    [
        "MLFLOW_ENABLE_WORKSPACES",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
        "MLFLOW_DISABLE_TELEMETRY",
        "MLFLOW_LOGGING_LEVEL",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR",
        "MLFLOW_WORKSPACE",
        "_MLFLOW_SGI_NAME",
    ],
)
def test_a_variable_is_still_read(name: str) -> None:
    import mlflow.environment_variables as variables

    assert getattr(variables, name).name == name


@pytest.mark.parametrize(
    "name",
    ["_get_tracking_store", "_get_model_registry_store", "_get_artifact_repo_mlflow_artifacts"],
)
def test_a_store_can_still_be_had(handlers: Any, name: str) -> None:
    assert callable(getattr(handlers, name))


def test_workspaces_can_still_be_had() -> None:
    from mlflow.server import workspace_helpers
    from mlflow.utils.workspace_context import ServerWorkspaceContext

    assert callable(workspace_helpers._get_workspace_store)
    with ServerWorkspaceContext("team-a"):
        pass


def test_the_columns_we_read_and_listen_to_still_exist() -> None:
    from mlflow.store.model_registry.dbmodels import models as registry
    from mlflow.store.tracking.dbmodels import models as tracking

    expected = {
        tracking.SqlRun: {
            "run_uuid",
            "name",
            "user_id",
            "status",
            "start_time",
            "end_time",
            "experiment_id",
            "artifact_uri",
        },
        tracking.SqlExperiment: {"experiment_id", "name", "workspace"},
        tracking.SqlLatestMetric: {"key", "value", "is_nan", "run_uuid"},
        tracking.SqlInput: {"source_type", "source_id", "destination_type", "destination_id"},
        tracking.SqlDataset: {"dataset_uuid", "name", "digest", "dataset_source"},
        registry.SqlModelVersion: {"workspace", "name", "version", "run_id", "source"},
        registry.SqlRegisteredModelAlias: {"workspace", "name", "alias", "version"},
    }
    missing = {
        kind.__name__: columns - set(kind.__table__.columns.keys())
        for kind, columns in expected.items()
        if not columns <= set(kind.__table__.columns.keys())
    }

    assert missing == {}


@pytest.mark.parametrize("name", ["_upgrade_db", "_get_latest_schema_revision"])
def test_a_schema_can_still_be_asked_for_and_upgraded(name: str) -> None:
    from mlflow.store.db import utils

    assert callable(getattr(utils, name))


def test_folders_of_runs_can_still_be_read() -> None:
    from mlflow.store.fs2db import migrate

    assert callable(migrate)


def test_every_migration_is_known_by_its_name() -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision

    from mlops.tracking.adapters.schema import knows

    assert knows(_get_latest_schema_revision())
