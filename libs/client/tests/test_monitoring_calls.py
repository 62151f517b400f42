# SPDX-License-Identifier: Apache-2.0
"""Tables as references and for judgement: what is brought, and what comes back."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops.client import MLOpsClient
from mlops.client.endpoints import Endpoints
from mlops.client.errors import BadInputError, RefusedError

JUDGED = {
    "rows": 3,
    "version": 7,
    "drift": {
        "drifted": True,
        "cannot_judge": None,
        "share_drifted_ratio": 0.5,
        "columns": [
            {
                "name": "wind",
                "kind": "data",
                "test": "w1",
                "score": 0.9,
                "threshold": 0.08,
                "drifted": True,
            }
        ],
        "missing_columns": ["sky"],
        "unexpected_columns": [],
    },
    "performance": {
        "metric": "accuracy",
        "value": 0.6,
        "expected": 0.9,
        "threshold": 0.85,
        "degraded": True,
        "rows": 3,
    },
    "retraining_suggested": True,
    "reasons": ["accuracy is 0.6"],
    "suggestion": "retrain",
}
CHOSEN = {"model": "rain", "version": 7, "origin": "u", "rows": 500, "metric": None, "value": None}


class Gateway:
    """Answers as the gateway does, and remembers what it was brought."""

    def __init__(self) -> None:
        self.files: list[tuple[str, bytes]] = []
        self.asked: list[dict[str, str]] = []
        self.commands: list[dict[str, Any]] = []
        self.model = "rain"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, params = request.url.path, dict(request.url.params)
        if path == "/api/v1/files":
            self.files.append((params["name"], request.read()))
            assert int(request.headers["content-length"]) == len(self.files[-1][1])
            return httpx.Response(201, json={"uri": "file:///f.csv", "sha256": "x", "bytes": 1})
        if path == "/api/v1/monitor/judge":
            self.asked.append(params)
            return httpx.Response(200, json=JUDGED)
        if path == "/api/v1/commands":
            self.commands.append(json.loads(request.read()))
            return httpx.Response(202, json={"id": "c-1"})
        if path == "/api/v1/commands/c-1/result":
            event = {"type": "reference.chosen", "source": "/services/monitoring", "data": CHOSEN}
            return httpx.Response(200, json=[event])
        assert path == "/api/v1/projects/rainfall"
        return httpx.Response(200, json={"projects": [{"model": self.model}]})

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.files[-1][1].decode())))


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def client(gateway: Gateway) -> MLOpsClient:
    where = Endpoints("http://gateway", "token")
    return MLOpsClient("rainfall", where, transport=httpx.MockTransport(gateway))


FRAME = pd.DataFrame({"wind": [0.5, np.nan, 1.5], "sky": ["blue", None, "a,b"]})
ROWS = [
    {"wind": "0.5", "sky": "blue"},
    {"wind": "", "sky": ""},
    {"wind": "1.5", "sky": "a,b"},
]


@pytest.mark.parametrize(
    "data",
    [
        FRAME,
        pa.table({"wind": [0.5, None, 1.5], "sky": ["blue", None, "a,b"]}),
        {"wind": np.array([0.5, np.nan, 1.5]), "sky": ["blue", None, "a,b"]},
        {"wind": (0.5, float("nan"), 1.5), "sky": pd.Series(["blue", pd.NA, "a,b"])},
        [{"wind": 0.5, "sky": "blue"}, {"wind": None}, {"wind": 1.5, "sky": "a,b"}],
    ],
)
def test_a_table_of_any_kind_is_the_same_table(
    client: MLOpsClient, gateway: Gateway, data: Any
) -> None:
    client.monitor_predictions(data)

    assert gateway.files[-1][0] == "table.csv"
    assert gateway.rows == ROWS
    assert gateway.asked == [{"project": "rainfall", "model": "rain", "uri": "file:///f.csv"}]


def test_a_frame_that_writes_csv_as_polars_does_is_brought(
    client: MLOpsClient, gateway: Gateway
) -> None:
    class Polars:
        columns = ("wind", "sky")

        def write_csv(self, path: Path) -> None:
            path.write_text('wind,sky\n0.5,blue\n,\n1.5,"a,b"\n')

    client.monitor_predictions(Polars())

    assert gateway.rows == ROWS


def test_a_file_is_brought_as_it_is(client: MLOpsClient, gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "rain.parquet"
    path.write_bytes(b"PAR1" * 100_000)

    client.monitor_predictions(path, target="truth", prediction="answer", model="snow")

    assert gateway.files == [("rain.parquet", path.read_bytes())]
    (asked,) = gateway.asked
    assert (asked["model"], asked["target"], asked["prediction"]) == ("snow", "truth", "answer")


def test_values_become_columns(client: MLOpsClient, gateway: Gateway) -> None:
    client.monitor_predictions(FRAME, target=pd.Series([1, 0, 1]), prediction=np.array([1, 1, 1]))

    (asked,) = gateway.asked
    assert (asked["target"], asked["prediction"]) == ("target", "prediction")
    assert [row["target"] for row in gateway.rows] == ["1", "0", "1"]
    assert [row["prediction"] for row in gateway.rows] == ["1", "1", "1"]


def test_the_judgement_is_told_whole(client: MLOpsClient) -> None:
    found = client.monitor_predictions(FRAME)

    assert (found.model, found.version, found.rows) == ("rain", 7, 3)
    assert (found.drift.drifted, found.drift.missing_columns) == (True, ("sky",))
    assert (found.drift.columns[0].name, found.drift.columns[0].score) == ("wind", 0.9)
    assert found.performance is not None
    assert (found.performance.value, found.performance.degraded) == (0.6, True)
    assert (found.retraining_suggested, found.suggestion) == (True, "retrain")


def test_a_reference_is_set_by_a_command(client: MLOpsClient, gateway: Gateway) -> None:
    found = client.set_reference_data(FRAME, target="sky")

    (command,) = gateway.commands
    assert command["type"] == "cmd.monitor.reference"
    assert command["data"] == {"model": "rain", "uri": "file:///f.csv", "target": "sky"}
    assert (found.version, found.rows, found.value) == (7, 500, None)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ("absent.csv", "there is no file"),
        ("absent.txt", "neither CSV nor Parquet"),
        (3, "int is no table"),
        ([1, 2], "list is no table"),
        ({}, "empty"),
        ({"a": []}, "empty"),
        ({"a": [1], "b": [1, 2]}, "differ in length"),
    ],
)
def test_what_is_no_table_is_not_brought(
    client: MLOpsClient, gateway: Gateway, data: Any, word: str
) -> None:
    with pytest.raises(BadInputError, match=word):
        client.monitor_predictions(data)

    assert gateway.files == []


def test_values_cannot_be_added_to_a_file(client: MLOpsClient, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")

    with pytest.raises(BadInputError, match="cannot be added to a file"):
        client.monitor_predictions(tmp_path / "a.csv", prediction=[1])


def test_a_project_without_a_model_needs_its_name(client: MLOpsClient, gateway: Gateway) -> None:
    gateway.model = ""

    with pytest.raises(BadInputError, match="names no model"):
        client.monitor_predictions(FRAME)

    assert client.monitor_predictions(FRAME, model="snow").model == "snow"


def test_a_refusal_says_what_and_how_to_go_on(gateway: Gateway) -> None:
    def refuses(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api/v1/files":
            return gateway(request)
        told = {"what": "the file is too large", "which": "more than 1 bytes", "fix": "send less"}
        return httpx.Response(413, json={"error": told})

    where = Endpoints("http://gateway", "token")
    client = MLOpsClient("rainfall", where, transport=httpx.MockTransport(refuses))

    with pytest.raises(RefusedError, match="too large") as caught:
        client.monitor_predictions(FRAME)

    assert caught.value.hint == "send less"
