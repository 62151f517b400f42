# SPDX-License-Identifier: Apache-2.0
"""One container of a test: on a fixed port of loopback, killed and started at will, removed at the end.

testcontainers' reaper is off (it is one more image to fetch); what a killed session left behind is removed instead
by the next one that starts a container.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

import psutil
from docker.errors import APIError, DockerException
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from servers.choice import NoContainerError, engine
from servers.programs import free_port, until

_OWNER = "mlops.test.process"
_HERE = f"{socket.gethostname()} "
_PATIENCE_S = 60

testcontainers_config.ryuk_disabled = True


class Contained:
    """A server in a container; its port stays the same when it is killed and started again."""

    def __init__(
        self, image: str, command: list[str], inner: int, environment: Mapping[str, str]
    ) -> None:
        _sweep()
        self.port = free_port()
        self._made = DockerContainer(image)
        self._made.env.update(environment)
        self._made.with_command(command)
        self._made.ports[f"{inner}/tcp"] = ("127.0.0.1", self.port)
        self._made.with_kwargs(labels={_OWNER: f"{_HERE}{os.getpid()}"})

    def start(self, ready: Callable[[int], bool]) -> None:
        """Create the container, or start the killed one, and wait until it is *ready* on its port."""
        try:
            if self._made._container is None:
                self._made.start()
            else:
                self._inner.start()
            until(lambda: ready(self.port), _PATIENCE_S, self.log)
        except (DockerException, TimeoutError) as error:
            self.remove()
            raise NoContainerError(
                f"{self._made.image} in Docker did not start: {error}"
            ) from error

    def kill(self) -> None:
        """End the server without a chance to tidy up; what it stored stays."""
        with contextlib.suppress(APIError):  # it may have died by itself
            self._inner.kill("SIGKILL")
        self._inner.wait(timeout=_PATIENCE_S)

    def remove(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(DockerException):
            self._made.stop()

    def log(self) -> str:
        """Return what the server printed."""
        return str(self._inner.logs().decode(errors="replace"))

    @property
    def _inner(self) -> Any:
        return self._made.get_wrapped_container()


@functools.cache
def _sweep() -> None:
    for left in engine().client.containers.list(all=True, filters={"label": _OWNER}):
        owner = left.labels[_OWNER]
        # Processes of another host, as seen from inside a container, are not ours to judge.
        if owner.startswith(_HERE) and not psutil.pid_exists(int(owner.removeprefix(_HERE))):
            left.remove(force=True, v=True)
