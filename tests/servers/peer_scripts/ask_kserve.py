# SPDX-License-Identifier: Apache-2.0
"""KServe's REST client asks a server; runs in the environment `kserve`.

Reads {"url", "token", "model", "columns", "output", "binary"}; answers what the client made of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def request_of(wish: Mapping[str, Any]) -> Any:
    inputs = []
    for name, values in wish["columns"].items():
        column = InferInput(name, [len(values)], "FP64")
        column.set_data_from_numpy(np.array(values), binary_data=wish["binary"])
        inputs.append(column)
    outputs = [RequestedOutput(wish["output"], parameters={"binary_data": wish["binary"]})]
    return InferRequest(wish["model"], inputs, request_id="r-1", request_outputs=outputs)


async def ask(wish: Mapping[str, Any]) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {wish['token']}"}
    url, model = wish["url"], wish["model"]
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        answer = await client.infer(url, request_of(wish), model_name=model, headers=headers)
        values = answer.outputs[0].as_numpy()
        return {
            "live": await client.is_server_live(url, headers=headers),
            "ready": await client.is_server_ready(url, headers=headers),
            "model_ready": await client.is_model_ready(url, model, headers=headers),
            "id": answer.id,
            "output": answer.outputs[0].name,
            "values": values.tolist(),
            "dtype": str(values.dtype),
        }


def main() -> None:
    print(json.dumps(asyncio.run(ask(json.load(sys.stdin)))))  # noqa: T201 - that is the answer


if __name__ == "__main__":
    main()
