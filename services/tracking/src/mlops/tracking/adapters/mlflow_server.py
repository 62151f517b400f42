# SPDX-License-Identifier: Apache-2.0
"""MLflow's own server inside this process: how it is configured, opened, and its stores taken hold of.

Every name that MLflow keeps to itself and that we need stands here, and tests/integration/tracking/test_private_names.py fails when
one of them vanishes.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.chassis.health import Asgi
from mlops.chassis.lean import without
from mlops.tracking.adapters.reach import reach, shown
from mlops.tracking.adapters.sqlite import prepare
from mlops.tracking.adapters.unfinished import check_whole
from mlops.tracking.errors import StoreError

if TYPE_CHECKING:
    import sqlalchemy as sa

# pandas, MLflow and its templates do without these; together they cost 46 MB and nothing that a server needs.
_LEFT_OUT = ("pyarrow", "pygments", "scipy")


@dataclass(frozen=True)
class Server:
    """MLflow's app and the stores it answers from."""

    app: Asgi
    tracking: Any
    registry: Any
    workspaces: Any
    artifacts: Any

    @property
    def engine(self) -> sa.Engine:
        """Return the database of runs, models and the outbox."""
        engine: sa.Engine = self.tracking.engine
        return engine


def environment(store_uri: str, artifacts: str) -> dict[str, str]:
    """Return the variables by which MLflow's own command would tell its app what to serve."""
    return {
        "_MLFLOW_SERVER_FILE_STORE": store_uri,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": artifacts,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "MLFLOW_ENABLE_WORKSPACES": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }


def open_server(store_uri: str, artifacts: str) -> Server:
    """Open (and, when new, create) the store and return the app around it; blocks for seconds.

    Raises StoreError, naming the store, the cause and the fix.
    """
    check_whole(artifacts)
    prepare(store_uri)
    reach(store_uri)
    _need_driver(artifacts)
    os.environ.update(environment(store_uri, artifacts))
    # Meant for clients; here it would silently move every request without a header.
    os.environ.pop("MLFLOW_WORKSPACE", None)
    with warnings.catch_warnings(), without(*_LEFT_OUT):
        warnings.simplefilter("ignore")  # MLflow's own use of deprecated names is not ours to mend
        # Imported here: MLflow reads its environment while it is imported.
        import sqlalchemy as sa  # noqa: PLC0415
        from mlflow.exceptions import MlflowException  # noqa: PLC0415
        from mlflow.server import handlers, workspace_helpers  # noqa: PLC0415
        from mlflow.server.fastapi_app import app  # noqa: PLC0415

    # A page of traceback for each failed request; StoreWatch says the same in a line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    from mlops.tracking.adapters.locks import opening  # noqa: PLC0415 - see reach.py

    try:
        with opening(store_uri):
            return _stores(app, handlers, workspace_helpers)
    except ModuleNotFoundError as error:
        raise StoreError(_driver(store_uri, error)) from error
    except (sa.exc.SQLAlchemyError, MlflowException, OSError) as error:
        raise StoreError(f"cannot open the store {shown(store_uri)}: {error}") from error


def _stores(app: Asgi, handlers: Any, workspace_helpers: Any) -> Server:
    from mlops.tracking.adapters import tables  # noqa: PLC0415 - it imports MLflow

    server = Server(
        app=app,
        tracking=handlers._get_tracking_store(),  # noqa: SLF001 - no public name; see the test
        registry=handlers._get_model_registry_store(),  # noqa: SLF001 - no public name; see the test
        workspaces=workspace_helpers._get_workspace_store(),  # noqa: SLF001 - no public name; see the test
        artifacts=handlers._get_artifact_repo_mlflow_artifacts(),  # noqa: SLF001 - no public name; see the test
    )
    tables.create(server.engine)
    return server


def _need_driver(artifacts: str) -> None:
    # MLflow itself would only notice at the first upload, and answer the client with 500.
    if artifacts.startswith("s3://") and importlib.util.find_spec("boto3") is None:
        raise StoreError(
            f"the driver 'boto3' of the artifacts {artifacts} is not installed; install it "
            "(the extra `s3` of mlops-tracking), or set TRACKING_ARTIFACTS to a folder"
        )


def _driver(store_uri: str, error: ModuleNotFoundError) -> str:
    return (
        f"the driver {error.name!r} of store {shown(store_uri)} is not installed; install it "
        "(for PostgreSQL: the extra `postgres` of mlops-tracking)"
    )
