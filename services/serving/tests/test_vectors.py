# SPDX-License-Identifier: Apache-2.0
"""Vectors in the log: whole while they are short, a sketch of 128 sums when not, and never wrong by much."""

from __future__ import annotations

import threading
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
from mlops.serving.model.vectors import Shortened, shortened, vectors_of

RNG = np.random.default_rng(0)
EMBEDDING = Field("sky", "FP32", (-1, 17))


def test_a_short_vector_is_whole_and_right_to_seven_digits() -> None:
    rows = np.array([[0.1, -2.0, 1e-7], [3e9, 0.25, 0.0]], dtype=np.float32)

    first, second = shortened(rows)

    assert first.values == (0.1, -2.0, 1e-7)
    assert second.values == (3e9, 0.25, 0.0)
    assert (first.length, first.largest) == (None, None)


@pytest.mark.parametrize("width", [129, 300, 1024, 12_345])
def test_a_long_vector_is_the_sketch_that_the_contract_describes(width: int) -> None:
    row = RNG.normal(size=width)
    sums = [0.0] * 128
    for place, value in enumerate(row):
        odd = zlib.crc32(str(place).encode()) % 2
        sums[place % 128] += -value if odd else value

    (found,) = shortened(row[None, :])

    assert found.values == pytest.approx(sums, abs=1e-3)
    assert found.length == width


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
    assert vectors_of([value]) == [None]


def test_lists_of_any_lengths_are_worked_out_as_each_alone() -> None:
    values = [[1, 2.5], "text", [0.5, 0.25], [], RNG.normal(size=300).tolist(), [3, 4], None]

    found = vectors_of(values)

    assert [one and one.length for one in found] == [None, None, None, None, 300, None, None]
    assert [one.values for one in found if one and not one.length] == [
        (1, 2.5),
        (0.5, 0.25),
        (3, 4),
    ]
    assert found[4] == vectors_of([values[4]])[0]


def test_lists_of_whole_numbers_only_may_be_ids_and_stay() -> None:
    assert vectors_of([[101, 2023], [7, 102]]) == [None, None]
    assert _vectors([{"any": [101, 2023, 102]}]) == []
    assert _answers([[101, 2023], [7, 102]], 2) == []


@pytest.mark.parametrize(
    ("name", "datatype", "shape"),
    [
        ("input_ids", "INT64", (-1, 8)),
        ("inputs", "INT64", (-1, -1)),
        ("inputs", "INT32", (-1, 100)),
        ("bytes", "UINT8", (-1, -1)),
        ("segment_tokens", "INT64", (-1, 4)),
    ],
)
@pytest.mark.parametrize("beside", [[], [Field("wind", "FP64", (-1, 2))]])
@pytest.mark.parametrize("is_named", [True, False])
def test_what_may_be_the_ids_of_tokens_never_leaves(
    name: str, datatype: str, shape: tuple[int, ...], beside: list[Field], *, is_named: bool
) -> None:
    field = Field(name, datatype, shape)
    width = shape[1] if shape[1] > 0 else 10
    given = {name: np.full((1, width), 42), **{one.name: np.ones((1, 2)) for one in beside}}

    typed = {key: one.astype("u1") if datatype == "UINT8" else one for key, one in given.items()}
    lists = {key: one.tolist() for key, one in given.items()}
    if is_named:
        rows = read_rows(typed, [field, *beside])
    else:
        rows = rows_of(lists if beside else np.array(lists[name]), [field, *beside])

    assert rows.features() == [{f"wind{place}": 1.0 for place in range(2 * len(beside))}]
    assert rows.vectors() == []


def test_whole_numbers_that_are_no_ids_are_logged() -> None:
    codes, pixels = Field("codes", "INT64", (-1, 2)), Field("pixels", "UINT8", (-1, 64))
    tensors = {"codes": np.array([[3, 4]]), "pixels": np.full((1, 64), 9, np.uint8)}

    rows = read_rows(tensors, [codes, pixels])

    assert rows.features() == [{"codes0": 3, "codes1": 4}]
    assert list(rows.vectors()[0]) == ["pixels"]
    assert read_rows({"x": np.full((1, 30), 1)}, ()).vectors() != []
    assert read_rows({"input_ids": np.full((1, 30), 1)}, ()).vectors() == []


def test_a_wide_mask_is_not_a_feature_for_each_cell() -> None:
    sky, mask = Field("sky", "FP32", (-1, 2)), Field("mask", "BOOL", (-1, -1))
    tensors = {"sky": np.ones((1, 2), np.float32), "mask": np.zeros((1, 17), bool)}

    beside = read_rows(tensors, [sky, mask]).features()
    alone = [read_rows({"x": np.zeros((1, width), bool)}, ()) for width in (100, 100_000)]

    assert list(beside[0]) == ["sky0", "sky1"]
    assert [len(rows.features()[0]) for rows in alone] == [100, 0]


def test_a_vector_s_columns_are_not_even_named() -> None:
    assert read_rows({"x": np.ones((1, 100))}, ()).names == ()


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
    assert answers_of({"labels": np.array([[1, 0]])}, 1) != []
    assert answers_of({"written": np.full((1, 30), 7)}, 1) == []
    assert answers_of({"token_ids": np.array([[7, 8]]), "p": np.array([[0.5, 0.5]])}, 1) == [
        Shortened((0.5, 0.5))
    ]


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


async def test_rows_of_a_large_request_are_worked_out_in_a_thread_of_their_own() -> None:
    bus = MemoryBus()
    log = PredictionLog(bus.publish, "rain", "rain", 3)
    log.know(1.0)
    journal, threads = Journal(log, is_on=True), list[int]()

    def features() -> list[dict[str, Any]]:
        threads.append(threading.get_ident())
        return [{}]

    for body in (b"", b" " * 70_000):
        request = Request("POST", "/", {}, body)
        journal.note(request, "r", 1, features, lambda: [1.0], 1.5)
    assert len(log._waiting) == 1
    await log.flush()

    assert threads[0] == threading.get_ident() != threads[1]
    assert len(bus.published) == 1


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
