# SPDX-License-Identifier: Apache-2.0
"""A Compose file: the Bento's own container on one machine, on its loopback address.

The fields are those of the Compose Specification; Docker Compose itself reads every file in the tests.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from mlops.cli.emit.deployed import Deployed
from mlops.cli.emit.manifest import Manifest
from mlops.cli.emit.names import label_of, mebibytes, stamps

_MOST_NAME = 63
_PORT = 3000
_SERVER_GIB = 0.5  # Python, BentoML and the libraries, beside what the model itself may take
_READY = (
    "import urllib.request as ask; "
    f"ask.urlopen('http://127.0.0.1:{_PORT}/readyz', timeout=4).read()"
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Healthcheck(_Part):
    """How Compose asks whether a container is ready."""

    test: tuple[str, ...]
    interval: str = "10s"
    timeout: str = "5s"
    retries: int = 3
    start_period: str = "120s"


class Limits(_Part):
    """What a container must not exceed."""

    memory: str


class Bounds(_Part):
    """The bounds of a service's containers."""

    limits: Limits


class Deploy(_Part):
    """How many containers there are, and how large each may be."""

    replicas: int
    resources: Bounds


class Service(_Part):
    """What runs."""

    image: str
    restart: str = "unless-stopped"
    ports: tuple[str, ...]
    environment: dict[str, str]
    healthcheck: Healthcheck
    deploy: Deploy
    cap_drop: tuple[str, ...] = ("ALL",)
    security_opt: tuple[str, ...] = ("no-new-privileges:true",)
    labels: dict[str, str]


class ComposeFile(_Part):
    """A whole file."""

    name: str
    services: dict[str, Service]


def compose(found: Deployed, *, image: str = "", name: str = "") -> Manifest:
    """Return the file; *image* is the Bento's, as `bentoml containerize` makes it, or another name of it."""
    label = label_of(found, name, _MOST_NAME, "a host name has")
    replicas = max(1, found.settings.min_replicas)
    memory = f"{mebibytes(found.settings.memory_gb + _SERVER_GIB)}M"
    service = Service(
        image=image or found.bento_tag,
        ports=(f"127.0.0.1:{_span(replicas)}:{_PORT}",),
        environment={"BENTOML_PORT": str(_PORT), "BENTOML_DO_NOT_TRACK": "true"},
        healthcheck=Healthcheck(test=("CMD", "python", "-c", _READY)),
        deploy=Deploy(replicas=replicas, resources=Bounds(limits=Limits(memory=memory))),
        labels=stamps(found),
    )
    file = ComposeFile(name=label, services={"model": service})
    return Manifest(file.model_dump(mode="json"), _notes(found))


def _span(replicas: int) -> str:
    return f"{_PORT}" if replicas == 1 else f"{_PORT}-{_PORT + replicas - 1}"


def _notes(found: Deployed) -> tuple[str, ...]:
    notes = [
        f"make the image with `BENTOML_HOME=$MLOPS_HOME/bentoml bentoml containerize {found.bento_tag}`; --image gives it another name",
        "the Bento's own server answers /predict and asks for no token: it is bound to 127.0.0.1",
    ]
    if found.settings.max_replicas > max(1, found.settings.min_replicas):
        notes.append(
            "Compose does not scale by itself: there are as many containers as replicas at least"
        )
    if found.settings.min_replicas == 0:
        notes.append("Compose puts nothing to sleep: one container runs on")
    return tuple(notes)
