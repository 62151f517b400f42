# SPDX-License-Identifier: Apache-2.0
"""The platform's own client on a machine that knows the gateway and its token, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from integration.gateway.conftest import Platform
from integration.gateway.test_mlflow import client
from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.serving import DeploymentStarted, DeployModel

pytestmark = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.timeout(240)]


REMOTE = """
import json
from pathlib import Path
from mlops.client import MLOpsClient

model = Path("model")
model.mkdir()
(model / "MLmodel").write_text("flavors:\\n  python_function:\\n    loader_module: none\\n")
with MLOpsClient.from_project("rainfall") as client:
    with client.start_run("far away", hardware=False) as run:
        client.log_params({"depth": 3})
        for step in range(20):
            client.log_metrics({"loss": 1 / (step + 1)}, step=step)
        client.log_artifact("model/MLmodel", "notes")
        sent = run.log_model("model", "rain", registered_name=True).wait(60)
        told = run.flush(60)
        run_id = run.run_id
    print(json.dumps({"run": run_id, "version": sent.version, "waiting": told.waiting, "refused": told.refused}))
"""

LOOK = """
import json, os
import mlflow
from mlflow import MlflowClient
run = MlflowClient().get_run(os.environ["RUN"])
print(json.dumps({
    "status": run.info.status,
    "params": run.data.params,
    "points": len(MlflowClient().get_metric_history(run.info.run_id, "loss")),
    "files": [one.path for one in MlflowClient().list_artifacts(run.info.run_id, "notes")],
    "versions": [int(one.version) for one in MlflowClient().search_model_versions("name = 'rain'")],
}))
"""


def test_client_of_another_machine_needs_the_gateway_and_its_token_only(
    platform: Platform, project: Path, tmp_path: Path
) -> None:
    """The workspace is made by the platform once the project is registered; until then the client waits."""
    remote = {
        "MLFLOW_TRACKING_URI": "",
        "MLOPS_GATEWAY_URL": platform.url,
        "MLOPS_TOKEN": platform.token,
        "MLOPS_SPOOL": str(tmp_path / "spool"),
    }
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote" / "mlops.toml").write_text((project / "mlops.toml").read_text())
    platform.start_tracking()

    logged = client(platform, tmp_path / "remote", REMOTE, **remote)
    found = client(
        platform,
        tmp_path / "look",
        LOOK,
        MLFLOW_TRACKING_TOKEN=platform.token,
        MLFLOW_WORKSPACE="rainfall",
        RUN=logged["run"],
    )

    assert logged | {"run": ""} == {"run": "", "version": 1, "waiting": 0, "refused": 0}
    assert found == {
        "status": "FINISHED",
        "params": {"depth": "3"},
        "points": 20,
        "files": ["notes/MLmodel"],
        "versions": [1],
    }
    written = b"".join(one.read_bytes() for one in (tmp_path / "spool").rglob("*") if one.is_file())
    assert platform.token.encode() not in written


DEPLOY = """
import json
from pathlib import Path
from mlops.client import MLOpsClient

model = Path("model")
model.mkdir()
(model / "MLmodel").write_text("flavors:\\n  python_function:\\n    loader_module: none\\n")
with MLOpsClient.from_project("rainfall") as client:
    deployed = client.deploy_model("./model", why="by its path")
print(json.dumps({"tag": deployed.tag, "id": deployed.deployment_id}))
"""


async def test_model_is_deployed_by_its_path(
    platform: Platform, project: Path, tmp_path: Path, bus: NatsBus
) -> None:
    """It is logged, registered as the project's model, and then wanted of serving, which here only says yes."""
    wanted: list[DeployModel] = []

    async def deploy(message: DeployModel) -> list[DeploymentStarted]:
        wanted.append(message)
        return [
            DeploymentStarted(
                project=message.project,
                deployment_id="d1",
                model=message.model,
                version=message.version,
                endpoint="/v2",
            )
        ]

    bus.on("serving", DeployModel, deploy)
    await bus.start()
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote" / "mlops.toml").write_text((project / "mlops.toml").read_text())
    remote = {
        "MLFLOW_TRACKING_URI": "",
        "MLOPS_GATEWAY_URL": platform.url,
        "MLOPS_TOKEN": platform.token,
        "MLOPS_SPOOL": str(tmp_path / "spool"),
    }
    await asyncio.to_thread(platform.start_tracking)

    told = await asyncio.to_thread(client, platform, tmp_path / "remote", DEPLOY, **remote)

    assert told == {"tag": "rainfall/rain:1", "id": "d1"}
    assert [(one.model, one.version, one.why) for one in wanted] == [("rain", 1, "by its path")]
