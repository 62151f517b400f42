# SPDX-License-Identifier: Apache-2.0
"""KubeRay's `RayService`: the same Serve application as here, on a Ray cluster of its own.

The fields are KubeRay's (`ray.io/v1`); the application is checked by Ray's own schema in the tests.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from pydantic import Field

from mlops.cli.emit.deployed import Deployed
from mlops.cli.emit.kubernetes import Container, Metadata, Port, Variable, resources, secret
from mlops.cli.emit.manifest import Manifest, Piece
from mlops.cli.emit.names import label_of, labels, quantity, stamps
from mlops.cli.emit.serve_config import HOME, HTTP_PORT, serve_config

_MOST_NAME = 47  # KubeRay refuses longer ones
_POD_GIB = 1.5  # raylet, its agents, Serve's proxy and HAProxy, beside a replica
_OBJECT_STORE = "80000000"
_GROUP = "replicas"
_HEAD_PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "serve": HTTP_PORT}


class PodSpec(Piece):
    """The containers of a pod."""

    containers: tuple[Container, ...]


class PodTemplate(Piece):
    """A pod to be made."""

    spec: PodSpec


class HeadGroup(Piece):
    """The head: Ray's books and Serve's controller, no replica."""

    ray_start_params: dict[str, str]
    template: PodTemplate


class WorkerGroup(Piece):
    """The workers: one replica each."""

    group_name: str
    replicas: int
    min_replicas: int
    max_replicas: int
    ray_start_params: dict[str, str]
    template: PodTemplate


class Auth(Piece):
    """Who may speak to the head: KubeRay makes the token and keeps it as a Secret."""

    mode: Literal["token"] = "token"


class Cluster(Piece):
    """The Ray cluster."""

    ray_version: str | None = None
    enable_in_tree_autoscaling: bool
    auth_options: Auth | None = None
    head_group_spec: HeadGroup
    worker_group_specs: tuple[WorkerGroup, ...]


class Spec(Piece):
    """What Serve runs, and on which cluster."""

    serve_config_v2: str = Field(alias="serveConfigV2")
    ray_cluster_config: Cluster


class RayService(Piece):
    """One model as KubeRay runs it."""

    api_version: Literal["ray.io/v1"] = "ray.io/v1"
    kind: Literal["RayService"] = "RayService"
    metadata: Metadata
    spec: Spec


def kuberay(
    found: Deployed, *, ray_version: str | None, image: str = "", name: str = ""
) -> Manifest:
    """Return the manifest; *image* holds the platform's serving package, this Ray and the Bento."""
    label = label_of(found, name, _MOST_NAME, "KubeRay takes")
    shown = image or found.bento_tag.replace(":", "-replica:", 1)
    service = RayService(
        metadata=Metadata(name=label, labels=labels(label), annotations=stamps(found)),
        spec=Spec(
            serve_config_v2=serve_config(found),
            ray_cluster_config=_cluster(found, shown, ray_version),
        ),
    )
    return Manifest(service.plain(), _notes(found, shown))


def _cluster(found: Deployed, image: str, ray_version: str | None) -> Cluster:
    settings = found.settings
    fixed = {"object-store-memory": _OBJECT_STORE}
    return Cluster(
        ray_version=ray_version,
        enable_in_tree_autoscaling=settings.min_replicas != settings.max_replicas,
        # KubeRay refuses the one without the other.
        auth_options=Auth() if ray_version else None,
        head_group_spec=HeadGroup(
            ray_start_params={**fixed, "num-cpus": "0"},
            template=_pod("ray-head", image, _POD_GIB + 0.5, _HEAD_PORTS),
        ),
        worker_group_specs=(
            WorkerGroup(
                group_name=_GROUP,
                replicas=settings.min_replicas,
                min_replicas=settings.min_replicas,
                max_replicas=settings.max_replicas,
                ray_start_params={**fixed, "num-cpus": "1"},
                template=_pod(
                    "ray-worker", image, settings.memory_gb + _POD_GIB, {"serve": HTTP_PORT}
                ),
            ),
        ),
    )


def _pod(name: str, image: str, gib: float, ports: dict[str, int]) -> PodTemplate:
    container = Container(
        name=name,
        image=image,
        env=_environment(),
        ports=tuple(Port(container_port=port, name=one) for one, port in ports.items()),
        resources=resources("1", quantity(gib)),
    )
    return PodTemplate(spec=PodSpec(containers=(container,)))


def _environment() -> tuple[Variable, ...]:
    plain = {
        "MLOPS_HOME": HOME,
        "BENTOML_DO_NOT_TRACK": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Serve reads them when it is imported: the head and every worker need them.
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
    }
    return (
        *(Variable(name=key, value=value) for key, value in plain.items()),
        secret("NATS_URL", "nats-url"),
        secret("NATS_TOKEN", "nats-token"),
        secret("GATEWAY_TOKEN", "gateway-token"),
    )


def _notes(found: Deployed, image: str) -> tuple[str, ...]:
    home = f"{HOME}/bentoml"
    return (
        f"the image {image} must hold the platform's serving package, and the Bento {found.bento_tag} in {home}",
        "docs/how-to/run-elsewhere.md shows how to make it",
        "the Secret `mlops` may hold nats-url, nats-token (predictions then go to the platform) and gateway-token",
        "without gateway-token the replicas answer everybody who reaches them",
        "KubeRay starts a new cluster for a changed image and moves all traffic at once; there are no canary steps",
    )


def installed_ray() -> str | None:
    """Return which Ray stands beside this command, None without any."""
    try:
        return version("ray")
    except PackageNotFoundError:
        return None
