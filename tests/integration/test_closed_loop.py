# SPDX-License-Identifier: Apache-2.0
"""The closed loop, end to end, with the real tools, while a service is killed in the middle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops.cli.supervisor import processes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

MLOPS = [sys.executable, "-m", "mlops.cli"]


@pytest.fixture
def home(tmp_path: Path, leaves_nothing: None) -> Iterator[Path]:  # noqa: ARG001 - it looks last
    """An installation of this test alone; nothing of it may run afterwards."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not on PATH; ./mlops test brings it")
    folder = tmp_path / "home"
    yield folder
    subprocess.run([*MLOPS, "down", "--home", str(folder)], check=True, capture_output=True)
    assert processes.belonging(processes.scan(), home=str(folder)) == set()


def test_the_loop_closes_though_the_bridge_is_killed_in_the_middle(home: Path) -> None:
    command = [*MLOPS, "demo", "--fast", "--json", "--home", str(home)]
    command += ["--kill", "orchestration_bridge@workflow.started"]

    played = subprocess.run(
        command,
        env={**os.environ, "MLOPS_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert played.returncode == 0, played.stderr[-6000:]
    outcome = json.loads(played.stdout)
    assert outcome["closed"]
    assert outcome["failed_requests"] == 0
    assert outcome["audit"]["predictions_lost"] == 0
    assert outcome["audit"]["labels_lost"] == 0
    assert outcome["audit"]["repeated"] == []
    assert [one["component"] for one in outcome["killed"]] == ["orchestration_bridge"]
    assert 1 <= outcome["retrainings"] <= 6
    assert outcome["rollouts"] == outcome["promotions"]
    assert outcome["accuracy_overall"] > outcome["baselines"]["never"]["accuracy_overall"]
    (page,) = (home / "reports/_periods/rainfall").glob("*-demo.html")
    assert json.loads(page.with_suffix(".json").read_text()) == outcome
    assert page.stat().st_size > 50_000
