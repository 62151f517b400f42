# SPDX-License-Identifier: Apache-2.0
"""Packages and replicas as the service sees them: calls to the sidecars that hold the heavy libraries, one of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from mlops.chassis.sidecar import IDLE, Sidecar
from mlops.serving.model.apps import App, route_of
from mlops.serving.model.state import Package
from mlops.serving.ports import AppState, Condition

_PREPARE = timedelta(seconds=120)
_PACK = timedelta(minutes=5)
_ASK = timedelta(seconds=20)


def make_sidecar(
    *,
    home: Path,
    ray_address: str,
    serve_url: str,
    mlflow_url: str,
    ingress: str = "haproxy",
    backend: str = "auto",
    idle: timedelta = IDLE,
) -> Sidecar:
    """Return the sidecar, not started yet."""
    settings = {
        "home": str(home),
        "ray_address": ray_address,
        "serve_url": serve_url,
        "mlflow_url": mlflow_url,
        "ingress": ingress,
        "backend": backend,
    }
    environment = {
        "SERVING_WORKER": json.dumps(settings),
        "BENTOML_HOME": str(home / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Otherwise Ray replaces 127.0.0.1 by the address of a network interface, where no head listens.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "1" if ingress == "haproxy" else "0",
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
    }
    return Sidecar("mlops.serving.adapters.worker", env=environment, idle=idle)


class SidecarPackages:
    """Packages made by MLflow and BentoML."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar

    async def prepare(self) -> None:
        """Load the libraries."""
        await self._sidecar.call("prepare_packing", _PREPARE)

    async def pack(
        self, project: str, model: str, version: int, backend: str, *, allow_pickle: bool = False
    ) -> Package:
        """Fetch a version and keep it as a Bento."""
        found = await self._sidecar.call(
            "pack",
            _PACK,
            project=project,
            model=model,
            version=version,
            backend=backend,
            allow_pickle=allow_pickle,
        )
        return Package(**found)

    async def keep_only(self, project: str, model: str, bento_tags: Sequence[str]) -> None:
        """Delete every other Bento of a model, and its copy of the model."""
        await self._sidecar.call(
            "keep_only", _ASK, project=project, model=model, bento_tags=list(bento_tags)
        )


class RayReplicas:
    """Replicas run by Ray Serve."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar

    async def prepare(self) -> None:
        """Load the library, connect, start Serve if it does not run; at once when that was done."""
        await self._connect()

    async def apply(self, apps: Sequence[App]) -> None:
        """Want exactly these applications."""
        wanted = [{**asdict(app), "name": app.name, "route": app.route} for app in apps]
        await self._connect()
        await self._sidecar.call("apply", _ASK, apps=wanted)

    async def states(self) -> dict[str, AppState]:
        """Return how each application does."""
        await self._connect()
        found = await self._sidecar.call("states", _ASK)
        return {
            name: AppState(
                condition=Condition(one["condition"]),
                replicas=one["replicas"],
                reason=one["reason"],
                url=one["door"] and one["door"] + route_of(name),
            )
            for name, one in found.items()
        }

    async def _connect(self) -> None:
        # Apart from the calls, which must not have its patience: they hang when the head goes while they wait.
        await self._sidecar.call("connect", _PREPARE)
