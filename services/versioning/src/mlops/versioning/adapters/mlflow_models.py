# SPDX-License-Identifier: Apache-2.0
"""MlflowModels: the files of registered models become contents; MLflow runs in a sidecar and leaves when idle."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from mlops.chassis.sidecar import IDLE, Sidecar
from mlops.versioning.model import Content
from mlops.versioning.ports import Place

_LONG = timedelta(hours=2)


class MlflowModels:
    """Asks the registry at an address; one model at a time."""

    def __init__(self, mlflow_url: str, own: Mapping[str, str], idle: timedelta = IDLE) -> None:
        self._mlflow_url = mlflow_url
        self._worker = Sidecar("mlops.versioning.adapters.models_worker", env=own, idle=idle)

    async def keep(self, place: Place, name: str, version: int) -> Content | None:
        """Keep the files of a registered version."""
        found = await self._worker.call(
            "keep",
            _LONG,
            folder=place.folder,
            remote=place.remote,
            cache=place.cache,
            mlflow_url=self._mlflow_url,
            project=place.project,
            name=name,
            version=version,
            bytes_per_s=place.bytes_per_s,
        )
        if found is None:
            return None
        return Content(
            oid=str(found["oid"]),
            size_bytes=int(found["size_bytes"]),
            files=int(found["files"]),
            dvc_text=str(found["dvc_text"]),
        )

    async def close(self) -> None:
        """End the worker."""
        await self._worker.close()
