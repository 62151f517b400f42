# SPDX-License-Identifier: Apache-2.0
"""Packing a version from a real MLflow into BentoML's store."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.serving.adapters.sidecars import SidecarPackages, make_sidecar

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(180)]
PROJECT = "packing"


@pytest.fixture
async def packages(tmp_path: Path, mlflow_url: str) -> AsyncIterator[SidecarPackages]:
    sidecar = make_sidecar(
        home=tmp_path,
        ray_address="127.0.0.1:1",
        serve_url="http://127.0.0.1:1",
        mlflow_url=mlflow_url,
    )
    yield SidecarPackages(sidecar)
    await sidecar.close()


def store(home: Path, kind: str) -> list[str]:
    return sorted(path.name for path in (home / "bentoml" / kind).glob("*/*") if path.is_dir())


async def test_a_version_is_packed_once_and_says_where_it_is_from(
    packages: SidecarPackages, trainer: Any, tmp_path: Path
) -> None:
    [version] = trainer.log(PROJECT, "skops")

    once = await packages.pack(PROJECT, PROJECT, version, "auto")
    again = await packages.pack(PROJECT, PROJECT, version, "auto")

    assert once == again
    assert (once.backend, once.metrics) == ("sklearn", {"accuracy": 0.8125})
    [folder] = (tmp_path / "bentoml" / "bentos").glob(once.bento_tag.replace(":", "/"))
    labels = yaml.safe_load((folder / "bento.yaml").read_text())["labels"]
    assert len(labels.pop("sha256")) == 64
    assert labels.pop("platform").startswith(f"{sys.platform}-")
    assert labels == {
        "project": PROJECT,
        "model": PROJECT,
        "version": str(version),
        "run_id": once.run_id,
        "format": "sklearn-skops",
        "backend": "sklearn",
        "backend_reason": once.backend_reason,
        "dataset.weather": "3@0a1b",
    }
    assert (once.format, once.task) == ("sklearn-skops", "predict")
    [model] = (tmp_path / "bentoml" / "models").glob(once.bento_tag.replace(":", "/"))
    files = [one for one in (model / "model").rglob("*") if one.is_file()]
    assert once.size_bytes == sum(one.stat().st_size for one in files)


async def test_a_pickle_is_refused_with_both_ways_out_until_the_project_allows_it(
    packages: SidecarPackages, trainer: Any
) -> None:
    [version] = trainer.log(PROJECT, "cloudpickle")

    with pytest.raises(
        RejectedError, match=r"model\.pkl.*serialization_format.*allow_pickle = true"
    ):
        await packages.pack(PROJECT, PROJECT, version, "auto")
    allowed = await packages.pack(PROJECT, PROJECT, version, "auto", allow_pickle=True)
    with pytest.raises(RejectedError, match="packed while the project allowed pickles"):
        await packages.pack(PROJECT, PROJECT, version, "auto")

    assert (allowed.format, allowed.backend) == ("sklearn-pickle", "sklearn")


async def test_packages_out_of_use_are_forgotten(
    packages: SidecarPackages, trainer: Any, tmp_path: Path
) -> None:
    versions = trainer.log(PROJECT, "skops", "skops")
    _, newest = [await packages.pack(PROJECT, PROJECT, one, "auto") for one in versions]
    other = await packages.pack(PROJECT, PROJECT, versions[0], "pyfunc")

    await packages.keep_only(PROJECT, PROJECT, [newest.bento_tag, other.bento_tag])

    kept = sorted(one.bento_tag.partition(":")[2] for one in (newest, other))
    assert store(tmp_path, "bentos") == kept
    assert store(tmp_path, "models") == kept


async def test_a_model_of_32_bit_tensors_answers_its_own_example(
    packages: SidecarPackages, trainer: Any, tmp_path: Path
) -> None:
    [version] = trainer.log(PROJECT, "single")
    package = await packages.pack(PROJECT, PROJECT, version, "auto", allow_pickle=True)

    loads = "import bentoml, sys; bentoml.load(sys.argv[1])()"
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", loads, package.bento_tag),
        env=os.environ | {"BENTOML_HOME": str(tmp_path / "bentoml"), "BENTOML_DO_NOT_TRACK": "1"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await run.communicate()

    assert run.returncode == 0, said.decode()[-2000:]


@pytest.mark.parametrize(
    ("project", "version", "backend", "said"),
    [
        (PROJECT, 999, "auto", "version 999 of 'packing' in workspace 'packing' cannot be fetched"),
        ("nobody", 1, "auto", "in workspace 'nobody' cannot be fetched"),
        (
            PROJECT,
            1,
            "mlx",
            'backend = "mlx", which cannot run the format sklearn; set backend = "auto"',
        ),
    ],
)
async def test_what_cannot_be_packed_is_refused_with_the_reason(
    packages: SidecarPackages, trainer: Any, project: str, version: int, backend: str, said: str
) -> None:
    trainer.log(PROJECT, "skops")

    with pytest.raises(RejectedError, match=said):
        await packages.pack(project, PROJECT, version, backend)


async def test_a_registry_that_is_away_is_waited_for(tmp_path: Path) -> None:
    sidecar = make_sidecar(
        home=tmp_path,
        ray_address="127.0.0.1:1",
        serve_url="http://127.0.0.1:1",
        mlflow_url="http://127.0.0.1:1",
    )

    with pytest.raises(UnavailableError, match="MLflow, for version 1"):
        await SidecarPackages(sidecar).pack(PROJECT, PROJECT, 1, "auto")

    await sidecar.close()
