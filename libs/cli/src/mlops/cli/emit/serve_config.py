# SPDX-License-Identifier: Apache-2.0
"""Ray Serve's configuration of one version: what serving itself tells its own Ray, with bounds for a cluster."""

from __future__ import annotations

from typing import Any

from mlops.cli.emit.deployed import Deployed
from mlops.cli.emit.manifest import to_yaml

HOME = "/mlops"
HTTP_PORT = 8000
IMPORT_PATH = "mlops.serving.adapters.replica:build"
_GIB = 2**30


def serve_config(found: Deployed) -> str:
    """Return `serveConfigV2`."""
    return to_yaml(
        {
            "proxy_location": "EveryNode",
            "http_options": {
                "host": "0.0.0.0",  # noqa: S104 - inside a pod; a Service leads to it
                "port": HTTP_PORT,
                "request_timeout_s": 30,
                "keep_alive_timeout_s": 120,
            },
            "applications": [_application(found)],
        }
    )


def _application(found: Deployed) -> dict[str, Any]:
    settings = found.settings
    return {
        "name": f"{found.project}.{found.model}.v{found.version}",
        "route_prefix": f"/{found.project}/{found.model}/v{found.version}",
        "import_path": IMPORT_PATH,
        "args": {
            "project": found.project,
            "model": found.model,
            "version": found.version,
            "bento_tag": found.bento_tag,
            "memory_gb": settings.memory_gb,
            "home": HOME,
        },
        "deployments": [
            {
                "name": "replica",
                "user_config": {"concurrency": found.concurrency, "queue": settings.max_queue},
                # One replica fills a worker, so that more of them make Ray ask for more workers.
                "ray_actor_options": {"num_cpus": 1, "memory": int(settings.memory_gb * _GIB)},
                "autoscaling_config": {
                    "min_replicas": settings.min_replicas,
                    "max_replicas": settings.max_replicas,
                    "target_ongoing_requests": 4,
                    "upscale_delay_s": 2,
                    "downscale_delay_s": 30,
                    "downscale_to_zero_delay_s": settings.sleep_after.total_seconds(),
                    "look_back_period_s": 4,
                    "metrics_interval_s": 2,
                },
            }
        ],
    }
