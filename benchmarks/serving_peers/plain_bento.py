# SPDX-License-Identifier: Apache-2.0
"""What BentoML alone takes for a model of the registry: its own MLflow import, and a Bento of it, in an empty store.

Reads {"project", "models": {name: version}} on standard input, with MLFLOW_TRACKING_URI and BENTOML_HOME set; answers the
seconds of each, the second time: the first one pays for imports.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import bentoml
import bentoml._internal.configuration as bentoml_configuration
import bentoml.mlflow
import mlflow

# BentoML looks for uv (and wants to install it) even when it has nothing to lock, as here: it is never run.
bentoml_configuration.get_uv_command = lambda: ["uv"]
SERVICE = """
import bentoml


@bentoml.service
class Plain:
    kept = bentoml.models.BentoModel("{tag}")

    def __init__(self):
        self.model = bentoml.mlflow.load_model(self.kept)

    @bentoml.api
    def predict(self, rows: list[list[float]]) -> list[float]:
        return list(self.model.predict(rows))
"""


def pack(project: str, name: str, version: int) -> float:
    """Import and build one; return the seconds."""
    began = time.perf_counter()
    os.environ["MLFLOW_WORKSPACE"] = project
    mlflow.set_workspace(project)
    kept = bentoml.mlflow.import_model(name, f"models:/{name}/{version}")
    with tempfile.TemporaryDirectory() as folder:
        module = f"plain_{name.replace('-', '_')}_{time.monotonic_ns()}"
        Path(folder, f"{module}.py").write_text(SERVICE.format(tag=kept.tag))
        python = {"packages": ["mlflow"], "lock_packages": False}
        bentoml.bentos.build(
            f"{module}:Plain", build_ctx=folder, models=[str(kept.tag)], python=python
        )
    return time.perf_counter() - began


if __name__ == "__main__":
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what MLflow prints is no answer
    wish = json.load(sys.stdin)
    found = {}
    for project, version in wish.items():
        pack(project, project, version)
        found[project] = pack(project, project, version)
    answer.write(json.dumps(found) + "\n")
    answer.close()
