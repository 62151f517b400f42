# SPDX-License-Identifier: Apache-2.0
"""Every program in docs/how-to/log-models.md runs as it stands, against a real MLflow, which then loads the models."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from servers.mlflow_server import MlflowProcess

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(240)]
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "log-models.md"
LOADS = """
import mlflow, pandas as pd
print(mlflow.pyfunc.load_model("models:/rain/1").predict(pd.DataFrame({"temperature": [2.0], "visibility": [1.0]})))
print(sorted(model.name for model in mlflow.search_logged_models(experiment_ids=["1"], output_format="list")))
"""


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    pytest.importorskip("mlx.core", reason="MLX has no wheel for this system")
    server = MlflowProcess(tmp_path / "mlflow", workspaces=False)
    server.start()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "MLFLOW_TRACKING_URI": server.uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLOPS_SPOOL": str(tmp_path / "spool"),
        "PYTHONPATH": str(tmp_path),
    }

    def run(program: str) -> str:
        command = [sys.executable, "-c", program]
        done = subprocess.run(
            command,
            check=False,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        programs = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        files = [one for one in programs if one.startswith("# net.py")]
        (tmp_path / "net.py").write_text(files[0])
        said = [run(one) for one in programs if one not in files]
        loaded = run(LOADS).splitlines()
    finally:
        server.kill()

    assert said[0].split() == ["1"]
    assert loaded == ["[1]", "['graph', 'net', 'rain', 'rule']"]
