# SPDX-License-Identifier: Apache-2.0
"""The bare server: FastAPI on uvicorn, the model in the process, nothing else. Arguments: port, joblib file."""

from __future__ import annotations

import sys
from typing import Any

import joblib
import numpy as np
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI()
model: Any = joblib.load(sys.argv[2])


@app.get("/v2/health/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/v2/models/bench/infer")
async def infer(request: Request) -> Response:
    asked = orjson.loads(await request.body())["inputs"][0]
    found = model.predict(np.asarray(asked["data"]).reshape(asked["shape"]))
    output = {"name": "predict", "datatype": "INT64", "shape": list(found.shape)}
    body = {"model_name": "bench", "outputs": [{**output, "data": found.tolist()}]}
    return Response(orjson.dumps(body), media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
