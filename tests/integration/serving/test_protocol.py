# SPDX-License-Identifier: Apache-2.0
"""Every protocol of a real replica, through HAProxy, for a model kept in each of the ways we load."""

from __future__ import annotations

import asyncio
import http.client
import json
import struct
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
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
NAMES = ["temperature", "dew_point", "visibility"]
MATRIX = {"name": "rows", "datatype": "FP64", "shape": [2, 3], "data": ROWS}
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
JSON = {"Content-Type": "application/json"}


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
    # What is logged here as cloudpickle is the test's own.
    await project.register(model=project.name, allow_pickle=True)
    [version] = project.log(kind)
    done = await project.serve(version)
    [url] = await project.weights()

    assert done["data"]["backend"] == backend
    await asyncio.to_thread(check_v2, callers, url, project.name, said)
    await asyncio.to_thread(check_binary, url, project.name, said)
    await asyncio.to_thread(check_others, callers, url, project.name, said)
    await asyncio.to_thread(check_bounds, callers, url, project.name)


async def test_a_crowd_is_turned_away_and_the_rest_answered(project: Any, callers: Any) -> None:
    await project.register(model=project.name, allow_pickle=True, max_queue=4)
    [version] = project.log("slow")
    await project.serve(version)
    [url] = await project.weights()

    with ThreadPoolExecutor(40) as many:
        path = f"{url}/v2/models/{project.name}/infer"
        body = {"inputs": [MATRIX]}
        asked = [many.submit(callers.ask, path, body) for _ in range(40)]
        answers = await asyncio.to_thread(lambda: [one.result() for one in asked])
    after = await asyncio.to_thread(callers.ask, path, body)

    found = Counter(status for status, _ in answers)
    assert set(found) == {200, 429}
    assert found[200] >= 12  # 8 at once, 4 wait
    assert "come again" in next(answer["error"] for status, answer in answers if status == 429)
    assert after[0] == 200


def check_v2(callers: Any, url: str, model: str, said: list[float]) -> None:
    ask, at = callers.ask, f"{url}/v2/models/{model}"
    columns = callers.columns(temperature=[0.9, 0.1], dew_point=[0.1, 0.2], visibility=[0.5, 0.3])

    assert ask(f"{url}/v2/health/live") == (200, {"live": True})
    assert ask(f"{url}/v2/health/ready") == (200, {"ready": True})
    assert ask(f"{at}/ready") == (200, {"name": model, "ready": True})
    assert ask(f"{at}/versions/1/ready") == (200, {"name": model, "ready": True})
    assert ask(f"{url}/v2")[1]["extensions"] == ["binary_tensor_data"]
    assert ask(f"{url}/v2/repository/index", {}) == (
        200,
        [{"name": model, "version": "1", "state": "READY", "reason": ""}],
    )
    status, metadata = ask(at)
    assert (status, metadata["versions"]) == (200, ["1"])
    assert [one["name"] for one in metadata["inputs"]] == NAMES

    for inputs in (columns, [MATRIX], columns[::-1]):
        status, answer = ask(f"{at}/infer", {"id": "a", "inputs": inputs})
        assert (status, answer["id"], answer["model_version"]) == (200, "a", "1")
        assert answer["outputs"][0]["data"] == pytest.approx(said)
    assert ask(f"{at}/versions/1/infer", {"inputs": [MATRIX]})[0] == 200

    assert ask(f"{at}/versions/2/infer", {"inputs": [MATRIX]})[0] == 404
    assert ask(f"{url}/v2/models/other/infer", {"inputs": [MATRIX]})[0] == 404
    for inputs, reason in (
        ([], "at least one tensor"),
        (columns[:2], "missing: visibility"),
        ([{**MATRIX, "shape": [3, 2]}], "must have 3 columns"),
        ([{**MATRIX, "datatype": "FP99"}], "is not one of BOOL"),
        ([{**MATRIX, "data": [[1, 2, 3], [4, 5, "x"]]}], "is not FP64"),
    ):
        status, answer = ask(f"{at}/infer", {"inputs": inputs})
        assert status == 400
        assert reason in answer["error"]


def check_binary(url: str, model: str, said: list[float]) -> None:
    """Ask as tritonclient does by default."""
    parameters = {"binary_data_size": 48}
    tensor = {"name": "rows", "datatype": "FP64", "shape": [2, 3], "parameters": parameters}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    raw = struct.pack("<6d", *ROWS[0], *ROWS[1])
    header = {"Inference-Header-Content-Length": str(len(head))}
    path = f"/v2/models/{model}/infer"

    status, headers, body = post(url + path, head + raw, header)
    cut, _, error = post(url + path, head + raw[:-1], header)

    assert status == 200
    length = int(headers["inference-header-content-length"])
    [output] = json.loads(body[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": len(body) - length}
    layout = {"INT64": "<2q", "FP64": "<2d"}[output["datatype"]]
    assert list(struct.unpack(layout, body[length:])) == pytest.approx(said)
    assert cut == 400
    assert b"the binary part is cut short" in error


def check_others(callers: Any, url: str, model: str, said: list[float]) -> None:
    ask = callers.ask

    assert ask(f"{url}/predict", {"rows": RECORDS}) == (200, pytest.approx(said))
    status, answer = ask(f"{url}/predict", {"rows": "none"})
    assert (status, answer["detail"][0]["loc"][0]) == (422, "rows")
    for body in (
        {"dataframe_records": RECORDS},
        {"dataframe_split": {"columns": NAMES, "data": ROWS}},
        {"inputs": {name: [row[place] for row in ROWS] for place, name in enumerate(NAMES)}},
    ):
        assert ask(f"{url}/invocations", body) == (200, {"predictions": pytest.approx(said)})
    table = "\n".join([",".join(NAMES), *(",".join(map(str, row)) for row in ROWS)])
    status, _, raw = post(f"{url}/invocations", table.encode(), {"Content-Type": "text/csv"})
    assert (status, json.loads(raw)["predictions"]) == (200, pytest.approx(said))
    assert ask(f"{url}/v1/chat/completions", {"messages": []})[0] == 404
    status, described = ask(f"{url}/openapi.json")
    assert status == 200
    assert {"/predict", "/invocations", f"/v2/models/{model}/infer"} <= set(described["paths"])


def check_bounds(callers: Any, url: str, model: str) -> None:
    large = b" " * (64 * 1024 * 1024 + 1)

    status, _, body = post(f"{url}/v2/models/{model}/infer", large, JSON)

    assert status == 413
    assert b"SERVING_REPLICA_MAX_BODY_MB" in body
    assert callers.ask(f"{url}/v2/models/{model}/infer", {"inputs": [MATRIX]})[0] == 200


def post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request("POST", parts.path, body, headers)
        reply = connection.getresponse()
        return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
    finally:
        connection.close()
