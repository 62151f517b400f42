# SPDX-License-Identifier: Apache-2.0
"""Ray Serve, told the full set of applications and asked how they do. Runs in the sidecar, the only one who deploys."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import ray
import ray.exceptions
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.context import (
    _get_global_client,
)  # private: the declarative door without a dashboard
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ServeDeploySchema

from mlops.chassis.errors import UnavailableError
from mlops.serving.model.apps import is_ours

_IMPORT_PATH = "mlops.serving.adapters.replica:build"
_CONDITIONS = {
    "RUNNING": "running",
    "DEPLOY_FAILED": "failed",
    "UNHEALTHY": "failed",
    "DELETING": "leaving",
}
_MOST_REASON = 1500
_LOGGING = {"log_level": "WARNING", "enable_access_log": False}


class RayServe:
    """One connection to one Ray head."""

    def __init__(self, address: str, serve_url: str, home: str, ingress: str) -> None:
        self._address = address
        self._serve_url = serve_url.rstrip("/")
        self._home = home
        self._ingress = ingress
        self._client: Any = None

    def connect(self) -> None:
        """Connect, and start Serve if it does not run."""
        self._connected()

    def apply(self, apps: Sequence[dict[str, Any]]) -> None:
        """Want exactly these applications."""
        wanted = {"applications": [self._schema(app) for app in apps]}
        client = self._connected()
        self._guarded(lambda: client.deploy_apps(ServeDeploySchema.model_validate(wanted)))

    def states(self) -> dict[str, dict[str, Any]]:
        """Return how each application does."""
        self._connected()
        found = self._guarded(lambda: serve.status().applications)
        doors = self._ports()
        return {
            name: _state(app, doors.get(name, "" if self._ingress == "direct" else self._serve_url))
            for name, app in found.items()
            if is_ours(name)
        }

    def _connected(self) -> Any:
        if not _answers(self._address):
            self._client = None
            _leave_if_connected(
                f"no Ray head answers at {self._address}; start it (`mlops up`), "
                "or set SERVING_RAY_ADDRESS"
            )
        if self._client is None:
            self._client = self._guarded(self._connect)
        return self._client

    def _connect(self) -> Any:
        ray.init(
            address=self._address,
            namespace="serve",
            log_to_driver=False,
            logging_level="WARNING",
        )
        door = urlsplit(self._serve_url)
        serve.start(
            proxy_location="HeadOnly",
            http_options=HTTPOptions(
                host=door.hostname,
                port=door.port or 80,
                # The replica bounds reading, waiting and computing itself; a long text may take longer.
                request_timeout_s=None,
                keep_alive_timeout_s=120,
            ),
            logging_config=_LOGGING,
        )
        return _get_global_client()

    def _schema(self, app: dict[str, Any]) -> dict[str, Any]:
        fixed = {key: app[key] for key in ("project", "model", "version", "bento_tag", "memory_gb")}
        return {
            "name": app["name"],
            "route_prefix": app["route"],
            "import_path": _IMPORT_PATH,
            # Another value here is another version for Ray: its replicas are replaced.
            "args": {**fixed, "home": self._home},
            # An application does not inherit it from Serve's start, and by default logs every request.
            "logging_config": _LOGGING,
            "deployments": [
                {
                    "name": "replica",
                    # Ray hands it to running replicas in place (`Replica.reconfigure`): none is started anew for it.
                    "user_config": {"concurrency": app["concurrency"], "queue": app["queue"]},
                    # Always given: going from fixed to scaled replaces all replicas, other bounds do not.
                    "autoscaling_config": {
                        "min_replicas": app["min_replicas"],
                        "max_replicas": app["max_replicas"],
                        "target_ongoing_requests": 4,
                        "upscale_delay_s": 2,
                        "downscale_delay_s": 30,
                        "look_back_period_s": 4,
                        "metrics_interval_s": 2,
                    },
                }
            ],
        }

    def _ports(self) -> dict[str, str]:
        """Return where each application answers when there is no door in front: at its replica's own port."""
        if self._ingress != "direct":
            return {}
        groups = self._guarded(
            lambda: ray.get(self._client._controller.get_target_groups.remote(), timeout=10)  # noqa: SLF001 - no public way to the ports
        )
        return {
            group.app_name: f"http://{one.ip}:{one.port}"
            for group in groups
            for one in group.targets[:1]
            if str(group.protocol).endswith("HTTP")
        }

    def _guarded(self, call: Any) -> Any:
        try:
            return call()
        except (ray.exceptions.RayError, RayServeException, ConnectionError, RuntimeError) as error:
            _leave_if_connected(f"Ray at {self._address}: {type(error).__name__}: {error}")
            raise


def _leave_if_connected(reason: str) -> None:
    # A connection to a head that has gone cannot be mended: it hangs, or takes the process down minutes later.
    # The service starts a new worker at the next call.
    if ray.is_initialized():
        sys.stderr.write(reason + "\n")
        sys.stderr.flush()
        os._exit(3)
    raise UnavailableError(reason)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


def _state(app: Any, door: str) -> dict[str, Any]:
    deployments = list(app.deployments.values())
    replicas = sum(int(one.replica_states.get("RUNNING", 0)) for one in deployments)
    reason = "\n".join(filter(None, [app.message, *(one.message for one in deployments)]))
    condition = _CONDITIONS.get(str(app.status.value), "starting")
    return {
        "condition": condition,
        "replicas": replicas,
        "reason": reason.strip()[-_MOST_REASON:] if condition != "running" else "",
        "door": door,
    }
