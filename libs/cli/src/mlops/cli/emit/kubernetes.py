# SPDX-License-Identifier: Apache-2.0
"""The pieces of Kubernetes that KServe's and KubeRay's manifests share."""

from __future__ import annotations

from mlops.cli.emit.manifest import Piece

SECRET = "mlops"  # noqa: S105 - the name of a Secret, no secret


class Metadata(Piece):
    """What a thing is called."""

    name: str
    labels: dict[str, str]
    annotations: dict[str, str]


class SecretKey(Piece):
    """One value of a Secret; the pod starts without it where it is *optional*."""

    name: str
    key: str
    optional: bool


class Source(Piece):
    """Where a variable's value comes from."""

    secret_key_ref: SecretKey


class Variable(Piece):
    """A variable of the environment: a plain value, or a reference to a secret one."""

    name: str
    value: str | None = None
    value_from: Source | None = None


class Port(Piece):
    """A port of a container."""

    container_port: int
    name: str
    protocol: str = "TCP"


class HttpGet(Piece):
    """A GET by which Kubernetes asks."""

    path: str
    port: int


class Probe(Piece):
    """How often Kubernetes asks, and when it gives up."""

    http_get: HttpGet
    period_seconds: int
    timeout_seconds: int
    failure_threshold: int


class Resources(Piece):
    """What a container gets, and what it must not exceed."""

    requests: dict[str, str]
    limits: dict[str, str]


class Capabilities(Piece):
    """What of root's powers a container keeps."""

    drop: tuple[str, ...] = ("ALL",)


class Security(Piece):
    """What a container may do."""

    allow_privilege_escalation: bool = False
    capabilities: Capabilities = Capabilities()


class Container(Piece):
    """One container."""

    name: str
    image: str
    env: tuple[Variable, ...] | None = None
    ports: tuple[Port, ...]
    startup_probe: Probe | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    resources: Resources
    security_context: Security = Security()


def secret(variable: str, key: str) -> Variable:
    """Return a variable whose value stands in the Secret `mlops`, if it stands there."""
    found = SecretKey(name=SECRET, key=key, optional=True)
    return Variable(name=variable, value_from=Source(secret_key_ref=found))


def resources(cpu: str, memory: str) -> Resources:
    """Return a fixed amount of memory, and a processor that may be exceeded while others are idle."""
    return Resources(requests={"cpu": cpu, "memory": memory}, limits={"memory": memory})
