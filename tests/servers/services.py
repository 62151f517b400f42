# SPDX-License-Identifier: Apache-2.0
"""One of our services as a process on a bus: started, ended and killed as a supervisor would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from servers.nats import NatsServer
from servers.programs import end


class ServiceProcess:
    """`python -m mlops.<name>` with *home* as its installation; what it writes goes to `<name>.log` there."""

    def __init__(self, name: str, home: Path, server: NatsServer, **env: str) -> None:
        own = {"MLOPS_HOME": str(home), "NATS_URL": server.url, "NATS_TOKEN": server.token}
        self._command = [sys.executable, "-m", f"mlops.{name}"]
        self._env = {**os.environ, **own, **env}
        self._log = home / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._env, stdout=log, stderr=log)

    def kill(self) -> None:
        """End it with -9, if it runs."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it end by itself, if it runs."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is not None:
            end(self._process, number)
            self._process = None
