# SPDX-License-Identifier: Apache-2.0
"""The parts that stand in every Bento: rows and types, layers in several libraries, texts that stop, one thread."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import save_file

from mlops.serving.adapters.bento.packed_files import DamagedError, check_files, digests
from mlops.serving.adapters.bento.packed_layers import LayersError, read_layers, sizes
from mlops.serving.adapters.bento.packed_nets import mlx_net, numpy_net, onnx_model
from mlops.serving.adapters.bento.packed_rows import answers_of, rows_of
from mlops.serving.adapters.bento.packed_text import until_stopped
from mlops.serving.adapters.bento.packed_thread import OneThread
from mlops.serving.adapters.bento.packed_types import answers_type, rows_type


def column(name: str, datatype: str, dtype: str, *, nullable: bool = False) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "dtype": dtype, "shape": [-1], "nullable": nullable}


WEATHER: dict[str, Any] = {
    "inputs": [
        column("dew point", "FP64", "f8", nullable=True),
        column("model_days", "INT32", "i4"),
        column("place", "BYTES", "O"),
    ],
    "outputs": [{"name": "predict", "datatype": "INT64", "shape": [-1]}],
    "example": None,
}
IMAGE: dict[str, Any] = {
    "inputs": [
        {"name": "x", "datatype": "FP32", "dtype": "f4", "shape": [-1, 2, 2], "nullable": False}
    ],
    "outputs": [],
    "example": None,
}
HERE = {"dew point": 0.5, "model_days": 3, "place": "here"}


def test_rows_become_typed_columns_in_the_order_of_the_signature() -> None:
    checked = rows_type(WEATHER).model_validate({"rows": [HERE, {"place": "x", "model_days": 1}]})

    found = rows_of(checked.rows, WEATHER)  # type: ignore[attr-defined]  # a type made at run time

    assert list(found) == ["dew point", "model_days", "place"]
    assert found["model_days"].dtype == np.int32
    np.testing.assert_array_equal(found["dew point"], [0.5, np.nan])


@pytest.mark.parametrize(
    "change",
    [
        {"model_days": "3"},
        {"model_days": 2**31},
        {"model_days": None},
        {"dew point": "dry"},
        {"dew point": float("nan")},
        {"place": 7},
        {"unknown": 1},
    ],
)
def test_a_row_that_is_not_of_the_signature_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        rows_type(WEATHER).model_validate({"rows": [{**HERE, **change}]})


def test_a_tensor_is_nested_lists_of_the_documented_shape() -> None:
    rows = rows_type(IMAGE)

    assert rows_of(rows.model_validate({"rows": [[[1, 2], [3, 4]]]}).rows, IMAGE).shape == (1, 2, 2)  # type: ignore[attr-defined]
    assert "FP32 of shape [2, 2]" in json.dumps(rows.model_json_schema())
    with pytest.raises(ValidationError):
        rows.model_validate({"rows": [[[1, 2, 3], [3, 4, 5]]]})
    with pytest.raises(ValidationError):
        rows.model_validate({"rows": []})


def test_the_schema_has_the_names_of_the_signature() -> None:
    told = rows_type(WEATHER).model_json_schema()["$defs"]["Row"]

    assert list(told["properties"]) == ["dew point", "model_days", "place"]
    assert told["required"] == ["model_days", "place"]


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_an_answer_is_shown_as_the_signature_says(mode: Any) -> None:
    scores = {"name": "scores", "datatype": "FP32", "shape": [-1, 2]}
    number = {"type": "number", "nullable": True}
    tensor = {"type": "array", "items": number, "minItems": 2, "maxItems": 2}

    one = TypeAdapter(answers_type(WEATHER)).json_schema(mode=mode)
    two = TypeAdapter(answers_type({"outputs": [*WEATHER["outputs"], scores]})).json_schema(
        mode=mode
    )

    assert one["items"] == {"type": "integer"}
    assert two["items"]["properties"] == {"predict": {"type": "integer"}, "scores": tensor}


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        (np.array([1.0, np.nan]), [1.0, None]),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ({"a": np.array([1, 2]), "b": ["x", "y"]}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_an_answer_has_one_entry_for_each_row(answer: Any, rows: list[Any]) -> None:
    assert answers_of(answer, IMAGE, 2) == rows


def test_an_answer_of_another_length_is_no_answer() -> None:
    with pytest.raises(ValueError, match="3 answers for 2 rows"):
        answers_of(np.zeros(3), IMAGE, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(3)
    shapes = {"a.w": (8, 4), "a.b": (8,), "n.w": (8,), "n.b": (8,), "c.w": (3, 8)}
    weights = {name: random.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    save_file(weights, str(tmp_path / "w.safetensors"))
    describe(tmp_path, "relu", "leaky_relu", "sigmoid", "tanh", "silu", "gelu_tanh", "dropout")
    return tmp_path


def describe(folder: Path, *plain: str, more: tuple[dict[str, Any], ...] = ()) -> None:
    layers: list[dict[str, Any]] = [{"kind": "linear", "weight": "a.w", "bias": "a.b"}]
    layers += [{"kind": "layer_norm", "weight": "n.w", "bias": "n.b"}]
    layers += [{"kind": kind} for kind in plain]
    layers += [{"kind": "flatten"}, {"kind": "linear", "weight": "c.w"}, {"kind": "softmax"}]
    told = {"format": 1, "layers": [*layers, *more]}
    (folder / "architecture.json").write_text(json.dumps(told))


ROWS = np.linspace(-2, 2, 20, dtype=np.float32).reshape(5, 4)


def test_layers_give_the_same_in_numpy_and_onnx_runtime(folder: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    layers = read_layers(folder)
    session = onnxruntime.InferenceSession(onnx_model(layers), providers=["CPUExecutionProvider"])

    [there] = session.run(None, {"rows": ROWS})

    np.testing.assert_allclose(numpy_net(layers)(ROWS), there, rtol=1e-4, atol=1e-6)
    assert sizes(layers) == (4, 3)


def test_layers_give_the_same_in_numpy_and_mlx(folder: Path) -> None:
    pytest.importorskip("mlx")
    layers = read_layers(folder)

    np.testing.assert_allclose(numpy_net(layers)(ROWS), mlx_net(layers)(ROWS), rtol=1e-4, atol=1e-6)


def test_layers_give_the_same_in_numpy_and_torch(folder: Path) -> None:
    pytest.importorskip("torch")
    from mlops.serving.adapters.bento.packed_nets import torch_net  # noqa: PLC0415 - as above

    layers = read_layers(folder)
    there = torch_net(layers, "cpu")(ROWS)

    np.testing.assert_allclose(numpy_net(layers)(ROWS), there, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"kind": "conv"}, "layer 5 has the kind 'conv'; known are: linear"),
        ({"kind": "linear", "weight": "no"}, "needs the weight 'no', which is in no file"),
        ({"kind": "linear", "weight": "a.w"}, "takes 4 numbers, not 3"),
        ("linear", "has the kind None"),
    ],
)
def test_an_architecture_that_does_not_fit_is_refused(folder: Path, more: Any, said: str) -> None:
    describe(folder, more=(more,))

    with pytest.raises(LayersError, match=said):
        read_layers(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2, "layers": [{}]}', '{"format": 1, "layers": 7}']
)
def test_an_architecture_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / "architecture.json").write_text(text)

    with pytest.raises(LayersError, match="architecture"):
        read_layers(folder)


def test_truncated_weights_are_refused(folder: Path) -> None:
    file = folder / "w.safetensors"
    file.write_bytes(file.read_bytes()[:-20])

    with pytest.raises(LayersError, match="cannot be read as safetensors"):
        read_layers(folder)


def pieces(*texts: str) -> Iterator[dict[str, Any]]:
    for place, text in enumerate(texts):
        last = place == len(texts) - 1
        yield {"text": text, "finish_reason": "length" if last else None}


@pytest.mark.parametrize(
    ("texts", "stop", "told", "reason"),
    [
        (("one ", "two ", "three"), [], "one two three", "length"),
        (("one ", "two ", "three"), ["two"], "one ", "stop"),
        (("one E", "N", "D two"), ["END"], "one ", "stop"),
        (("one E", "N", "x two"), ["END"], "one ENx two", "length"),
        (("END", "x"), ["END"], "", "stop"),
        (("a", "b E"), ["END"], "ab E", "length"),
    ],
)
def test_a_text_ends_before_a_stop_text_even_when_that_comes_in_pieces(
    texts: tuple[str, ...], stop: list[str], told: str, reason: str
) -> None:
    found = list(until_stopped(pieces(*texts), stop))

    assert "".join(one["text"] for one in found) == told
    assert found[-1]["finish_reason"] == reason


class Where:
    def __init__(self) -> None:
        self.made_in = threading.get_ident()

    def answer(self, _: Any) -> tuple[int, int]:
        return self.made_in, threading.get_ident()

    def generate(self, messages: str, **wishes: int) -> Iterator[dict[str, Any]]:
        for word in messages.split()[: wishes["max_tokens"]]:
            yield {"text": word, "in": threading.get_ident()}


def test_a_model_of_one_thread_is_made_and_called_in_it() -> None:
    one = OneThread(Where)

    made, called = one.answer(None)
    told = list(one.generate("a b c", max_tokens=2))

    assert made == called != threading.get_ident()
    assert [(piece["text"], piece["in"]) for piece in told] == [("a", made), ("b", made)]


def test_a_file_that_is_not_what_was_packed_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"abc")
    spec = {"files": digests(tmp_path), "model_tag": "p--m:1"}
    check_files(tmp_path, spec)
    (tmp_path / "weights").write_bytes(b"abd")

    with pytest.raises(DamagedError, match=r"p--m:1 is damaged since it was packed \(weights\)"):
        check_files(tmp_path, spec)
