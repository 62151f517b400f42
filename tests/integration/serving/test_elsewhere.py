# SPDX-License-Identifier: Apache-2.0
"""Manifests of a real deployment, read by the projects they are for: KServe, Kubernetes, KubeRay, Ray, Docker Compose."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from mlops.cli.emit.deployed import FULL_CONCURRENCY as EMITTED_CONCURRENCY
from mlops.cli.emit.deployed import Deployed, deployed
from mlops.cli.emit.serve_config import HOME
from mlops.cli.emit.wanted import Target, Wanted
from mlops.cli.emit.writers import written
from mlops.contracts.settings import ServeSettings
from mlops.serving.model.apps import FULL_CONCURRENCY, app_name, route_of
from servers import peers
from servers.ray_head import RayHead

HERE = Path(__file__).parent
FIXED = Deployed("rain", "wet", 2, "rain--wet:2-aa", ServeSettings(), 1.0)
ASLEEP = Deployed(
    "rain",
    "Wet.A",
    3,
    "wet:3-bb",
    ServeSettings(min_replicas=0, max_replicas=4, memory_gb=0.3),
    0.2,
)
DEPLOYMENTS = pytest.mark.parametrize("found", [FIXED, ASLEEP], ids=["fixed", "may-sleep"])


def made(target: Target, found: Deployed, storage_uri: str = "", name: str = "") -> dict[str, Any]:
    wanted = Wanted(target, storage_uri=storage_uri, name=name)
    return dict(yaml.safe_load(written(found, wanted).yaml()))


def read_again(kind: str, content: dict[str, Any]) -> Any:
    wish = [{"kind": kind, "content": content}]
    [found] = peers.environment("kserve").run(HERE / "kubernetes_reads.py", wish)
    return found


def lost(sent: Any, back: Any, at: str = "$") -> list[str]:
    """Return where what was sent did not come back as it was."""
    if isinstance(sent, dict) and isinstance(back, dict):
        return [path for key in sent for path in lost(sent[key], back.get(key), f"{at}.{key}")]
    return [] if sent == back else [f"{at}: {sent!r} came back as {back!r}"]


@DEPLOYMENTS
@pytest.mark.parametrize("uri", ["", "s3://models/wet/2"], ids=["image", "files"])
def test_kserves_own_models_read_the_service(found: Deployed, uri: str) -> None:
    content = made(Target.KSERVE, found, uri)

    assert lost(content, read_again("V1beta1InferenceService", content)) == []


@DEPLOYMENTS
def test_kubernetes_own_models_read_the_pods_of_the_ray_cluster(found: Deployed) -> None:
    cluster = made(Target.KUBERAY, found)["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]

    for group in groups:
        assert lost(group["template"], read_again("V1PodTemplateSpec", group["template"])) == []


@DEPLOYMENTS
def test_kuberays_own_definition_takes_the_service(found: Deployed) -> None:
    path = os.environ.get("KUBERAY_CRD")
    if path is None:
        pytest.skip(
            "no package registry has KubeRay's definitions; KUBERAY_CRD names ray.io_rayservices.yaml"
        )
    versions = yaml.safe_load(Path(path).read_text())["spec"]["versions"]
    [schema] = [one["schema"]["openAPIV3Schema"] for one in versions if one["name"] == "v1"]

    jsonschema.Draft202012Validator(closed(schema)).validate(made(Target.KUBERAY, found))


def closed(schema: Any) -> Any:
    """Return the schema as an API server applies it, but with unknown fields refused, where it drops them."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    inner = {name: closed(one) for name, one in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        return {"additionalProperties": False, **inner}
    return inner


@DEPLOYMENTS
@pytest.mark.ray
def test_rays_own_schema_takes_the_application(found: Deployed) -> None:
    config = yaml.safe_load(made(Target.KUBERAY, found)["spec"]["serveConfigV2"])

    [app] = json.loads(deploy(config).stdout)

    assert app["name"] == app_name(found.project, found.model, found.version)
    assert app["route_prefix"] == route_of(app["name"])
    assert app["deployments"][0]["autoscaling_config"]["min_replicas"] == (
        found.settings.min_replicas
    )
    assert EMITTED_CONCURRENCY == FULL_CONCURRENCY


@DEPLOYMENTS
def test_docker_compose_itself_reads_the_file(found: Deployed, tmp_path: Path) -> None:
    program = peers.environment("compose").program("docker-compose")
    file = tmp_path / "compose.yaml"
    file.write_text(written(found, Wanted(Target.COMPOSE)).yaml())

    read = subprocess.run(
        [program, "-f", file, "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert read.stderr == ""
    service = json.loads(read.stdout)["services"]["model"]
    assert service["image"] == found.bento_tag
    assert service["ports"][0]["host_ip"] == "127.0.0.1"


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[Any]:
    """Another Ray head, with nothing on it."""
    head = RayHead(tmp_path)
    await asyncio.to_thread(head.start)
    yield head
    await asyncio.to_thread(head.close)
    assert head.processes() == []


@pytest.mark.server
@pytest.mark.mlflow
@pytest.mark.ray
@pytest.mark.timeout(400)
async def test_what_is_deployed_here_answers_the_same_on_another_ray_cluster(
    project: Any, elsewhere: Any, callers: Any, home: Path
) -> None:
    await project.register()
    [version] = project.log("skops")
    await project.serve(version)
    answer = await project.bus.ask(
        "serving", "get", {"project": project.name, "model": project.name}
    )
    [here] = await project.weights()
    found = deployed(project.name, project.name, None, answer["deployment"], ServeSettings())

    spec = made(Target.KUBERAY, found, name="there")["spec"]
    config = yaml.safe_load(spec["serveConfigV2"])
    [app] = config["applications"]
    assert app["args"]["home"] == HOME
    app["args"]["home"] = str(home)  # where the Bento lies here, and in a pod in the image
    done = await asyncio.to_thread(deploy, config, elsewhere)

    assert done.returncode == 0, done.stderr[-2000:]
    there = f"{elsewhere.url}{app['route_prefix']}"
    answers = await asyncio.to_thread(callers.ask_two, there, project.name)
    assert [status for status, _ in answers] == [200, 200]
    assert answers == await asyncio.to_thread(callers.ask_two, here, project.name)


def deploy(config: dict[str, Any], head: Any = None) -> subprocess.CompletedProcess[str]:
    """Hand the configuration to Ray, on *head* where there is one; importing Ray here would warn, which is an error."""
    where = [] if head is None else [head.address, str(head.http_port)]
    return subprocess.run(
        [sys.executable, HERE / "deploy_elsewhere.py", *where],
        input=json.dumps(config),
        env=None if head is None else head.environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
