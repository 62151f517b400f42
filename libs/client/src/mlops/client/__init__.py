# SPDX-License-Identifier: Apache-2.0
"""`from mlops.client import MLOpsClient`: the platform for training code and notebooks; light on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops.client.aio import AsyncMLOpsClient
    from mlops.client.api.models import Deployment
    from mlops.client.api.workflows import Workflow
    from mlops.client.client import MLOpsClient, create_client
    from mlops.client.datasets import Dataset
    from mlops.client.errors import MLOpsClientError
    from mlops.client.runs import ModelHandle, Run
    from mlops.client.spool import Delivery

__all__ = [
    "AsyncMLOpsClient",
    "Dataset",
    "Delivery",
    "Deployment",
    "MLOpsClient",
    "MLOpsClientError",
    "ModelHandle",
    "Run",
    "Workflow",
    "create_client",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import mlops.client` itself costs nothing."""
    # Plain imports, so that every tool that reads imports sees them.
    # ruff: noqa: PLC0415 - this file is about importing late
    if name in ("MLOpsClient", "create_client"):
        from mlops.client import client

        return getattr(client, name)
    if name == "AsyncMLOpsClient":
        from mlops.client.aio import AsyncMLOpsClient

        return AsyncMLOpsClient
    if name == "Deployment":
        from mlops.client.api.models import Deployment

        return Deployment
    if name == "Workflow":
        from mlops.client.api.workflows import Workflow

        return Workflow
    if name == "MLOpsClientError":
        from mlops.client.errors import MLOpsClientError

        return MLOpsClientError
    return _given_back(name)


def _given_back(name: str) -> Any:
    if name in ("Run", "ModelHandle"):
        from mlops.client import runs

        return getattr(runs, name)
    if name == "Delivery":
        from mlops.client.spool import Delivery

        return Delivery
    if name == "Dataset":
        from mlops.client.datasets import Dataset

        return Dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
