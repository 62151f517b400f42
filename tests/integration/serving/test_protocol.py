# SPDX-License-Identifier: Apache-2.0
"""The Open Inference Protocol at a real replica, for a model kept in each of the ways we load."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

pytestmark = [
    pytest.mark.server,
    pytest.mark.mlflow,
    pytest.mark.ray,
    pytest.mark.timeout(300),
]
ROWS = [[0.9, 0.1, 0.5], [0.1, 0.2, 0.3]]


@pytest.mark.parametrize(
    ("kind", "backend", "said"),
    [
        ("skops", "sklearn", [1, 0]),
        ("names", "sklearn", [1, 0]),
        ("pyfunc", "pyfunc", [1.8, 0.2]),
    ],
)
async def test_protocol(
    project: Any, callers: Any, kind: str, backend: str, said: list[float]
) -> None:
    project.name = f"protocol-{kind}"
    await project.register(model=project.name)
    [version] = project.log(kind)
    done = await project.serve(version)
    [url] = await project.weights()

    assert done["data"]["backend"] == backend
    await asyncio.to_thread(check_all, callers, url, project.name, said)


def check_all(callers: Any, url: str, model: str, said: list[float]) -> None:
    ask, at = callers.ask, f"{url}/v2/models/{model}"
    columns = callers.columns(temperature=[0.9, 0.1], dew_point=[0.1, 0.2], visibility=[0.5, 0.3])
    matrix = [{"name": "rows", "datatype": "FP64", "shape": [2, 3], "data": ROWS}]

    assert ask(f"{url}/v2/health/live") == (200, {"live": True})
    assert ask(f"{url}/v2/health/ready") == (200, {"ready": True})
    assert ask(f"{at}/ready") == (200, {"name": model, "ready": True})
    assert ask(f"{at}/versions/1/ready") == (200, {"name": model, "ready": True})
    status, metadata = ask(at)
    assert (status, metadata["versions"]) == (200, ["1"])
    assert [one["name"] for one in metadata["inputs"]] == ["temperature", "dew_point", "visibility"]

    for inputs in (columns, matrix, columns[::-1]):
        status, answer = ask(f"{at}/infer", {"id": "a", "inputs": inputs})
        assert (status, answer["id"], answer["model_version"]) == (200, "a", "1")
        assert answer["outputs"][0]["data"] == pytest.approx(said)
    assert ask(f"{at}/versions/1/infer", {"inputs": matrix})[0] == 200

    assert ask(f"{at}/versions/2/infer", {"inputs": matrix})[0] == 404
    assert ask(f"{url}/v2/models/other/infer", {"inputs": matrix})[0] == 404
    for inputs, reason in (
        ([], "at least one tensor"),
        (columns[:2], "missing: visibility"),
        ([{**matrix[0], "shape": [3, 2]}], "must have 3 columns"),
        ([{**matrix[0], "datatype": "FP99"}], "is not one of BOOL"),
        ([{**matrix[0], "data": [[1, 2, 3], [4, 5, "x"]]}], "is not FP64"),
    ):
        status, answer = ask(f"{at}/infer", {"inputs": inputs})
        assert status == 400
        assert reason in answer["error"]
    assert binary(url, model) == (400, "binary tensor data is not supported")


def binary(url: str, model: str) -> tuple[int, str]:
    """Ask as tritonclient does by default."""
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "rows",
                    "datatype": "FP64",
                    "shape": [1, 3],
                    "parameters": {"binary_data_size": 24},
                }
            ]
        }
    ).encode()
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request(
        "POST",
        f"{parts.path}/v2/models/{model}/infer",
        head + bytes(24),
        {"Inference-Header-Content-Length": str(len(head))},
    )
    reply = connection.getresponse()
    error = json.load(reply)["error"]
    connection.close()
    return reply.status, error.partition(";")[0]
