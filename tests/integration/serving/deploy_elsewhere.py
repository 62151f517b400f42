# SPDX-License-Identifier: Apache-2.0
"""Does what KubeRay does with `serveConfigV2`, on a Ray head of ours: starts Serve, deploys, waits until it runs.

Arguments: the head's address and the port for HTTP; without them it only reads. The configuration comes as JSON on
standard input; on standard output stands how Ray's own schema has read its applications.
"""

from __future__ import annotations

import json
import sys
import time

import ray
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.context import (
    _get_global_client,
)  # private: the declarative door without a dashboard
from ray.serve.schema import ServeDeploySchema

PATIENCE_S = 150


def main(*where: str) -> None:
    wanted = ServeDeploySchema.model_validate(json.load(sys.stdin))
    sys.stdout.write(json.dumps([one.model_dump(mode="json") for one in wanted.applications]))
    if where:
        deploy(wanted, where[0], int(where[1]))


def deploy(wanted: ServeDeploySchema, address: str, port: int) -> None:
    ray.init(address=address, namespace="serve", log_to_driver=False, logging_level="WARNING")
    serve.start(proxy_location="HeadOnly", http_options=HTTPOptions(host="127.0.0.1", port=port))
    _get_global_client().deploy_apps(wanted)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        apps = serve.status().applications.values()
        if apps and all(one.status == "RUNNING" for one in apps):
            return
        time.sleep(0.2)
    raise SystemExit(str(serve.status()))


if __name__ == "__main__":
    main(*sys.argv[1:])
