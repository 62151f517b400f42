# SPDX-License-Identifier: Apache-2.0
"""MLflow's scoring protocol: the same body gets the same answer as from MLflow's own scoring server."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.base import BaseEstimator

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of its own type hints
    import mlflow.pyfunc
    import mlflow.pyfunc.scoring_server as theirs
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from mlflow.version import VERSION

from services.serving.tests.asking import RAIN, Said, replica

from mlops.serving.adapters.bento.packed_loading import load
from mlops.serving.model.signature import fields, optional
from mlops.serving.model.tensors import DTYPES

FRAME = pd.DataFrame(
    {"temperature": [0.9, 0.1], "days": np.array([3, 4], "int64"), "place": ["here", "there"]}
)
JSON = {"Content-Type": "application/json"}
CSV = {"Content-Type": "text/csv"}

Answer = Callable[[Any], Any]


class Told(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Answers whatever the test wants."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def predict(self, rows: Any) -> Any:
        return self.answer(rows)


def doubled(frame: Any) -> Any:
    return (frame["temperature"] * 2 + frame["days"]).to_numpy()


@dataclass
class Pair:
    """The same model behind MLflow's scoring application and behind ours."""

    theirs: Any
    ours: Any

    async def ask(
        self, body: Any, headers: dict[str, str] | None = None
    ) -> tuple[tuple[int, Any], Said]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = JSON if headers is None else headers
        return await asked(self.theirs, raw, given), await self.ours.post(
            "/invocations", raw, given
        )


async def asked(app: Any, raw: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    told: list[Any] = []
    waiting = [{"type": "http.request", "body": raw, "more_body": False}]

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        told.append(message)

    given = [(one.lower().encode(), two.encode()) for one, two in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": given}
    await app({**scope, "query_string": b"", "root_path": ""}, receive, send)
    body = b"".join(one.get("body", b"") for one in told[1:])
    return told[0]["status"], json.loads(body) if told[0]["status"] == 200 else body


def signed(*seen: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an error in there would make the type "any"
        return infer_signature(*seen)


def pair(folder: Path, answer: Answer, signature: Any) -> Pair:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of type hints and of integers
        mlflow.sklearn.save_model(
            Told(answer),
            folder / "m",
            signature=signature,
            pip_requirements=[],
            serialization_format="cloudpickle",
        )
        app = theirs.init(mlflow.pyfunc.load_model(str(folder / "m")))
    described = yaml.safe_load((folder / "m" / "MLmodel").read_text()).get("signature") or {}
    spec = {
        **RAIN,
        "backend": "pyfunc",
        "pickles": True,
        "inputs": [
            {
                **asdict(one),
                "dtype": DTYPES[one.datatype],
                "nullable": one.name in optional(described.get("inputs")),
            }
            for one in fields(described.get("inputs"), "input")
        ],
        "outputs": [asdict(one) for one in fields(described.get("outputs"), "predict")],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = load(folder / "m", spec)
    return Pair(app, replica(folder, spec=spec, answer=ours.answer))


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    signature = signed(FRAME, np.array([1.0, 2.0]))
    return pair(tmp_path_factory.mktemp("table"), doubled, signature)


SPLIT: dict[str, list[Any]] = {
    "columns": ["temperature", "days", "place"],
    "data": [[0.9, 3, "here"], [0.1, 4, "x"]],
}
RECORDS = [{"temperature": 0.9, "days": 3, "place": "here"}]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_split": {**SPLIT, "index": [7, 8]}},
        {"dataframe_split": {"columns": ["place", "days", "temperature"], "data": [["a", 1, 2.5]]}},
        {"dataframe_split": {"columns": [*SPLIT["columns"], "more"], "data": [[0.9, 3, "a", 1]]}},
        {"dataframe_records": RECORDS},
        {"dataframe_records": [{**RECORDS[0], "temperature": 1}]},
        {"dataframe_records": [{**RECORDS[0], "days": 2.0}]},
        {"dataframe_records": [{**RECORDS[0], "more": "x"}]},
        {"inputs": {"temperature": [0.9], "days": [3], "place": ["here"]}},
        {"instances": RECORDS},
        {"instances": RECORDS * 3},
        {"dataframe_split": SPLIT, "params": None},
    ],
)
async def test_a_frame_gets_mlflow_s_answer(table: Pair, body: Any) -> None:
    (status, said), ours = await table.ask(body)

    assert (status, ours.status) == (200, 200)
    assert ours.json == said


@pytest.mark.parametrize(
    "body",
    [
        b"temperature,days,place\n0.9,3,here\n0.1,4,there\n",
        b'place,temperature,days\n"a, b",1,2\n',
        b"days,more,place,temperature\n1,x,y,0.5\n",
    ],
)
async def test_csv_gets_mlflow_s_answer(table: Pair, body: bytes) -> None:
    (status, said), ours = await table.ask(body, CSV)

    assert (status, ours.status) == (200, 200)
    assert ours.json == said


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rows": []},
        {"dataframe_split": SPLIT, "inputs": {}},
        {"dataframe_split": []},
        {"dataframe_split": {"columns": ["temperature"]}},
        {"dataframe_split": {**SPLIT, "odd": 1}},
        {"dataframe_split": {"columns": ["temperature"], "data": [[1, 2]]}},
        {"dataframe_records": {"temperature": 1}},
        {"dataframe_records": [{"temperature": 1}]},
        {"dataframe_records": [{**RECORDS[0], "days": "three"}]},
        {"inputs": {"temperature": [1]}},
        [],
        b"{",
        b"\xff",
    ],
)
async def test_what_mlflow_refuses_is_refused(table: Pair, body: Any) -> None:
    (status, _), ours = await table.ask(body)

    assert (status, ours.status) == (400, 400)
    assert ours.json["error_code"] == "BAD_REQUEST"
    assert len(ours.json["message"]) > 10


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json; odd=1"},
    ],
)
async def test_types_that_mlflow_refuses_are_refused(table: Pair, headers: dict[str, str]) -> None:
    (status, _), ours = await table.ask({"dataframe_split": SPLIT}, headers)

    assert (status, ours.status) == (415, 415)


async def test_utf_8_said_aloud_is_taken(table: Pair) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}

    (status, said), ours = await table.ask({"dataframe_split": SPLIT}, headers)

    assert (status, ours.status, ours.json) == (200, 200, said)


@pytest.mark.parametrize(
    "answer",
    [
        lambda rows: pd.DataFrame({"a": [1.5] * len(rows), "b": ["x"] * len(rows)}),
        lambda rows: pd.Series([1, 2][: len(rows)], name="chance"),
        lambda rows: {"a": np.ones(len(rows)), "b": ["x"] * len(rows)},
        lambda rows: ["sun"] * len(rows),
        lambda rows: np.array([[0.2, 0.8]] * len(rows)),
        lambda rows: np.array(["sun"] * len(rows)),
        lambda rows: [np.float32(0.5)] * len(rows),
        lambda rows: [{"label": "sun", "score": np.float64(0.5)}] * len(rows),
        lambda rows: pd.DataFrame({"at": pd.to_datetime(["2026-01-02"] * len(rows))}),
    ],
)
async def test_whatever_a_model_gives_is_written_as_mlflow_writes_it(
    tmp_path: Path, answer: Answer
) -> None:
    both = pair(tmp_path, answer, signed(FRAME))

    (status, said), ours = await both.ask({"dataframe_split": SPLIT})

    assert (status, ours.status) == (200, 200)
    assert ours.json == said


TENSOR = signed(np.ones((1, 2), np.float32), np.ones(1, np.float32))


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [[1, 2], [3, 4]]},
        {"instances": [[1.5, 2.5]]},
        {"dataframe_split": {"columns": ["a", "b"], "data": [[1.5, 2.5]]}},
        {"dataframe_split": {"data": [[1.5, 2.5]]}},
    ],
)
async def test_a_tensor_gets_mlflow_s_answer(tmp_path: Path, body: Any) -> None:
    both = pair(tmp_path, lambda rows: np.asarray(rows).sum(axis=1), TENSOR)

    (status, said), ours = await both.ask(body)

    assert (status, ours.status) == (200, 200)
    assert ours.json == said


async def test_a_tensor_of_another_shape_is_refused_by_both(tmp_path: Path) -> None:
    both = pair(tmp_path, lambda rows: np.asarray(rows).sum(axis=1), TENSOR)

    (status, _), ours = await both.ask({"inputs": [[1, 2, 3]]})

    assert (status, ours.status) == (400, 400)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["a", "b"], "data": [[1.5, 2.5]]}},
        {"dataframe_records": [{"a": 1, "b": 2}]},
    ],
)
async def test_without_a_signature_the_columns_are_those_of_the_body(
    tmp_path: Path, body: Any
) -> None:
    both = pair(tmp_path, lambda rows: (rows["a"] + rows["b"]).to_numpy(), None)

    (status, said), ours = await both.ask(body)

    assert (status, ours.status) == (200, 200)
    assert ours.json == said


@pytest.mark.parametrize(
    "row", [{"temperature": 1.5, "days": 2.0, "place": "a"}, {"temperature": 1.5, "place": "a"}]
)
async def test_an_optional_column_may_be_missing(tmp_path: Path, row: dict[str, Any]) -> None:
    missing = pd.DataFrame({"temperature": [0.9, None], "days": [3.0, None], "place": ["a", "b"]})
    both = pair(tmp_path, lambda rows: rows["temperature"].to_numpy() * 2, signed(missing))

    (status, said), ours = await both.ask({"dataframe_records": [row]})

    assert (status, ours.status) == (200, 200)
    assert ours.json == said


# What differs, and shall.


async def test_a_fraction_for_a_whole_number_is_refused_where_mlflow_cuts_it(table: Pair) -> None:
    body = {"dataframe_records": [{**RECORDS[0], "days": 2.5}]}

    (status, _), ours = await table.ask(body)

    assert (status, ours.status) == (200, 400)
    assert "fractions are none" in ours.json["message"]


async def test_a_number_that_is_none_is_null_where_mlflow_writes_no_json(tmp_path: Path) -> None:
    both = pair(tmp_path, lambda rows: np.full(len(rows), np.nan), signed(FRAME))

    (_, said), ours = await both.ask({"dataframe_split": SPLIT})

    assert ours.json == {"predictions": [None, None]}
    assert np.isnan(said["predictions"]).all()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"dataframe_split": SPLIT, "params": {"k": 1}}, "`params` are not supported"),
        ({"messages": []}, "answered at /v1/chat/completions"),
    ],
)
async def test_what_belongs_elsewhere_is_said(table: Pair, body: Any, said: str) -> None:
    ours = await table.ours.post("/invocations", body, JSON)

    assert ours.status == 400
    assert said in ours.json["message"]


@pytest.mark.parametrize(
    ("path", "said"), [("/ping", b"\n"), ("/health", b"\n"), ("/version", VERSION.encode())]
)
async def test_health_and_version_are_mlflow_s(table: Pair, path: str, said: bytes) -> None:
    answer = await table.ours.get(path)

    assert (answer.status, answer.body) == (200, said)
