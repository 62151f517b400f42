# SPDX-License-Identifier: Apache-2.0
"""Triton's gRPC client asks a server; runs in the environment `triton`.

Reads {"url", "token", "model", "columns", "output", "wrong"}; answers what the client made of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException


def infer(client: Any, wish: Mapping[str, Any], columns: Mapping[str, Sequence[float]]) -> Any:
    asked = []
    for name, values in columns.items():
        column = triton.InferInput(name, [len(values)], "FP64")
        column.set_data_from_numpy(np.array(values))
        asked.append(column)
    headers = {"authorization": f"Bearer {wish['token']}"}
    return client.infer(wish["model"], asked, request_id="r-1", headers=headers)


def refusal(client: Any, wish: Mapping[str, Any]) -> dict[str, Any]:
    try:
        infer(client, wish, wish["columns"] | wish["wrong"])
    except InferenceServerException as error:
        return {"status": error.status(), "told": error.message()}
    return {}


def main() -> None:
    wish = json.load(sys.stdin)
    headers = {"authorization": f"Bearer {wish['token']}"}
    client = triton.InferenceServerClient(wish["url"])
    answer = infer(client, wish, wish["columns"])
    values = answer.as_numpy(wish["output"])
    metadata = client.get_model_metadata(wish["model"], headers=headers)
    found = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(wish["model"], headers=headers),
        "server": client.get_server_metadata(headers=headers).name,
        "inputs": [one.name for one in metadata.inputs],
        "response": {
            "id": answer.get_response().id,
            "model_version": answer.get_response().model_version,
        },
        "values": values.tolist(),
        "dtype": str(values.dtype),
        "refusal": refusal(client, wish),
        "stranger": refusal(client, {**wish, "token": "wrong", "wrong": {}}),
        "unknown": refusal(client, {**wish, "model": "nobody", "wrong": {}}),
    }
    client.close()
    print(json.dumps(found))  # noqa: T201 - that is the answer


if __name__ == "__main__":
    main()
