# SPDX-License-Identifier: Apache-2.0
"""A project's own training, in its own process: logs and registers models in its MLflow workspace.

Reads {"project", "model", "kinds"} lines, with MLFLOW_TRACKING_URI set; answers one version number per kind.
Kinds: skops, cloudpickle (the same kind of tree, kept differently), names (picks its columns by name), pyfunc,
single (a pyfunc of 32-bit tensors), slow (answers after 50 ms), slower (after 500 ms), hungry (takes 2 GiB for a warm row), hangs (never answers one), broken (its code is not there when it is loaded).
Those of `format_models.py` beside it too: one for each format that is no pickle.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import types
from importlib import metadata
from typing import Any

import format_models  # type: ignore[import-not-found]  # beside this file, which is a program
import mlflow
import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

COLUMNS = ["temperature", "dew_point", "visibility"]
TREES = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
# Else MLflow starts a process for each version that loads it and lists what was imported: seconds, every time.
_SAME = f"scikit-learn=={metadata.version('scikit-learn')}"


class Slow(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    def predict(self, rows: Any) -> Any:
        time.sleep(0.05)
        return np.ones(len(rows), dtype=np.int64)


class Slower(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # as above
    def predict(self, rows: Any) -> Any:
        time.sleep(0.5)
        return np.ones(len(rows), dtype=np.int64)


class Hungry(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # as above
    def predict(self, rows: Any) -> Any:
        size = 2**31 if float(np.asarray(rows)[0][0]) > 100 else 1
        return np.ones(len(rows), dtype=np.int64) * bytearray(size)[0]


class Hanging(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # as above
    def predict(self, rows: Any) -> Any:
        if float(np.asarray(rows)[0][0]) > 100:
            threading.Event().wait()
        return np.ones(len(rows), dtype=np.int64)


class Single(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # nor has MLflow
    def predict(self, model_input: np.ndarray[Any, Any]) -> Any:
        return model_input[:, 0]


class Twice(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # nor has MLflow
    def predict(self, model_input: pd.DataFrame) -> Any:
        return (model_input["temperature"] * 2).to_numpy()


def rows() -> tuple[pd.DataFrame, pd.Series[int]]:
    random = np.random.default_rng(7)
    features = pd.DataFrame(random.random((400, 3)), columns=COLUMNS)
    return features, (features["temperature"] > 0.5).astype(int)


def register(model: str, kind: str) -> int:
    features, truth = rows()
    if kind in format_models.KINDS:
        version: int = format_models.register(model, kind, features)
        return version
    more: dict[str, Any] = {
        "registered_model_name": model,
        "input_example": features[:2],
        "pip_requirements": [_SAME],
    }
    if kind == "pyfunc":
        more["signature"] = infer_signature(features, features["temperature"])
        done = mlflow.pyfunc.log_model(name="model", python_model=Twice(), **more)
        return int(done.registered_model_version)
    if kind == "single":
        tensor = features.to_numpy().astype(np.float32)
        more |= {"signature": infer_signature(tensor, tensor[:, 0]), "input_example": tensor[:2]}
        done = mlflow.pyfunc.log_model(name="model", python_model=Single(), **more)
        return int(done.registered_model_version)
    if kind == "skops":
        more |= {"serialization_format": "skops", "skops_trusted_types": [TREES]}
    else:
        more["serialization_format"] = "cloudpickle"
    fitted = made(kind, features, truth)
    more["signature"] = infer_signature(features, fitted.predict(features))
    mlflow.log_metric("accuracy", 0.8125)
    done = mlflow.sklearn.log_model(fitted, name="model", **more)
    return int(done.registered_model_version)


SIMPLE = {"slow": Slow, "slower": Slower, "hungry": Hungry, "hangs": Hanging}


def made(kind: str, features: pd.DataFrame, truth: pd.Series[int]) -> Any:
    if kind == "names":
        scaled = ColumnTransformer([("scaled", StandardScaler(), ["dew_point", "temperature"])])
        return make_pipeline(scaled, LogisticRegression()).fit(features, truth)
    if kind in SIMPLE:
        return SIMPLE[kind]()
    if kind == "broken":
        return broken()
    return HistGradientBoostingClassifier(max_iter=20, random_state=1).fit(features, truth)


def broken() -> Any:
    """Return a model whose class lives in a module that only this process has."""
    module = types.ModuleType("gone_module")
    sys.modules["gone_module"] = module
    gone = type("Gone", (Slow,), {"__module__": "gone_module"})
    vars(module)["Gone"] = gone
    return gone()


def train(project: str, model: str, kinds: list[str]) -> list[int]:
    if project not in [one.name for one in mlflow.list_workspaces()]:
        mlflow.create_workspace(project)
    mlflow.set_workspace(project)
    mlflow.set_experiment(project)
    versions = []
    for wanted in kinds:
        with mlflow.start_run(tags={"mlops.dataset.weather": "3@0a1b"}):
            versions.append(register(model, wanted))
    return versions


if __name__ == "__main__":
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what MLflow prints is no reply
    for line in sys.stdin:
        replies.write(json.dumps(train(**json.loads(line))) + "\n")
