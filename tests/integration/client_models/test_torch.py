# SPDX-License-Identifier: Apache-2.0
"""PyTorch modules in three ways; run where PyTorch is, which is too large for everybody's environment."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops.client.errors import MLOpsClientError
from mlops.client.models import ModelWarning, save

_WHY = "PyTorch is not installed here: pip install torch safetensors, and run this file"
torch = pytest.importorskip("torch", reason=_WHY)
mlflow = pytest.importorskip("mlflow", reason=_WHY)
pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # PyTorch's tracing of itself
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

NETS = """
import torch

class Net(torch.nn.Module):
    def __init__(self, width=8, act="relu", dtype=torch.float32):
        super().__init__()
        self.inner = torch.nn.Linear(4, width, dtype=dtype)
        self.outer = torch.nn.Linear(width, 2, dtype=dtype)
        self.drop, self.act = torch.nn.Dropout(0.5), act

    def forward(self, x):
        return self.outer(self.drop(getattr(torch, self.act)(self.inner(x))))

class Branch(Net):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else x
"""


@pytest.fixture
def module(nets: Path) -> Any:
    file = nets.with_name(nets.name.replace("nets_", "torch_nets_"))
    file.write_text(NETS)
    importlib.invalidate_caches()
    return importlib.import_module(file.stem)


@pytest.fixture
def no_pickles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")


def _said(net: Any, rows: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = net.eval()(torch.tensor(rows)).numpy()
        return found


@pytest.mark.usefixtures("no_pickles")
def test_an_architecture_makes_it_safetensors(
    tmp_path: Path, module: Any, rows: np.ndarray, elsewhere: Any
) -> None:
    net = module.Net(width=16).train()

    package = save(
        net, tmp_path / "m", name="net", input_example=rows[:3],
        architecture={"kwargs": {"width": 16}},
    )  # fmt: skip

    assert package.flavors == ("pytorch_safetensors", "python_function")
    assert net.training  # as it was
    assert not [one for one in package.folder.rglob("*") if one.suffix in (".pth", ".pkl", ".pt2")]
    assert np.allclose(elsewhere(package.folder, rows), _said(net, rows), atol=1e-6)


@pytest.mark.usefixtures("no_pickles")
def test_an_example_makes_it_a_graph_that_mlflow_loads(
    tmp_path: Path, module: Any, rows: np.ndarray
) -> None:
    net = module.Net(width=16)

    package = save(net, tmp_path / "m", name="net", input_example=rows[:3])

    assert package.flavors == ("pytorch", "python_function")
    said = mlflow.pyfunc.load_model(str(package.folder)).predict(rows)
    assert np.allclose(said, _said(net, rows), atol=1e-6)


def test_what_cannot_be_traced_is_pickled_with_a_warning(
    tmp_path: Path, module: Any, rows: np.ndarray
) -> None:
    net = module.Branch(width=16)

    with pytest.warns(ModelWarning, match=r"written as a pickle.*tracing said"):
        package = save(net, tmp_path / "m", name="net", input_example=rows[:3])

    said = mlflow.pyfunc.load_model(str(package.folder)).predict(rows)
    assert np.allclose(said, _said(net, rows), atol=1e-6)


def test_defaults_are_taken_only_where_the_answers_agree(
    tmp_path: Path, module: Any, rows: np.ndarray
) -> None:
    same = save(module.Net(), tmp_path / "same", name="net", input_example=rows[:3])
    other = save(module.Net(act="tanh"), tmp_path / "other", name="net", input_example=rows[:3])

    assert same.flavors[0] == "pytorch_safetensors"
    assert other.flavors[0] == "pytorch"


def test_safetensors_that_cannot_be_are_not_something_else(tmp_path: Path, module: Any) -> None:
    with pytest.raises(MLOpsClientError, match="nothing says how to make the module again"):
        save(module.Net(), tmp_path / "m", name="net", serialization_format="safetensors")


def test_doubles_are_told(tmp_path: Path, module: Any, rows: np.ndarray) -> None:
    net = torch.nn.Linear(4, 2, dtype=torch.float64)

    package = save(
        net, tmp_path / "m", name="net", input_example=rows[:3].astype(float),
        architecture={"kwargs": {"in_features": 4, "out_features": 2}},
    )  # fmt: skip

    told = mlflow.models.Model.load(str(package.folder)).metadata["mlops"]["apple_compatibility"]
    assert told["mps"].startswith("no: MPS has no float64")
    assert module is not None
