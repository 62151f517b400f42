# SPDX-License-Identifier: Apache-2.0
"""The buses that promise the same, the stores of runs, the orchestrators, and the ledgers of monitoring."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops.monitoring.adapters.memory import MemoryLedger
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.ports import Ledger
from mlops.orchestration_bridge.adapters.memory import FakePipelines
from servers.buses import Harness, MemoryHarness, NatsHarness
from servers.pipelines import STEP, Bench, airflow_module, pipelines_of
from servers.tracking import Lab, MemoryLab, MlflowLab


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.server)])
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    if request.param == "memory":
        yield MemoryHarness()
        return
    nats = NatsHarness(request.getfixturevalue("nats_server"), tmp_path)
    yield nats
    await nats.close()


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, str]]:
    """One store for this process: MLflow keeps it in a global."""
    from mlops.tracking.adapters.mlflow_server import open_server  # noqa: PLC0415 - it imports MLflow

    folder = tmp_path_factory.mktemp("mlflow")
    before = dict(os.environ)
    server = open_server(f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts"))
    # Part of it, as of the address of its registry, is the process's environment: not that of later tests' programs.
    said = {name: os.environ.pop(name) for name in os.environ.keys() - before.keys()}
    return server, said


@pytest.fixture(params=["memory", pytest.param("mlflow", marks=pytest.mark.mlflow)])
async def lab(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Lab]:
    if request.param == "memory":
        yield MemoryLab()
        return
    server, said = request.getfixturevalue("mlflow_server")
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    real = MlflowLab(server)
    await real.open()
    yield real
    await real.close()


@pytest.fixture
async def project(lab: Lab) -> str:
    name = f"p-{uuid.uuid4().hex[:12]}"
    await lab.registry.provision(name)
    return name


@pytest.fixture(params=["memory", "sqlite"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    store: Ledger = MemoryLedger() if request.param == "memory" else SqliteLedger(tmp_path / "l.db")
    yield store
    await store.close()


@pytest.fixture(scope="session")
def airflow() -> Iterator[Any]:
    yield from airflow_module().shared()


@pytest.fixture
def step_program(tmp_path: Path) -> Path:
    path = tmp_path / "step"
    path.write_text(STEP)
    path.chmod(0o755)
    return path


@pytest.fixture(params=["memory", pytest.param("airflow", marks=pytest.mark.airflow)])
async def bench(request: pytest.FixtureRequest, step_program: Path) -> AsyncIterator[Bench]:
    if request.param == "memory":
        fake = FakePipelines()
        yield Bench(fake, fake)
        return
    server = request.getfixturevalue("airflow")
    pipelines = pipelines_of(server, step_program)
    yield Bench(pipelines, server=server, step_program=step_program)
    await pipelines.close()
