# SPDX-License-Identifier: Apache-2.0
"""Where test servers come from: containers where a Docker engine answers, the packaged programs otherwise.

`MLOPS_TEST_SERVERS` decides: `auto` (that rule; the default), `docker` (containers, or the test fails), `packaged`.
The engine must run on this machine: every port is published on loopback only.
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

Server = TypeVar("Server")

SWITCH = "MLOPS_TEST_SERVERS"
MODES = ("auto", "docker", "packaged")
NATS = "nats:2.15"
POSTGRES = "postgres:15"
S3 = "rclone/rclone:1.75"

_LOCAL = ("http+docker://", "npipe:", "http://localhost", "http://127.0.0.1")
_DEFAULT = "unix:///var/run/docker.sock"
_PATIENCE_S = 60
used: dict[str, str] = {}
_refused: dict[str, str] = {}


class NoContainerError(Exception):
    """Why there is no container for a server."""


@dataclass(frozen=True)
class Engine:
    """The Docker engine of this machine, or None; and what it said."""

    client: Any
    said: str


def start(image: str, contained: Callable[[], Server], packaged: Callable[[], Server]) -> Server:
    """Return a running server: *contained* where that works, *packaged* otherwise; remember which and why."""
    reason = _why_packaged(image)
    if not reason:
        try:
            server = contained()
        except NoContainerError as error:
            reason = _refused[image] = str(error)
        else:
            used[image] = f"container; {engine().said}"
            return server
    if mode() == "docker":
        pytest.fail(f"{SWITCH}=docker, but {reason}")
    used[image] = f"packaged program; {reason}"
    return packaged()


def header() -> str:
    """Return what is going to be used, before the first test."""
    if mode() == "packaged":
        return f"servers: packaged programs ({SWITCH}=packaged)"
    what = "containers" if engine().client else "packaged programs"
    return f"servers: {what} ({SWITCH}={mode()}; {engine().said})"


def summary() -> list[str]:
    """Return a line for each kind of server that was used, and why it came from there."""
    return [f"{image}: {how}" for image, how in sorted(used.items())]


def mode() -> str:
    """Return what the switch says."""
    found = os.environ.get(SWITCH) or "auto"
    if found not in MODES:
        pytest.exit(f"{SWITCH} is {found!r}; it must be one of: {', '.join(MODES)}", returncode=4)
    return found


@functools.cache
def engine() -> Engine:
    """Ask for a Docker engine, once."""
    import docker  # noqa: PLC0415 - costs time that a run with packaged programs saves
    from testcontainers.core.docker_client import get_docker_host  # noqa: PLC0415 - the same

    host = get_docker_host() or _DEFAULT
    if deaf := _deaf(host):
        return Engine(None, f"no Docker engine answers at {host}: {deaf}")
    try:
        client = docker.from_env(
            timeout=_PATIENCE_S, environment={**os.environ, "DOCKER_HOST": host}
        )
        version = client.version()["Version"]
    except docker.errors.DockerException as error:
        return Engine(None, f"no Docker engine answers at {host}: {_short(error)}")
    if not client.api.base_url.startswith(_LOCAL):
        client.close()
        return Engine(None, f"the Docker engine at {client.api.base_url} is not on this machine")
    return Engine(client, f"Docker {version} answers")


def _deaf(host: str) -> str:
    """Return why nobody listens at a socket's path; Docker's library would leave its own socket open then."""
    if not host.startswith("unix://"):
        return ""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5)
        try:
            line.connect(host.removeprefix("unix://"))
        except OSError as error:
            return str(error)
    return ""


def _why_packaged(image: str) -> str:
    if mode() == "packaged":
        return f"{SWITCH}=packaged"
    if engine().client is None:
        return engine().said
    return _refused.get(image) or _pull(image)


@functools.cache
def _pull(image: str) -> str:
    """Fetch *image* unless it is here; return why that failed, or nothing."""
    import docker  # noqa: PLC0415 - as above

    images = engine().client.images
    try:
        images.get(image)
    except docker.errors.ImageNotFound:
        try:
            images.pull(image)
        except (docker.errors.DockerException, OSError) as error:
            return f"image {image} is not here and cannot be pulled: {_short(error)}"
    return ""


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:200]} …"
