# SPDX-License-Identifier: Apache-2.0
"""A project folder and real DVC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.ports import Place
from servers.places import place_of
from servers.versioning import Versioning


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_of(tmp_path)


@pytest.fixture
def folder(place: Place) -> Path:
    return Path(place.folder)


@pytest.fixture
async def datasets(tmp_path: Path) -> AsyncIterator[DvcDatasets]:
    datasets = DvcDatasets(tmp_path / "state", idle=timedelta(minutes=2))
    yield datasets
    await datasets.close()


@pytest.fixture
async def versioning(
    tmp_path: Path, place: Place, datasets: DvcDatasets
) -> AsyncIterator[Versioning]:
    versioning = Versioning(tmp_path, place, datasets)
    await versioning.register()
    yield versioning
    await versioning.close()
