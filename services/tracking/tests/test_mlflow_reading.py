# SPDX-License-Identifier: Apache-2.0
"""What is read of MLflow's tables and files: bounded, patient with nobody, and right at the bounds."""

# MLflow takes two seconds to import, which a run without these tests saves.
# ruff: noqa: PLC0415

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from mlops.chassis.lean import without
from mlops.tracking.errors import StoreError
from mlops.tracking.model.facts import Package

pytestmark = [
    pytest.mark.mlflow,
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

APPLE = Package(apple={"mlx": "yes", "mps": "yes", "coreml": "no: why"})
MLX = Package(apple={"mlx": "yes"})
WHOLE = """
flavors: {sklearn: {}, python_function: {}}
model_size_bytes: 7
signature: {inputs: '[1]', outputs: null, params: null}
"""


class StuckFiles:
    """An artifact store that does not answer."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def read(self, project: str, source_uri: str) -> Package:
        del project, source_uri
        self.go_on.wait(60)
        return Package(("late",))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    from mlflow.store.tracking.dbmodels import models

    from mlops.tracking.adapters import outbox

    engine = sa.create_engine(f"sqlite:///{tmp_path / 'mlflow.db'}")
    kinds = (models.SqlExperiment, models.SqlRun, models.SqlTag, models.SqlParam)
    more = (models.SqlLatestMetric, models.SqlInput, models.SqlDataset)
    tables = [kind.__table__ for kind in (*kinds, *more)]
    models.Base.metadata.create_all(engine, tables=tables)
    # Where another test of this process listens to runs, theirs are written down here too.
    outbox.metadata.create_all(engine)
    yield engine
    engine.dispose()


def with_run(engine: sa.Engine, *rows: Any) -> None:
    from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun

    experiment = SqlExperiment(experiment_id=1, name="rain", lifecycle_stage="active")
    run = SqlRun(run_uuid="r", experiment_id=1, status="RUNNING", lifecycle_stage="active")
    with Session(engine) as session:
        session.add_all([experiment, run, *rows])
        session.commit()


def runs(engine: sa.Engine, files: Any = None) -> Any:
    from mlops.tracking.adapters.mlflow_runs import MlflowRuns

    return MlflowRuns(engine, files, patience=timedelta(seconds=0.2))


async def test_the_metric_of_the_gate_is_found_among_thousands(engine: sa.Engine) -> None:
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric

    names = [*(f"layer-{number:05}" for number in range(5000)), "z"]
    with_run(
        engine,
        *(SqlLatestMetric(run_uuid="r", key=n, value=0.5, timestamp=1, step=0) for n in names),
    )

    found = await runs(engine).run("r")

    assert runs(engine).metrics("r")["z"] == 0.5
    assert found.metrics["z"] == 0.5


async def test_the_platforms_own_tags_are_found_among_thousands(engine: sa.Engine) -> None:
    from mlflow.store.tracking.dbmodels.models import SqlTag

    names = [*(f"a-{number:05}" for number in range(3000)), "mlops.correlation_id"]
    with_run(engine, *(SqlTag(run_uuid="r", key=name, value="story") for name in names))

    found = await runs(engine).run("r")

    assert found.tags["mlops.correlation_id"] == "story"
    assert len(found.tags) < 1000


@pytest.mark.parametrize(
    ("told", "source"),
    [
        ('{"uri": "data/rain.csv"}', "data/rain.csv"),
        ('{"url": "https://x/rain.csv"}', "https://x/rain.csv"),
        ("[" * 4000, ""),
        ('{"url": "\\ud800"}', ""),
        ('{"url": 7}', ""),
        ("no JSON", ""),
    ],
)
async def test_a_source_is_what_the_client_has_logged_or_none(
    engine: sa.Engine, told: str, source: str
) -> None:
    from mlflow.store.tracking.dbmodels.models import SqlDataset, SqlInput

    is_of = {"source_type": "DATASET", "destination_type": "RUN", "destination_id": "r"}
    with_run(
        engine,
        SqlDataset(
            dataset_uuid="d",
            experiment_id=1,
            name="rain",
            digest="12345678",
            dataset_source_type="local",
            dataset_source=told,
        ),
        SqlInput(input_uuid="i", source_id="d", **is_of),
    )

    found = await runs(engine).run("r")

    assert [one.source for one in found.inputs] == [source]


async def test_an_artifact_store_that_does_not_answer_holds_nothing_back(
    engine: sa.Engine,
) -> None:
    stuck = StuckFiles()
    reader = runs(engine, stuck)
    began = time.monotonic()

    found = [await reader.package("rain", "s3://away/model") for _ in range(8)]
    run = await reader.run("nobody")
    stuck.go_on.set()

    assert found == [Package()] * 8
    assert run is None
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            WHOLE,
            Package(("python_function", "sklearn"), 7, '{"inputs": [1]}'),
        ),
        ("flavors: {1: {}, b: {}}\n", Package(("1", "b"))),
        ('flavors: {b: {}, "\\ud800": {}}\n', Package(("b",))),
        ("flavors: [[&a [b, b], *a]]\n", Package()),
        (
            "metadata: {mlops: {apple_compatibility: {mlx: 'yes', mps: \"\\ud800\"}}}\n",
            MLX,
        ),
        ("signature: {inputs: [[1]], others: '[2]'}\n", Package()),
        (
            "metadata: {mlops: {apple_compatibility: {mlx: 'yes', mps: true, coreml: 'no: why'}}}\n",
            APPLE,
        ),
        (
            "metadata: {mlops: {apple_compatibility: {'a b': 'yes', x: 1, y: [], mlx: 'yes'}}}\n",
            MLX,
        ),
        ("metadata: {mlops: {apple_compatibility: [1]}}\n", Package()),
        ("metadata: {mlops: text}\n", Package()),
        ("metadata: {other: {apple_compatibility: {mlx: 'yes'}}}\n", Package()),
        ("just text", Package()),
        ("{broken", Package()),
        ("model_size_bytes: much", Package()),
        ("", Package()),
    ],
)
def test_what_an_mlmodel_file_says(tmp_path: Path, text: str, expected: Package) -> None:
    from mlops.tracking.adapters.mlflow_files import ModelFiles

    (tmp_path / "MLmodel").write_text(text)

    assert ModelFiles(None, None).read("rain", tmp_path.as_uri()) == expected


async def test_an_outbox_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    from mlops.tracking.adapters.outbox_rows import SqlRows

    holder = sqlite3.connect(tmp_path / "mlflow.db")
    holder.execute("BEGIN EXCLUSIVE")
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'mlflow.db'}", connect_args={"timeout": 0.05})

    with pytest.raises(StoreError, match=r"outbox.*locked"):
        SqlRows(engine).open()

    holder.close()
    engine.dispose()


def test_artifacts_whose_driver_is_missing_are_named_at_start(tmp_path: Path) -> None:
    from mlops.tracking.adapters.mlflow_server import open_server

    with without("boto3"), pytest.raises(StoreError, match=r"'boto3' of the artifacts s3://bucket"):
        open_server(f"sqlite:///{tmp_path / 'mlflow.db'}", "s3://bucket/mlops")
