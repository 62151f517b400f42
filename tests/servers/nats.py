# SPDX-License-Identifier: Apache-2.0
"""A NATS server with JetStream for tests: a random token, loopback only, a store that a kill does not lose."""

from __future__ import annotations

import json
import secrets
import subprocess
from pathlib import Path
from typing import Protocol

from servers import choice
from servers.programs import end, greets, need, until


class NatsServer(Protocol):
    """What tests know of it; it runs when they get it."""

    url: str
    token: str

    def start(self) -> None:
        """Run (again), at the same address, with what was stored."""

    def kill(self) -> None:
        """Die at once, as by SIGKILL."""

    def close(self) -> None:
        """End for good and leave nothing."""


def start_nats(folder: Path) -> NatsServer:
    """Return a running server; a packaged one keeps its files in *folder*."""
    return choice.start(choice.NATS, contained_nats, lambda: PackagedNats(folder))


class PackagedNats:
    """The `nats-server` of the environment."""

    def __init__(self, folder: Path, store: Path | None = None) -> None:
        self.token = secrets.token_hex(16)
        self.url = ""
        self._folder = folder
        self._store = store or folder / "store"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Run; on a free port the first time."""
        port = self.url.rpartition(":")[2] or "-1"
        config = self._folder / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{port}"\n'
            f"authorization {{ token: {json.dumps(self.token)} }}\n"
            f"jetstream {{ store_dir: {json.dumps(str(self._store))}, max_file_store: 64G }}\n"
        )
        command = [need("nats-server"), "-c", str(config), "--ports_file_dir", str(self._folder)]
        with (self._folder / "nats.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        ports = self._folder / f"nats-server_{self._process.pid}.ports"
        until(lambda: ports.exists() and ports.read_text() != "", 15, self.log)
        self.url = str(json.loads(ports.read_text())["nats"][0])

    def kill(self) -> None:
        """Die at once."""
        if self._process is not None:
            end(self._process)
            self._process = None

    def close(self) -> None:
        """Die; the folder is the test's."""
        self.kill()

    def log(self) -> str:
        """Return what it printed."""
        return (self._folder / "nats.log").read_text()


def contained_nats() -> NatsServer:
    """Return a server in a container; NoContainerError says why not."""
    # Imported here: Docker's library costs time that a run with packaged programs saves.
    from servers.containers import Contained  # noqa: PLC0415

    class ContainedNats:
        def __init__(self) -> None:
            self.token = secrets.token_hex(16)
            command = ["--jetstream", "--store_dir", "/data", "--auth", self.token]
            self._container = Contained(choice.NATS, command, 4222, {})
            self.url = f"nats://127.0.0.1:{self._container.port}"
            self.start()

        def start(self) -> None:
            self._container.start(lambda port: greets(port, b"", b"INFO"))

        def kill(self) -> None:
            self._container.kill()

        def close(self) -> None:
            self._container.remove()

    return ContainedNats()
