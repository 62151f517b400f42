# SPDX-License-Identifier: Apache-2.0
"""A project whose remote has credentials of its own gives them to DVC in its folder, and they outlive our settings."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.errors import UnavailableError
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.ports import Place

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

DVC = Path(sys.executable).with_name("dvc")


@pytest.fixture
async def datasets(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[DvcDatasets]:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-somebody-else")
    datasets = DvcDatasets(tmp_path / "state")
    yield datasets
    await datasets.close()


async def give(folder: Path, option: str, value: str) -> None:
    words = ("remote", "modify", "--local", "mlops", option, value)
    done = await asyncio.create_subprocess_exec(
        DVC, *words, cwd=folder, env={"PATH": os.environ["PATH"], "HOME": str(folder.parent)}
    )
    assert await done.wait() == 0


async def test_credentials_given_in_the_project_are_used_and_stay(
    s3: Any, datasets: DvcDatasets, tmp_path: Path
) -> None:
    folder = tmp_path / "rain"
    folder.mkdir()
    remote = s3.bucket("datasets") + "/own"
    place = Place("rain", str(folder), remote, str(tmp_path / "cache"))
    (folder / "days.csv").write_text("1,2\n")
    await datasets.provision(place)

    with pytest.raises(UnavailableError, match="AWS_SECRET_ACCESS_KEY"):
        await datasets.snapshot(place, "days.csv")
    await give(folder, "access_key_id", s3.environment["AWS_ACCESS_KEY_ID"])
    await give(folder, "secret_access_key", s3.environment["AWS_SECRET_ACCESS_KEY"])
    await datasets.provision(place)
    held = await datasets.snapshot(place, "days.csv")

    assert await datasets.push(place, [held.oid]) == 0
    assert "secret_access_key" in (folder / ".dvc" / "config.local").read_text()
    assert "secret_access_key" not in (folder / ".dvc" / "config").read_text()
