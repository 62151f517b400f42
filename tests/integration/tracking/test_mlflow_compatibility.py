# SPDX-License-Identifier: Apache-2.0
"""Our service keeps MLflow's promises: the same checks by its own clients hold for MLflow's own server and for ours.

One client process and one server for each kind; every check is a test. What MLflow's own server does is asked too,
so that no check expects what MLflow never promised.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from servers.programs import end, free_port, until

pytestmark = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.timeout(300)]

TESTS = Path(__file__).resolve().parents[2]
KINDS = ("plain", "sqlite", "postgres")


def names() -> list[str]:
    """Read the names of the checks; importing them would import MLflow."""
    found: list[str] = []
    for module in ("runs", "models"):
        tree = ast.parse((TESTS / "plain_mlflow" / f"{module}.py").read_text())
        (listed,) = (
            node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CHECKS"
        )
        assert isinstance(listed, ast.List)
        found += [element.id for element in listed.elts if isinstance(element, ast.Name)]
    return found


NAMES = names()


@pytest.fixture(scope="module", params=KINDS)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what each check said, with the server's log in the end."""
    kind = request.param
    folder = tmp_path_factory.mktemp(kind)
    store = f"sqlite:///{folder / 'mlflow.db'}"
    if kind == "postgres":
        name = re.sub("[^a-z0-9]", "_", folder.name)
        store = request.getfixturevalue("postgres").database(f"compatible_{name}")
    start = _plain if kind == "plain" else _ours
    nats = None if kind == "plain" else request.getfixturevalue("shared_nats")
    with start(folder, store, nats) as uri:
        said = _client(folder, uri, store)
    return said, (folder / "server.log").read_text()[-3000:]


@pytest.mark.parametrize("check", NAMES)
def test_mlflow_keeps_its_promise(results: Any, check: str) -> None:
    said, log = results

    assert said.get(check, "the client died") is None, f"{said.get(check)}\n{log}"


def _client(folder: Path, uri: str, store: str) -> dict[str, str | None]:
    (folder / "work").mkdir()
    finished = subprocess.run(
        [sys.executable, "-m", "plain_mlflow.client"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(TESTS),
            "HOME": str(folder / "work"),
            "MLFLOW_TRACKING_URI": uri,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "STORE_URI": store,
        },
        cwd=folder / "work",
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    said: dict[str, str | None] = {}
    for line in finished.stdout.splitlines():
        if line.startswith('{"'):
            said.update(json.loads(line))
    return said or dict.fromkeys(NAMES, finished.stdout + finished.stderr)


@contextmanager
def _plain(folder: Path, store: str, _: Any) -> Iterator[str]:
    port = free_port()
    destination = ["--artifacts-destination", str(folder / "artifacts"), "--serve-artifacts"]
    words = ["server", "--workers", "1", "--port", str(port), "--backend-store-uri", store]
    own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with _running(folder, ["-m", "mlflow", *words, *destination], own, port, "/health") as uri:
        yield uri


@contextmanager
def _ours(folder: Path, store: str, nats: Any) -> Iterator[str]:
    port = free_port()
    own = {
        "MLOPS_HOME": str(folder),
        "MLOPS_HTTP_PORT": str(port),
        "NATS_URL": nats.url,
        "NATS_TOKEN": nats.token,
        "TRACKING_STORE_URI": store,
    }
    with _running(folder, ["-m", "mlops.tracking"], own, port, "/readyz") as uri:
        yield uri


@contextmanager
def _running(
    folder: Path, words: list[str], own: dict[str, str], port: int, ready: str
) -> Iterator[str]:
    uri = f"http://127.0.0.1:{port}"
    log = folder / "server.log"
    with log.open("ab") as written:
        process = subprocess.Popen(
            [sys.executable, *words],
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **own},
            cwd=folder,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )

    def answers() -> bool:
        try:
            return httpx.get(uri + ready, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(answers, 120, log.read_text)
        yield uri
    finally:
        _end_all(process)


def _end_all(process: subprocess.Popen[bytes]) -> None:
    # MLflow's own command starts its server as a child of its own.
    if process.poll() is None:
        os.killpg(process.pid, 9)
    end(process)
