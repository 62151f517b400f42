# SPDX-License-Identifier: Apache-2.0
"""Connect: the server of a target, with what the environment and the installation know to open it."""

from __future__ import annotations

from collections.abc import Callable

from mlops.client import endpoints
from mlops.client.endpoints import Endpoints
from mlops.client.errors import NotRunningError
from mlops.client.mlflow_rest import access
from mlops.client.mlflow_rest.server import MlflowServer
from mlops.client.spool.target import Target


def connector(where: Endpoints | None = None) -> Callable[[Target], MlflowServer]:
    """Return what opens the server of a target; without *where* the installation here or above is looked for."""
    found = where or _here()

    def connect(target: Target) -> MlflowServer:
        to = access.to(target.uri, found)
        return MlflowServer(to.uri, target.project, target.experiment, to.headers, verify=to.verify)

    return connect


def _here() -> Endpoints | None:
    try:
        return endpoints.load()
    except NotRunningError:
        return None
