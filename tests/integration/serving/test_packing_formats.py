# SPDX-License-Identifier: Apache-2.0
"""Every format from a real registry: packed, loaded in a process of its own, answering as the model does."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.errors import RejectedError
from mlops.serving.adapters.sidecars import SidecarPackages, make_sidecar

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(240)]
PROJECT = "formats"
ROW = {"temperature": 0.25, "dew_point": 0.5, "visibility": 1.0}
PLAIN = [0.25, 0.5, 1.0]


def needs(*modules: str) -> pytest.MarkDecorator:
    missing = [one for one in modules if importlib.util.find_spec(one) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed here: {', '.join(missing)}")


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


async def answers(home: Path, tag: str, rows: list[Any]) -> dict[str, Any]:
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).parent / "answer_bento.py"), tag),
        env=os.environ | {"BENTOML_HOME": str(home / "bentoml"), "BENTOML_DO_NOT_TRACK": "1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, errors = await run.communicate(json.dumps(rows).encode())
    assert run.returncode == 0, errors.decode()[-3000:]
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


CASES = [
    ("from-code", "auto", ROW, "pyfunc", "pyfunc", 0.5, ()),
    ("onnx", "auto", PLAIN, "onnx", "onnxruntime", [0.5], ()),
    ("onnx", "pyfunc", PLAIN, "onnx", "pyfunc", [0.5], ()),
    ("onnx-file", "auto", PLAIN, "onnx", "onnxruntime", [0.5], ()),
    ("layers", "auto", PLAIN, "layers", "onnxruntime", [0.5], ()),
    ("layers", "numpy", PLAIN, "layers", "numpy", [0.5], ()),
    ("layers", "mlx", PLAIN, "layers", "mlx", [0.5], ("mlx",)),
    ("layers", "torch", PLAIN, "layers", "torch-cpu", [0.5], ("torch",)),
    ("mlx", "auto", PLAIN, "mlx", "mlx", [0.5], ("mlx",)),
    ("mlx", "pyfunc", PLAIN, "mlx", "pyfunc", [0.5], ("mlx",)),
    ("torch", "auto", PLAIN, "torch", "torch-cpu", [0.5], ("torch",)),
]


@pytest.mark.parametrize(
    ("kind", "wish", "row", "kept", "backend", "answer"),
    [
        pytest.param(*case[:-1], marks=needs(*case[-1]), id=f"{case[0]}-on-{case[1]}")
        for case in CASES
    ],
)
async def test_a_model_answers_the_same_in_its_bento(
    packages: SidecarPackages,
    trainer: Any,
    tmp_path: Path,
    kind: str,
    wish: str,
    row: Any,
    kept: str,
    backend: str,
    answer: Any,
) -> None:
    [version] = trainer.log(PROJECT, kind)

    package = await packages.pack(PROJECT, PROJECT, version, wish)
    found = await answers(tmp_path, package.bento_tag, [row, row])

    assert (package.format, package.backend) == (kept, backend)
    assert found["answers"] == [answer, answer]
    assert found["spec"]["backend_reason"] == package.backend_reason != ""


@needs("xgboost")
async def test_a_native_format_is_no_pickle(
    packages: SidecarPackages, trainer: Any, tmp_path: Path
) -> None:
    [version] = trainer.log(PROJECT, "xgboost")

    package = await packages.pack(PROJECT, PROJECT, version, "auto")
    found = await answers(tmp_path, package.bento_tag, [ROW])

    assert (package.format, package.backend) == ("pyfunc", "pyfunc")
    assert found["answers"] == [pytest.approx(0.5, abs=0.1)]


@needs("mlx_lm")
async def test_a_language_model_writes_texts(
    packages: SidecarPackages, trainer: Any, tmp_path: Path
) -> None:
    [version] = trainer.log(PROJECT, "texts")

    package = await packages.pack(PROJECT, PROJECT, version, "auto")
    found = await answers(tmp_path, package.bento_tag, [{"prompt": "the rain"}])

    assert (package.format, package.backend, package.task) == ("mlx-lm", "mlx-lm", "text")
    assert found["spec"]["concurrency"] == 1
    [text] = found["answers"]
    assert text.split()
    once, again = found["written"]
    assert once == again, "the same seed writes the same"
    assert [one["finish_reason"] for one in once[:-1]] == [None] * (len(once) - 1)
    assert once[-1]["finish_reason"] in ("stop", "length")
    assert once[-1]["prompt_tokens"] >= 3
    assert 1 <= once[-1]["completion_tokens"] <= 6


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML packages run here")
async def test_a_core_ml_package_is_refused_where_no_system_runs_it(
    packages: SidecarPackages, trainer: Any
) -> None:
    [version] = trainer.log(PROJECT, "coreml")

    with pytest.raises(RejectedError, match=f"run on macOS only, this is {sys.platform}"):
        await packages.pack(PROJECT, PROJECT, version, "auto")
