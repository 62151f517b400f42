# SPDX-License-Identifier: Apache-2.0
"""A Bento of ours under BentoML's own server: the same answers, true types in its OpenAPI, wrong rows refused."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops.cli.home import Home
from mlops.cli.store_desk import ask

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(240)]
PROJECT = "served"
WEATHER = {"temperature": 0.9, "dew_point": 0.1, "visibility": 0.5}


@contextlib.contextmanager
def served(home: Home, tag: str) -> Iterator[str]:
    """Run `bentoml serve` on a package."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bentoml", "serve", tag, "--host", "127.0.0.1"]
    env = {"BENTOML_HOME": str(home.root / "bentoml"), "BENTOML_DO_NOT_TRACK": "1"}
    with (home.root / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            env=os.environ | env,
            stdout=log,
            stderr=log,
            process_group=0,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while asked(f"{url}/readyz")[0] != 200:
            assert time.monotonic() < deadline, (home.root / "log").read_text()[-3000:]
            time.sleep(0.2)
        yield url
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def asked(url: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - as above
            said = reply.read()
            return reply.status, json.loads(said) if said.strip() else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, None


def packed(tmp_path: Path, mlflow_url: str, version: int) -> tuple[Home, str]:
    home = Home(tmp_path)
    order = {"project": PROJECT, "model": PROJECT, "version": version, "backend": "auto"}
    made = ask(home, "build", lambda _: None, **order, mlflow_url=mlflow_url, allow_pickle=False)
    return home, str(made["bento_tag"])


def answer_type(url: str) -> dict[str, Any]:
    _, told = asked(f"{url}/docs.json")
    answer = told["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]
    items: dict[str, Any] = answer["schema"]["items"]
    return items


def row_type(url: str) -> dict[str, Any]:
    _, told = asked(f"{url}/docs.json")
    body = told["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    items: dict[str, Any] = body["schema"]["properties"]["rows"]["items"]
    if "$ref" in items:
        items = told["components"]["schemas"][items["$ref"].rpartition("/")[2]]
    return items


def test_a_scikit_learn_model_answers_named_columns(
    tmp_path: Path, mlflow_url: str, trainer: Any
) -> None:
    [version] = trainer.log(PROJECT, "skops")

    with served(*packed(tmp_path, mlflow_url, version)) as url:
        answer = asked(f"{url}/predict", {"rows": [WEATHER, {**WEATHER, "temperature": 0.1}]})
        wrong = asked(f"{url}/predict", {"rows": [{**WEATHER, "temperature": "warm"}]})
        unknown = asked(f"{url}/predict", {"rows": [{**WEATHER, "wind": 1.0}]})
        kind, answered = row_type(url), answer_type(url)

    assert answer == (200, [1, 0])
    assert (wrong[0], unknown[0]) == (400, 400)
    assert kind["required"] == list(WEATHER)
    assert answered == {"type": "integer"}
    assert {one["type"] for one in kind["properties"].values()} == {"number"}


def test_an_onnx_graph_answers_tensors(tmp_path: Path, mlflow_url: str, trainer: Any) -> None:
    [version] = trainer.log(PROJECT, "onnx")

    with served(*packed(tmp_path, mlflow_url, version)) as url:
        answer = asked(f"{url}/predict", {"rows": [[0.25, 0.5, 1.0]]})
        short = asked(f"{url}/predict", {"rows": [[0.25, 0.5]]})
        kind, answered = row_type(url), answer_type(url)

    assert answer == (200, [[0.5]])
    assert short[0] == 400
    assert (kind["items"]["type"], kind["minItems"], kind["maxItems"]) == ("number", 3, 3)
    assert (answered["items"]["type"], answered["minItems"]) == ("number", 1)
