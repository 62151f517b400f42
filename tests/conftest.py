# SPDX-License-Identifier: Apache-2.0
"""A real nats-server for the tests that want one, and how floats are drawn."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import strategies as st

st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))


def need(program: str) -> str:
    """Return the path of *program*; without it skip here, fail in CI."""
    beside = Path(sys.executable).parent / program
    if beside.exists():
        return str(beside)
    if found := shutil.which(program):
        return found
    missing = f"{program} is not installed"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@dataclass
class NatsServer:
    """A nats-server of our own: free ports, a random token, a store that a restart keeps."""

    folder: Path
    token: str
    process: subprocess.Popen[bytes] | None = None
    url: str = ""

    def start(self) -> None:
        port = self.url.rpartition(":")[2] or "-1"
        config = self.folder / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{port}"\n'
            f"authorization {{ token: {json.dumps(self.token)} }}\n"
            f"jetstream {{ store_dir: {json.dumps(str(self.folder / 'store'))} }}\n"
        )
        command = [need("nats-server"), "-c", str(config), "--ports_file_dir", str(self.folder)]
        with (self.folder / "nats.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.url = self._wait_for_address(self.process.pid)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def _wait_for_address(self, pid: int) -> str:
        ports = self.folder / f"nats-server_{pid}.ports"
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if ports.exists() and (text := ports.read_text()):
                return str(json.loads(text)["nats"][0])
            time.sleep(0.02)
        raise TimeoutError((self.folder / "nats.log").read_text()[-2000:])


def start_nats(folder: Path) -> NatsServer:
    server = NatsServer(folder, secrets.token_hex(16))
    server.start()
    return server


@pytest.fixture(scope="session")
def shared_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for all tests that neither kill it nor mind what others said before."""
    server = start_nats(tmp_path_factory.mktemp("nats"))
    yield server
    server.kill()


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server of this test alone; it may be killed and started again."""
    server = start_nats(tmp_path)
    yield server
    server.kill()
