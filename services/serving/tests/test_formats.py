# SPDX-License-Identifier: Apache-2.0
"""How files are recognised, and which of them are pickles whatever they are called."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from mlops.serving.model.formats import (
    Kept,
    coreml_file,
    recognise,
    refusal,
    suspect_types,
    text_folder,
)
from mlops.serving.model.signature import UnservableError

GENERAL: dict[str, Any] = {"python_function": {}}
SKLEARN: dict[str, Any] = {
    **GENERAL,
    "sklearn": {"pickled_model": "model.bin", "serialization_format": "skops"},
}
SAFETENSORS = b"\x80\x04\x00\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("flavors", "names", "kept"),
    [
        (SKLEARN, ["model.skops"], "sklearn-skops"),
        ({**GENERAL, "sklearn": {}}, ["MLmodel"], "pyfunc"),
        ({**GENERAL, "onnx": {}}, ["model.onnx"], "onnx"),
        ({**GENERAL, "mlx": {}}, ["weights.safetensors"], "mlx"),
        ({**GENERAL, "pytorch_safetensors": {}}, ["weights.safetensors"], "torch"),
        ({**GENERAL, "mlx_lm": {}}, ["model/config.json"], "mlx-lm"),
        ({**GENERAL, "xgboost": {}}, ["model.xgb"], "pyfunc"),
        ({}, ["architecture.json", "w.safetensors"], "layers"),
        ({}, ["a.onnx"], "onnx"),
        ({}, ["config.json", "m.safetensors", "tokenizer.json"], "mlx-lm"),
        ({}, ["m.mlpackage/Manifest.json"], "coreml"),
        (GENERAL, ["python_model.pkl"], "pyfunc-pickle"),
    ],
)
def test_a_format_is_recognised_by_flavors_and_files(
    flavors: dict[str, Any], names: list[str], kept: str
) -> None:
    assert recognise(flavors, dict.fromkeys(names, b"")).name == kept


@pytest.mark.parametrize("names", [[], ["weights.safetensors"], ["a.onnx", "b.onnx"]])
def test_what_is_not_known_is_refused_with_what_is(names: list[str]) -> None:
    with pytest.raises(UnservableError, match="neither an MLmodel file nor files that are known"):
        recognise({}, dict.fromkeys(names, b""))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", [{"a": 1}, [1], pickle.PickleBuffer, ("x",)])
def test_a_pickle_is_one_by_any_name(protocol: int, value: object) -> None:
    head = pickle.dumps(value, protocol)[:8]

    assert recognise(SKLEARN, {"model.bin": head}).pickles == ("model.bin",)


@pytest.mark.parametrize(
    "name", ["a.pkl", "b/c.joblib", "m.PT", "pytorch_model.bin", "x.dill", "t.pt2"]
)
def test_a_file_that_is_usually_a_pickle_counts_as_one(name: str) -> None:
    assert recognise(GENERAL, {name: b"PK\x03\x04"}).pickles == (name,)


@pytest.mark.parametrize("way", ["pickle", "cloudpickle", None])
def test_what_is_unpickled_is_a_pickle_whatever_it_looks_like(way: str | None) -> None:
    told = {"pickled_model": "model.bin", **({"serialization_format": way} if way else {})}

    found = recognise({**GENERAL, "sklearn": told}, {"model.bin": b"\x1f\x8b compressed"})

    assert (found.name, found.pickles) == ("sklearn-pickle", ("model.bin",))


def test_what_torch_saves_is_a_pickle_by_any_name() -> None:
    head = b"PK\x03\x04" + bytes(26) + b"adapter/data.pkl"

    assert recognise(GENERAL, {"adapter.bin": head}).pickles == ("adapter.bin",)


def test_safetensors_are_no_pickle_though_they_may_begin_like_one() -> None:
    assert recognise(GENERAL, {"w.safetensors": SAFETENSORS}).pickles == ()


def test_a_refusal_names_the_file_and_both_ways_out() -> None:
    said = refusal(Kept("sklearn", ("model.pkl",)))

    assert "model.pkl" in said
    assert 'serialization_format="skops"' in said
    assert "allow_pickle = true in [serve]" in said


def test_types_that_can_run_anything_are_suspect_and_those_of_libraries_are_not() -> None:
    asked = ["sklearn.tree.Tree", "rain.Scaler", "os.system", "builtins.eval", "joblib.load"]

    found = suspect_types(asked, frozenset({"os", "builtins"}))

    assert found == ["os.system", "builtins.eval", "joblib.load"]


def test_a_core_ml_package_is_a_folder_and_a_text_model_lies_where_its_config_is() -> None:
    assert coreml_file(frozenset({"data/m.mlpackage/Manifest.json"})) == "data/m.mlpackage"
    assert text_folder(frozenset({"m/config.json", "m/w.safetensors", "m/tokenizer.json"})) == "m"
    assert text_folder(frozenset({"config.json", "w.safetensors"})) is None
