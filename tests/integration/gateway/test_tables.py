# SPDX-License-Identifier: Apache-2.0
"""Tables from a client through the gateway to monitoring: a reference, and what a table says against it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from integration.gateway.conftest import Platform
from mlops.chassis.bus_nats import NatsBus
from mlops.client import MLOpsClient
from mlops.client.errors import RefusedError
from mlops.contracts.serving import DeploymentCompleted
from mlops.gateway.adapters.files_folder import FilesFolder
from mlops.gateway.model.tables import Kind
from mlops.gateway.ports import FullShelfError
from servers.disk import tiny_disk

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

ROWS = 2000


def table(seed: int, shift: float = 0.0, right: float = 0.9) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    answers = rng.integers(0, 2, ROWS)
    wrong = np.arange(ROWS) >= right * ROWS
    return pd.DataFrame(
        {
            "wind": rng.normal(size=ROWS) + shift,
            "heat": rng.normal(size=ROWS),
            "sky": rng.choice(["blue", "grey"], ROWS),
            "answer": answers,
            "truth": np.where(wrong, 1 - answers, answers),
        }
    )


@pytest.fixture
async def client(platform: Platform, project: Path, bus: NatsBus) -> AsyncIterator[MLOpsClient]:
    """Return the client of a project whose model was deployed, and nothing more."""
    platform.start("monitoring")
    await bus.start()
    with MLOpsClient("rainfall", platform.endpoints, folder=project) as made:
        made.register()
        await bus.publish(
            DeploymentCompleted(
                project="rainfall", deployment_id="d-1", model="rain", version=3, endpoint="/v2"
            )
        )
        _until_known(platform)
        yield made


def _until_known(platform: Platform) -> None:
    headers = {"Authorization": f"Bearer {platform.token}"}
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        answer = httpx.get(f"{platform.url}/api/v1/query/monitoring/models", headers=headers)
        if answer.is_success and answer.json()["models"]:
            return
        time.sleep(0.1)
    raise TimeoutError((platform.home / "monitoring.log").read_text()[-3000:])


async def test_a_table_is_judged_against_the_reference_that_was_brought(
    client: MLOpsClient, tmp_path: Path
) -> None:
    with pytest.raises(RefusedError, match="has no reference yet"):
        client.monitor_predictions(table(1))

    reference = client.set_reference_data(table(1), target="truth", prediction="answer")
    quiet = client.monitor_predictions(table(2), target="truth", prediction="answer")
    table(3, shift=0.9, right=0.6).to_parquet(tmp_path / "later.parquet")
    later = client.monitor_predictions(tmp_path / "later.parquet", "truth", "answer", model="rain")
    plain = table(4)
    by_values = client.monitor_predictions(
        plain[["wind", "heat", "sky"]], target=plain["truth"], prediction=plain["answer"].tolist()
    )

    assert (reference.version, reference.rows) == (3, ROWS)
    assert (reference.metric, reference.value) == ("accuracy", 0.9)
    assert (quiet.drift.drifted, quiet.retraining_suggested) == (False, False)
    assert quiet.performance is not None
    assert (quiet.performance.expected, quiet.performance.degraded) == (0.9, False)
    assert later.drift.drifted is True
    assert [one.name for one in later.drift.columns if one.drifted] == ["wind"]
    assert later.performance is not None
    assert (later.performance.value, later.performance.degraded) == (0.6, True)
    assert later.retraining_suggested
    assert (by_values.rows, by_values.drift.drifted) == (ROWS, False)
    with pytest.raises(RefusedError, match="has no column of the reference"):
        client.monitor_predictions({"x": [1.0] * 300})
    with pytest.raises(RefusedError, match="cannot be read as Parquet"):
        client.monitor_predictions(_broken(tmp_path))


def _broken(folder: Path) -> Path:
    path = folder / "broken.parquet"
    path.write_bytes(b"PAR1" + b"\0" * 100 + b"PAR1")
    return path


def test_a_gateway_that_is_killed_leaves_no_half_table(platform: Platform) -> None:
    rows = b"wind\n" + b"1\n" * 3_000_000
    script = (
        "import sys, time, httpx\n"
        "def slowly():\n"
        "    yield b'wind\\n' + b'1\\n' * 1_500_000\n"
        "    print('half', flush=True)\n"
        "    time.sleep(60)\n"
        "httpx.post(sys.argv[1], params={'name': 'a.csv'}, content=slowly(), "
        "headers={'Authorization': 'Bearer ' + sys.argv[2]})\n"
    )
    url = f"{platform.url}/api/v1/files"
    command = [sys.executable, "-c", script, url, platform.token]
    folder = platform.home / "state" / "gateway" / "files"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"half\n"
        _until_drafted(folder)
        platform.kill("gateway")
        caller.kill()
    platform.start_gateway()

    assert list(folder.glob("*.csv")) == []
    headers = {"Authorization": f"Bearer {platform.token}"}
    whole = httpx.post(url, params={"name": "a.csv"}, content=rows, headers=headers, timeout=30)

    digest = hashlib.sha256(rows).hexdigest()
    assert whole.json() == {
        "uri": (folder / f"{digest}.csv").as_uri(),
        "sha256": digest,
        "bytes": len(rows),
    }


def _until_drafted(folder: Path) -> None:
    deadline = time.monotonic() + 45
    while not list(folder.glob("*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    async def one() -> AsyncIterator[bytes]:
        yield b"a\n" + b"1\n" * 1_000_000

    with tiny_disk(tmp_path / "disk", 1) as disk:
        files = FilesFolder(disk.path / "files", 10_000_000, timedelta(days=1))

        with pytest.raises(FullShelfError):
            await files.store(Kind.CSV, one())

        assert _names(disk.path / "files") == []


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]
