# SPDX-License-Identifier: Apache-2.0
"""Triton's HTTP client asks a server; runs in the environment `triton`.

Reads {"url", "token", "model", "columns", "output", "binary", "wrong"}; answers what the client made of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


def inputs_of(columns: Mapping[str, Sequence[float]], *, binary: bool) -> list[Any]:
    found = []
    for name, values in columns.items():
        column = triton.InferInput(name, [len(values)], "FP64")
        column.set_data_from_numpy(np.array(values), binary_data=binary)
        found.append(column)
    return found


def infer(client: Any, wish: Mapping[str, Any], columns: Mapping[str, Sequence[float]]) -> Any:
    asked = inputs_of(columns, binary=wish["binary"])
    outputs = None
    if not wish["binary"]:
        outputs = [triton.InferRequestedOutput(wish["output"], binary_data=False)]
    headers = {"authorization": f"Bearer {wish['token']}"}
    return client.infer(wish["model"], asked, outputs=outputs, request_id="r-1", headers=headers)


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
    found = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(wish["model"], headers=headers),
        "server": client.get_server_metadata(headers=headers),
        "metadata": client.get_model_metadata(wish["model"], headers=headers),
        "index": client.get_model_repository_index(headers=headers),
        "response": {key: answer.get_response().get(key) for key in ("id", "model_version")},
        "values": values.tolist(),
        "dtype": str(values.dtype),
        "refusal": refusal(client, wish),
    }
    client.close()
    print(json.dumps(found))  # noqa: T201 - that is the answer


if __name__ == "__main__":
    main()
