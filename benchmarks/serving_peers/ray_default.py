# SPDX-License-Identifier: Apache-2.0
"""Ray Serve as it comes: its own Python proxy in front of a FastAPI ingress. Arguments: port, joblib file.

A Ray head of its own, ended with this process.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import threading

import joblib
import numpy as np
import orjson
import ray
from fastapi import FastAPI, Request, Response
from ray import serve
from ray.serve.config import HTTPOptions

app = FastAPI()


class Bench:
    """Answers rows with the model's predictions."""

    def __init__(self, path: str) -> None:
        self.model = joblib.load(path)

    @app.get("/v2/health/ready")
    async def ready(self) -> dict[str, bool]:
        """Return that it is."""
        return {"ready": True}

    @app.post("/v2/models/bench/infer")
    async def infer(self, request: Request) -> Response:
        """Answer one request."""
        asked = orjson.loads(await request.body())["inputs"][0]
        found = self.model.predict(np.asarray(asked["data"]).reshape(asked["shape"]))
        output = {"name": "predict", "datatype": "INT64", "shape": list(found.shape)}
        body = {"model_name": "bench", "outputs": [{**output, "data": found.tolist()}]}
        return Response(orjson.dumps(body), media_type="application/json")


def main(port: int, path: str) -> None:
    """Serve until told to end."""
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=80_000_000,
            log_to_driver=False,
            logging_level="WARNING",
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
        )
        serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
        deployment = serve.deployment(max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.1})
        serve.run(deployment(serve.ingress(app)(Bench)).bind(path), route_prefix="/")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        stop.wait()
        ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
