# SPDX-License-Identifier: Apache-2.0
"""KServe's `InferenceService`: the Bento's own container, or KServe's MLflow runtime on the model's files.

The fields are KServe's (`serving.kserve.io/v1beta1`); its own typed models read every manifest in the tests.
"""

from __future__ import annotations

import re
from typing import Literal

from mlops.cli.emit.deployed import Deployed
from mlops.cli.emit.kubernetes import (
    Container,
    HttpGet,
    Metadata,
    Port,
    Probe,
    Resources,
    Variable,
    resources,
)
from mlops.cli.emit.manifest import Manifest, Piece
from mlops.cli.emit.names import label_of, labels, quantity, stamps
from mlops.cli.errors import InputError
from mlops.contracts.settings import RolloutKind

_MOST_NAME = (
    45  # its host is <name>-predictor-<namespace>, of 63 characters; "default" leaves so many
)
_BENTO_PORT = 3000
_REST_PORT = 8080
_ONGOING_PER_REPLICA = 4
_SERVER_GIB = 0.5  # Python, BentoML and the libraries, beside what the model itself may take
_STORAGE = re.compile(r"(s3|gs|pvc|https?|hdfs|webhdfs|abfss?|oci|hf)://\S+")


class ModelFormat(Piece):
    """How the files are written; KServe picks its runtime by it."""

    name: str


class Model(Piece):
    """Files that one of KServe's own runtimes answers from."""

    model_format: ModelFormat
    protocol_version: Literal["v2"] = "v2"
    storage_uri: str
    ports: tuple[Port, ...]
    resources: Resources


class Predictor(Piece):
    """What answers, how many of it, and its share of the traffic."""

    annotations: dict[str, str] | None = None
    min_replicas: int
    max_replicas: int
    scale_metric: Literal["concurrency"] = "concurrency"
    scale_target: int = _ONGOING_PER_REPLICA
    container_concurrency: int
    canary_traffic_percent: int | None = None
    timeout: int = 30
    containers: tuple[Container, ...] | None = None
    model: Model | None = None


class Spec(Piece):
    """The predictor; there is neither transformer nor explainer."""

    predictor: Predictor


class InferenceService(Piece):
    """One model as KServe runs it."""

    api_version: Literal["serving.kserve.io/v1beta1"] = "serving.kserve.io/v1beta1"
    kind: Literal["InferenceService"] = "InferenceService"
    metadata: Metadata
    spec: Spec


def kserve(found: Deployed, *, image: str = "", storage_uri: str = "", name: str = "") -> Manifest:
    """Return the manifest; *storage_uri* names an MLflow model folder, else *image* or the Bento's own image answers."""
    label = label_of(found, name, _MOST_NAME, "KServe's host name leaves")
    if image and storage_uri:
        raise InputError("--image and --storage-uri name two things that answer", "give one")
    if storage_uri and not _STORAGE.fullmatch(storage_uri):
        raise InputError(
            f"KServe cannot fetch {storage_uri!r}",
            "give s3://, gs://, https://, pvc://, hdfs://, abfs://, oci:// or hf://",
        )
    service = InferenceService(
        metadata=Metadata(name=label, labels=labels(label), annotations=stamps(found)),
        spec=Spec(predictor=_predictor(found, image or found.bento_tag, storage_uri)),
    )
    notes = _of_files(storage_uri) if storage_uri else _of_image(found, image)
    return Manifest(service.plain(), (*notes, *_of_traffic(found)))


def _predictor(found: Deployed, image: str, storage_uri: str) -> Predictor:
    settings = found.settings
    sleeps = f"{round(settings.sleep_after.total_seconds())}s"
    return Predictor(
        annotations={"autoscaling.knative.dev/scale-to-zero-pod-retention-period": sleeps}
        if settings.min_replicas == 0
        else None,
        min_replicas=settings.min_replicas,
        max_replicas=settings.max_replicas,
        container_concurrency=found.concurrency,
        canary_traffic_percent=found.canary_percent,
        containers=None if storage_uri else (_container(found, image),),
        model=_model(found, storage_uri) if storage_uri else None,
    )


def _container(found: Deployed, image: str) -> Container:
    return Container(
        name="kserve-container",
        image=image,
        env=(
            Variable(name="BENTOML_PORT", value=str(_BENTO_PORT)),
            Variable(name="BENTOML_DO_NOT_TRACK", value="true"),
        ),
        ports=(Port(container_port=_BENTO_PORT, name="http1"),),
        startup_probe=_probe("/readyz", failures=60),
        readiness_probe=_probe("/readyz", failures=3),
        liveness_probe=_probe("/livez", failures=6),
        resources=resources("500m", quantity(found.settings.memory_gb + _SERVER_GIB)),
    )


def _model(found: Deployed, storage_uri: str) -> Model:
    return Model(
        model_format=ModelFormat(name="mlflow"),
        storage_uri=storage_uri,
        ports=(Port(container_port=_REST_PORT, name="http1"),),
        resources=resources("500m", quantity(found.settings.memory_gb + _SERVER_GIB)),
    )


def _probe(path: str, failures: int) -> Probe:
    asked = HttpGet(path=path, port=_BENTO_PORT)
    return Probe(http_get=asked, period_seconds=5, timeout_seconds=5, failure_threshold=failures)


def _of_files(storage_uri: str) -> tuple[str, ...]:
    return (
        f"KServe's MLflow runtime must be installed and may need a service account to read {storage_uri}",
        "it answers the Open Inference Protocol under the InferenceService's name",
    )


def _of_image(found: Deployed, image: str) -> tuple[str, ...]:
    build = f"make the image with `BENTOML_HOME=$MLOPS_HOME/bentoml bentoml containerize {found.bento_tag}`"
    push = "" if image else "; push it where the cluster can read it and name it with --image"
    return (
        f"{build}{push}",
        "the Bento's own server answers /predict and asks for no token: keep it behind the cluster's gateway",
        "for the Open Inference Protocol give --storage-uri, or --emit kuberay",
    )


def _of_traffic(found: Deployed) -> tuple[str, ...]:
    settings = found.settings
    notes: list[str] = []
    if found.canary_percent is not None:
        steps = ", ".join(f"{step:.0%}" for step in settings.steps)
        notes.append(
            f"it gets {found.canary_percent} % beside the revision that runs; KServe takes no further step by itself: "
            f"raise canaryTrafficPercent by hand (the project's steps: {steps}), then remove it"
        )
    if settings.rollout is RolloutKind.SHADOW:
        notes.append("KServe has no shadow: the version answers from the beginning")
    if settings.min_replicas == 0:
        notes.append("it sleeps only where KServe runs on Knative (serverless mode)")
    return tuple(notes)
