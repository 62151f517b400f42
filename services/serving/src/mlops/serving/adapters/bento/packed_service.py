# SPDX-License-Identifier: Apache-2.0
"""The BentoML service of one packed model version; `packed.json` beside it says which.

It stands alone (no import of the platform), so the Bento also runs under `bentoml serve` or in a container. The
platform's replica uses the instance's `answer` directly.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bentoml
import numpy as np

SPEC: dict[str, Any] = json.loads((Path(__file__).parent / "packed.json").read_text())
_NUMBERS = "biuf"

Answer = Callable[[Any], Any]


@bentoml.service(name=SPEC["name"])
class Packed:
    """Answers rows with the model's predictions."""

    kept = bentoml.models.BentoModel(SPEC["model_tag"])

    def __init__(self) -> None:
        folder = Path(str(getattr(self.kept, "path_of", None) and self.kept.path_of("model")))
        self.spec = SPEC
        self.answer: Answer = _load(folder, SPEC)

    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML has no types
    def predict(self, rows: list[dict[str, Any]]) -> list[Any]:
        """Return one prediction for each row (its features by name)."""
        names = [field["name"] for field in SPEC["inputs"]] or list(rows[0])
        columns = _typed({name: [row[name] for row in rows] for name in names}, SPEC)
        found: list[Any] = np.asarray(self.answer(columns)).tolist()
        return found


def _load(folder: Path, spec: dict[str, Any]) -> Answer:
    if spec["backend"] == "sklearn":
        return _warmed(_SklearnAnswers(folder, spec), spec)
    return _warmed(_PyfuncAnswers(folder), spec)


def _warmed(answer: Answer, spec: dict[str, Any]) -> Answer:
    # The first prediction of a model is slow; and a model that cannot answer its own example shall fail here.
    if spec["example"] is not None:
        answer(_typed(spec["example"], spec))
    return answer


def _typed(values: Any, spec: dict[str, Any]) -> Any:
    """Return columns or one tensor as the signature says: MLflow takes no float64 for a float32."""
    dtypes = {field["name"]: field["dtype"] for field in spec["inputs"]}
    if isinstance(values, dict):
        return {name: np.asarray(one, dtypes.get(name)) for name, one in values.items()}
    return np.asarray(values, next(iter(dtypes.values())) if len(dtypes) == 1 else None)


class _SklearnAnswers:
    """Calls the estimator with a plain array where it can, with a DataFrame where it must."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        # The rows come in the order of the signature; scikit-learn only sees that they carry no names.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        model = _read_estimator(folder / spec["file"], spec)
        self._call = getattr(model, spec["predict_fn"])
        self._names = [field["name"] for field in spec["inputs"]]
        self._wants_frame = _selects_by_name(model)

    def __call__(self, values: Any) -> Any:
        if self._wants_frame or not _is_numeric(values):
            return self._call(_frame(values, self._names))
        if isinstance(values, dict):
            return self._call(np.column_stack(list(values.values())))
        return self._call(values)


class _PyfuncAnswers:
    def __init__(self, folder: Path) -> None:
        # Heavy (0.2 GB, seconds): only Bentos of this backend pay for it.
        import mlflow.pyfunc  # noqa: PLC0415

        self._model = mlflow.pyfunc.load_model(str(folder))
        schema = self._model.metadata.get_input_schema()
        self._names = list(schema.input_names()) if schema and schema.has_input_names() else []
        self._takes_tensors = bool(schema and schema.is_tensor_spec())

    def __call__(self, values: Any) -> Any:
        if self._takes_tensors:
            return self._model.predict(values)
        return self._model.predict(_frame(values, self._names))


def _read_estimator(path: Path, spec: dict[str, Any]) -> Any:
    if spec["format"] == "skops":
        import skops.io  # noqa: PLC0415 - only where the model was written with it

        return skops.io.load(path, trusted=spec["trusted"])
    import pickle  # noqa: PLC0415 - the project's own model, as MLflow would load it

    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 - as above


def _selects_by_name(model: Any) -> bool:
    """Return whether a part of the estimator picks columns by name, which an array does not have."""
    if type(model).__name__ == "ColumnTransformer":
        return True
    parts = [step[1] for step in getattr(model, "steps", [])]
    parts += [step[1] for step in getattr(model, "transformer_list", [])]
    parts += [one for one in (getattr(model, "estimator", None),) if one is not None]
    return any(_selects_by_name(one) for one in parts)


def _is_numeric(values: Any) -> bool:
    arrays = values.values() if isinstance(values, dict) else [values]
    return all(one.dtype.kind in _NUMBERS for one in arrays)


def _frame(values: Any, names: list[str]) -> Any:
    import pandas as pd  # noqa: PLC0415

    if isinstance(values, dict):
        return pd.DataFrame(values)
    return pd.DataFrame(values, columns=names or None)
