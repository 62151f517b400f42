# SPDX-License-Identifier: Apache-2.0
"""Vectors in the log: whole while they are short, a sketch of 128 sums when not, and never wrong by much."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from services.serving.tests.asking import RAIN, Replica, replica

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.serving import Prediction, PredictionLogged, Vector
from mlops.serving.adapters.inference import answers_of
from mlops.serving.adapters.journal import Journal
from mlops.serving.adapters.prediction_log import PredictionLog
from mlops.serving.adapters.replies import Request
from mlops.serving.adapters.typed import _answers, _vectors
from mlops.serving.model.frames import rows_of
from mlops.serving.model.rows import read_rows
from mlops.serving.model.tensors import Field
from mlops.serving.model.vectors import Shortened, shortened, vector_of

RNG = np.random.default_rng(0)
EMBEDDING = Field("sky", "FP32", (-1, 17))


def test_a_short_vector_is_whole_and_right_to_seven_digits() -> None:
    rows = np.array([[0.1, -2.0, 1e-7], [3e9, 0.25, 0.0]], dtype=np.float32)

    first, second = shortened(rows)

    assert first.values == (0.1, -2.0, 1e-7)
    assert second.values == (3e9, 0.25, 0.0)
    assert (first.length, first.largest) == (None, None)


def test_a_long_vector_is_the_sketch_that_the_contract_describes() -> None:
    row = RNG.normal(size=300)
    sums = [0.0] * 128
    for place, value in enumerate(row):
        odd = zlib.crc32(str(place).encode()) % 2
        sums[place % 128] += -value if odd else value

    (found,) = shortened(row[None, :])

    assert found.values == pytest.approx(sums, abs=1e-4)
    assert found.length == 300


def test_a_sketch_keeps_distances_about_as_they_are() -> None:
    rows = RNG.normal(size=(100, 768))
    apart = np.linalg.norm(rows[0] - rows[1:], axis=1)

    values = np.array([one.values for one in shortened(rows)])

    ratios = np.linalg.norm(values[0] - values[1:], axis=1) / apart
    assert 0.8 < ratios.min() < ratios.max() < 1.2


def test_only_of_probabilities_the_largest_is_told() -> None:
    chances = RNG.dirichlet(np.ones(1000), size=1)

    (said,) = shortened(chances)
    (other,) = shortened(RNG.normal(size=(1, 1000)))

    assert said.largest == int(chances.argmax())
    assert other.largest is None


def test_what_is_no_number_is_missing_and_spoils_one_sum() -> None:
    row = np.arange(300.0)
    row[[3, 200]] = np.nan, np.inf

    (short,), (long,) = shortened(row[None, :16]), shortened(row[None, :])

    assert [place for place, value in enumerate(short.values) if value is None] == [3]
    assert [place for place, value in enumerate(long.values) if value is None] == [3, 200 - 128]


@pytest.mark.parametrize("value", [3, "abc", [1], [1, "a"], [True, False], {"a": 1}, [10**400, 1]])
def test_only_lists_of_numbers_are_vectors(value: object) -> None:
    assert vector_of(value) is None


def test_wide_tensors_are_vectors_and_narrow_ones_numbered_features() -> None:
    narrow = read_rows({"x": np.ones((2, 16))}, ())
    wide = read_rows({"x": np.ones((2, 17))}, ())

    assert len(narrow.features()[0]) == 16
    assert narrow.vectors() == []
    assert wide.features() == [{}, {}]
    assert [len(row["x"].values) for row in wide.vectors()] == [17, 17]


def test_tensors_by_name_are_logged_beside_each_other() -> None:
    fields = [EMBEDDING, Field("wind", "FP64", (-1, 2)), Field("image", "FP64", (-1, 2, 2))]
    tensors = {
        "sky": np.ones((1, 17), np.float32),
        "wind": np.array([[1.0, 2.0]]),
        "image": np.ones((1, 2, 2)),
    }

    rows = read_rows(tensors, fields)

    assert rows.features() == [{"wind0": 1.0, "wind1": 2.0}]
    assert list(rows.vectors()[0]) == ["sky"]


def test_both_protocols_name_a_vector_alike() -> None:
    values = np.ones((1, 17), np.float32)

    by_v2 = read_rows({"any": values}, [EMBEDDING]).vectors()

    assert rows_of(values, [EMBEDDING]).vectors() == by_v2 != []


def test_the_first_output_of_several_numbers_is_the_answer() -> None:
    outputs = {"label": np.array(["a", "b"]), "chances": np.array([[0.25, 0.75], [0.5, 0.5]])}

    assert [one.values for one in answers_of(outputs, 2) if one] == [(0.25, 0.75), (0.5, 0.5)]
    assert answers_of({"y": np.array([[1.0], [2.0]])}, 2) == []
    assert answers_of({"y": np.array([[1.0, 2.0]])}, 2) == []


def test_lists_of_a_bentos_own_methods_are_vectors() -> None:
    assert _vectors([{"sky": [1.0, 2.5], "wind": 3}]) == [{"sky": Shortened((1.0, 2.5))}]
    assert _answers([[0.25, 0.75], [1, 0]], 2) == [
        Shortened((0.25, 0.75)),
        Shortened((1.0, 0.0)),
    ]
    assert _answers([0.25, 0.75], 2) == []
    assert _answers([0.25, 0.75], 1) == [Shortened((0.25, 0.75))]


async def logged(width: int, rows: int) -> list[PredictionLogged]:
    bus = MemoryBus()
    log = PredictionLog(bus.publish, "rain", "rain", 3)
    log.know(1.0)
    values = RNG.normal(size=(rows, width))
    asked = read_rows({"x": values}, ())
    Journal(log, is_on=True).note(
        Request("POST", "/", {}),
        "r",
        rows,
        asked.features,
        lambda: [None] * rows,
        1.5,
        asked.vectors,
        lambda: [*shortened(values[:, :3])],
    )
    await log.flush()
    return [PredictionLogged.model_validate_json(one.model_dump_json()) for one in bus.published]


async def test_vectors_travel_and_are_read_as_they_were() -> None:
    (batch,) = await logged(17, 2)

    row = batch.predictions[1]
    assert list(row.vectors) == ["x"]
    assert isinstance(row.answer, Vector)
    assert row.answer.values == row.vectors["x"].values[:3]
    assert row.prediction is None


async def test_a_vector_however_long_never_fills_a_message() -> None:
    batches = await logged(50_000, 60)

    assert sum(len(batch.predictions) for batch in batches) == 60
    assert {len(row.vectors["x"].values) for batch in batches for row in batch.predictions} == {128}
    assert max(len(batch.encode()) for batch in batches) < 64 * 1024
    assert len(batches) <= 3


def chances(values: Any) -> Any:
    """Answer with a probability for each of three classes."""
    return np.tile([0.125, 0.25, 0.625], (len(values), 1))


def noted(asked: Replica) -> list[Prediction]:
    """Return what waits to be sent: nothing of this replica runs, so the bus is never looked for."""
    if asked.parts.held is not None:
        asked.parts.held.close()
    return [row for row, _ in asked.parts.log._waiting]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v2/models/rain/infer",
            {
                "inputs": [
                    {"name": "sky", "datatype": "FP32", "shape": [2, 40], "data": [[0.5] * 40] * 2}
                ]
            },
        ),
        ("/invocations", {"inputs": [[0.5] * 40] * 2}),
    ],
)
async def test_a_replica_logs_vectors_whichever_protocol_asks(
    tmp_path: Path, path: str, body: Any
) -> None:
    sky = {"name": "sky", "datatype": "FP32", "dtype": "f4", "shape": [-1, 40]}
    asked = replica(tmp_path, {**RAIN, "inputs": [sky]}, chances, nats_url="nats://127.0.0.1:1")

    said = await asked.post(path, body)

    rows = noted(asked)
    assert said.status == 200
    assert [row.vectors["sky"].values for row in rows] == [(0.5,) * 40] * 2
    assert [row.answer.values for row in rows if row.answer] == [(0.125, 0.25, 0.625)] * 2
    assert [(row.features, row.prediction) for row in rows] == [({}, None)] * 2


async def test_of_a_model_of_texts_no_vector_is_logged(tmp_path: Path) -> None:
    text = {"name": "text", "datatype": "BYTES", "dtype": "O", "nullable": False, "shape": [-1]}
    spec = {**RAIN, "task": "text", "inputs": [text]}
    asked = replica(tmp_path, spec, lambda _: chances([1]), nats_url="nats://127.0.0.1:1")

    said = await asked.post(
        "/v2/models/rain/infer",
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["mine"]}]},
    )

    (row,) = noted(asked)
    assert said.status == 200
    assert (row.features, row.vectors, row.answer) == ({"text_characters": 4}, {}, None)
