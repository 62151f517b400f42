# SPDX-License-Identifier: Apache-2.0
"""Models to be saved, and a second process that has only MLflow and the model's framework."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of its own type hints while it is imported
    import mlflow.pyfunc  # noqa: F401

NETS = """
import mlx.nn as nn


class Net(nn.Module):
    def __init__(self, width=32, act="relu"):
        super().__init__()
        self.inner = nn.Linear(4, width)
        self.outer = nn.Linear(width, 2)
        self.act = act

    def __call__(self, x):
        return self.outer(getattr(nn, self.act)(self.inner(x)))
"""
ALONE = """
import sys
sys.modules["mlops"] = None  # as where the library is not installed
import mlflow, numpy as np
said = mlflow.pyfunc.load_model(sys.argv[1]).predict(np.load(sys.argv[2]))
np.save(sys.argv[3], said)
"""

Elsewhere = Callable[[Path, "np.ndarray"], "np.ndarray"]


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(7).random((20, 4), dtype=np.float32)


@pytest.fixture
def frame(rows: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(rows.astype(float), columns=["a", "b", "c", "d"])


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of the user's own, importable here and nowhere else."""
    name = f"nets_{os.getpid()}_{tmp_path.name}".replace("-", "_")
    file = tmp_path / "code" / f"{name}.py"
    file.parent.mkdir()
    file.write_text(NETS)
    monkeypatch.syspath_prepend(str(file.parent))
    return file


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    """Predict in a process without this library and without the user's code."""

    def predict(folder: Path, data: np.ndarray) -> np.ndarray:
        given, said = tmp_path / "given.npy", tmp_path / "said.npy"
        np.save(given, data)
        subprocess.run(
            [sys.executable, "-I", "-c", ALONE, str(folder), str(given), str(said)],
            check=True,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "MLFLOW_DISABLE_TELEMETRY": "true"},
            timeout=120,
        )
        found: np.ndarray = np.load(said)
        return found

    return predict
