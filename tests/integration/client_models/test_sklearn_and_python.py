# SPDX-License-Identifier: Apache-2.0
"""MLflow loads what save() wrote of scikit-learn's models and of plain Python."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import Model, infer_signature
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mlops.client.errors import MLOpsClientError
from mlops.client.models import ModelWarning, save

pytestmark = [
    pytest.mark.timeout(240),
    # MLflow's own advice, which is about the models of these tests.
    pytest.mark.filterwarnings("ignore:.*integer column:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*Add type hints:UserWarning"),
]


@pytest.fixture
def truth(frame: pd.DataFrame) -> pd.Series[bool]:
    return frame["a"] > 0.5


def _metadata(folder: Path) -> dict[str, Any]:
    return dict(Model.load(str(folder)).metadata)


def test_an_estimator_is_written_without_pickle_and_loads(
    tmp_path: Path, frame: pd.DataFrame, truth: pd.Series[bool]
) -> None:
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, truth)

    package = save(
        estimator, tmp_path / "m", name="rain", input_example=frame.head(3), metadata={"team": "x"}
    )

    assert package.flavors == ("sklearn", "python_function")
    files = {file.name for file in package.folder.iterdir()}
    assert "model.skops" in files
    assert not any(name.endswith((".pkl", ".pickle")) for name in files)
    assert package.files == len(files)
    assert package.size_bytes == sum(one.stat().st_size for one in package.folder.iterdir())
    loaded = mlflow.pyfunc.load_model(str(package.folder))
    assert loaded.predict(frame).tolist() == estimator.predict(frame).tolist()
    assert loaded.metadata.signature.inputs.input_names() == ["a", "b", "c", "d"]
    assert loaded.input_example.equals(frame.head(3))
    assert isinstance(mlflow.sklearn.load_model(str(package.folder)), Pipeline)
    told = _metadata(package.folder)
    assert told["team"] == "x"
    assert told["mlops"]["name"] == "rain"
    assert told["mlops"]["apple_compatibility"]["mps"] == "no: scikit-learn runs on the CPU"


def test_trees_are_written_with_the_types_that_they_need(
    tmp_path: Path, frame: pd.DataFrame, truth: pd.Series[bool]
) -> None:
    estimator = HistGradientBoostingClassifier(max_iter=5).fit(frame, truth)

    package = save(estimator, tmp_path / "m", name="rain", input_example=frame.head(3))

    loaded = mlflow.sklearn.load_model(str(package.folder))
    assert loaded.predict(frame).tolist() == estimator.predict(frame).tolist()


def test_what_skops_cannot_write_is_pickled_with_a_warning(
    tmp_path: Path, frame: pd.DataFrame, truth: pd.Series[bool]
) -> None:
    doubled = FunctionTransformer(lambda values: values * 2)
    estimator = make_pipeline(doubled, LogisticRegression()).fit(frame, truth)

    with pytest.warns(ModelWarning, match="cloudpickle, and loading it runs code"):
        package = save(estimator, tmp_path / "m", name="rain", input_example=frame.head(3))

    loaded = mlflow.pyfunc.load_model(str(package.folder))
    assert loaded.predict(frame).tolist() == estimator.predict(frame).tolist()


def test_a_model_that_was_to_be_safe_is_not_pickled_instead(
    tmp_path: Path, frame: pd.DataFrame, truth: pd.Series[bool]
) -> None:
    doubled = FunctionTransformer(lambda values: values * 2)
    estimator = make_pipeline(doubled, LogisticRegression()).fit(frame, truth)

    with pytest.raises(MLOpsClientError, match="skops"):
        save(estimator, tmp_path / "m", name="rain", serialization_format="skops")

    assert list(tmp_path.iterdir()) == []


def test_a_model_without_signature_and_example_says_what_is_lost(
    tmp_path: Path, frame: pd.DataFrame, truth: pd.Series[bool]
) -> None:
    estimator = LogisticRegression().fit(frame, truth)

    with pytest.warns(ModelWarning, match="cannot check requests") as told:
        package = save(estimator, tmp_path / "m", name="rain")

    assert Path(told[0].filename) == Path(__file__)
    assert Model.load(str(package.folder)).signature is None


def test_a_signature_is_enough(tmp_path: Path, frame: pd.DataFrame, truth: pd.Series[bool]) -> None:
    estimator = LogisticRegression().fit(frame, truth)
    signature = infer_signature(frame, truth)

    package = save(estimator, tmp_path / "m", name="rain", signature=signature)

    assert Model.load(str(package.folder)).signature == signature


def test_requirements_are_pinned_without_loading_the_model(
    tmp_path: Path, frame: pd.DataFrame, truth: pd.Series[bool]
) -> None:
    estimator = LogisticRegression().fit(frame, truth)

    package = save(
        estimator, tmp_path / "m", name="rain", input_example=frame.head(1),
        extra_pip_requirements=["rich==14.0"],
    )  # fmt: skip

    lines = (package.folder / "requirements.txt").read_text().split()
    names = {line.partition("==")[0] for line in lines}
    assert {"mlflow", "scikit-learn", "skops", "numpy", "pandas"} <= names
    assert "rich==14.0" in lines


def test_a_function_is_a_model(tmp_path: Path, frame: pd.DataFrame) -> None:
    def hot(rows: pd.DataFrame) -> pd.Series[bool]:
        return rows["a"] > 0.5

    with pytest.warns(ModelWarning, match="written with cloudpickle"):
        package = save(
            hot,
            tmp_path / "m",
            name="rule",
            input_example=frame.head(3),
            pip_requirements=["pandas"],
        )

    said = mlflow.pyfunc.load_model(str(package.folder)).predict(frame)
    assert said.tolist() == (frame["a"] > 0.5).tolist()
    assert Model.load(str(package.folder)).signature.inputs.input_names() == ["a", "b", "c", "d"]


class Above(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow has no types
    """Says which rows are above a limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def predict(self, context: Any, model_input: pd.DataFrame) -> Any:  # noqa: ARG002 - MLflow's words
        return model_input["a"] > self.limit


def test_a_python_model_is_a_model(tmp_path: Path, frame: pd.DataFrame) -> None:
    with pytest.warns(ModelWarning, match="written with cloudpickle"):
        package = save(
            Above(0.25), tmp_path / "m", name="rule", input_example=frame.head(3),
            pip_requirements=["pandas"],
        )  # fmt: skip

    said = mlflow.pyfunc.load_model(str(package.folder)).predict(frame)
    assert said.tolist() == (frame["a"] > 0.25).tolist()


def test_a_python_file_is_a_model_that_stays_readable(tmp_path: Path, frame: pd.DataFrame) -> None:
    code = tmp_path / "rule.py"
    code.write_text(
        "import mlflow\n"
        "class Rule(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, model_input, params=None):\n"
        "        return model_input['a'] > 0.5\n"
        "mlflow.models.set_model(Rule())\n"
    )

    package = save(
        code, tmp_path / "m", name="rule", flavor="pyfunc", input_example=frame.head(3),
        pip_requirements=["pandas"],
    )  # fmt: skip

    assert not list(package.folder.rglob("*.pkl"))
    said = mlflow.pyfunc.load_model(str(package.folder)).predict(frame)
    assert said.tolist() == (frame["a"] > 0.5).tolist()


def test_a_function_of_two_arguments_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(MLOpsClientError, match=r"takes 2 arguments.*lambda rows"):
        save(lambda one, other: one + other, tmp_path / "m", name="rule")


def test_a_folder_of_mlflow_is_kept_as_it_is_and_gets_our_words(
    tmp_path: Path, frame: pd.DataFrame, truth: pd.Series[bool]
) -> None:
    estimator = LogisticRegression().fit(frame, truth)
    mlflow.sklearn.save_model(
        estimator,
        str(tmp_path / "theirs"),
        pip_requirements=["scikit-learn"],
        metadata={"by": "me"},
    )

    package = save(tmp_path / "theirs", tmp_path / "ours", name="rain", apple={"coreml": "yes"})

    said = mlflow.sklearn.load_model(str(package.folder)).predict(frame)
    assert said.tolist() == estimator.predict(frame).tolist()
    told = _metadata(package.folder)
    assert told["by"] == "me"
    assert told["mlops"]["apple_compatibility"]["coreml"] == "yes"
    assert told["mlops"]["apple_compatibility"]["mlx"] == "no: scikit-learn runs on the CPU"
    assert "mlops" not in _metadata(tmp_path / "theirs")


def test_a_place_that_cannot_be_written_is_the_clients_own_error(
    tmp_path: Path, frame: pd.DataFrame, truth: pd.Series[bool]
) -> None:
    estimator = LogisticRegression().fit(frame, truth)
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(MLOpsClientError) as caught:
        save(estimator, tmp_path / "file" / "m", name="rain", input_example=frame.head(1))

    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOTDIR


def test_a_model_larger_than_the_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = tmp_path / "huge"
    source.mkdir()
    (source / "config.json").write_text("{}")
    with (source / "model.safetensors").open("wb") as file:
        file.truncate(shutil.disk_usage(tmp_path).free + 2**30)  # sparse: it takes no room itself

    with pytest.raises(MLOpsClientError, match=r"MiB left.*free some room"):
        save(source, tmp_path / "m", name="huge")

    assert not (tmp_path / "m").exists()


def test_numpy_arrays_are_examples_too(tmp_path: Path, rows: np.ndarray) -> None:
    estimator = LogisticRegression().fit(rows, rows[:, 0] > 0.5)

    package = save(estimator, tmp_path / "m", name="rain", input_example=rows[:3])

    loaded = mlflow.pyfunc.load_model(str(package.folder))
    assert loaded.predict(rows).tolist() == estimator.predict(rows).tolist()
