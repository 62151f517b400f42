# SPDX-License-Identifier: Apache-2.0
"""KServe's ModelServer with the model in it, as its documentation writes one. Arguments: port, joblib file."""

from __future__ import annotations

import sys
from typing import Any

import joblib
import kserve.protocol.rest.server as rest
import uvicorn
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class Bench(Model):  # type: ignore[misc]  # KServe is not in this environment
    """Answers rows with the model's predictions."""

    def __init__(self, path: str) -> None:
        super().__init__("bench")
        self.fitted: Any = joblib.load(path)
        self.ready = True

    def predict(
        self, payload: InferRequest, headers: dict[str, str] | None = None, **_: Any
    ) -> InferResponse:
        """Answer one request."""
        del headers
        found = self.fitted.predict(payload.inputs[0].as_numpy())
        output = InferOutput("predict", list(found.shape), "INT64", found.tolist())
        return InferResponse(
            response_id=payload.id or "bench", model_name=self.name, infer_outputs=[output]
        )


class Loopback(uvicorn.Config):
    """KServe binds every address of the machine, and has no setting for it."""

    def __init__(self, app: Any, **more: Any) -> None:
        super().__init__(app, **{**more, "host": "127.0.0.1", "access_log": False})


if __name__ == "__main__":
    rest.uvicorn.Config = Loopback
    server = ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, access_log_format=None)
    server.start([Bench(sys.argv[2])])
