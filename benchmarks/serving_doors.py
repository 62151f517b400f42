# SPDX-License-Identifier: Apache-2.0
"""The servers that answer from the same model: each started on a free port, each a door with a request that fits it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving_platform import SCRIPTS, row

_READY_S = 120.0
_END_S = 20.0


@dataclass(frozen=True)
class Door:
    """Where a request is sent, and whose memory counts for it."""

    name: str
    url: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    pids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Environments:
    """Where peers are installed: `<folder>/<name>/bin/python`, or made by the tests' own helper."""

    folder: Path | None

    def bin(self, name: str) -> Path:
        """Return the folder of a peer's programs; ends the benchmark when it cannot be had."""
        if self.folder is not None:
            found = self.folder / name / "bin"
            if not found.is_dir():
                raise SystemExit(f"{found} is missing; leave --envs out to have it made")
            return found
        sys.path.append(str(Path(__file__).parents[1] / "tests"))
        from servers import peers  # noqa: PLC0415 - of the tests; needs their folder on the path

        try:
            return Path(peers.made(name).folder, "bin")
        except peers.NoPackagesError as error:
            raise SystemExit(f"{name} cannot be had: {error}; --without {name}") from error


class Doors:
    """Starts peers, and ends them together."""

    def __init__(self, stack: ExitStack, folder: Path, model: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._model = model

    def bare(self) -> Door:
        """Start the bare server."""
        return self._script("bare uvicorn", "bare.py", Path(sys.executable))

    def ray_default(self) -> Door:
        """Start Ray Serve as it comes: none of our settings for it."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        env |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
        env["RAY_AUTH_MODE"] = (
            "disabled"  # else Ray leaves a token in the user's home for all its clusters
        )
        return self._script("Ray Serve default", "ray_default.py", Path(sys.executable), env)

    def kserve(self, programs: Path) -> Door:
        """Start KServe's ModelServer."""
        return self._script("KServe ModelServer", "kserve_server.py", programs / "python")

    def mlserver(self, programs: Path) -> Door:
        """Start MLServer with its own scikit-learn runtime."""
        port, others = free_port(), {"grpc_port": free_port(), "metrics_port": free_port()}
        # Its workers do not start beside a uvloop that makes no event loop by itself; one process is what all have.
        one = {"parallel_workers": 0, "debug": False}
        settings = {"host": "127.0.0.1", "http_port": port, **one, **others}
        kind = "mlserver_sklearn.SKLearnModel"
        model = {
            "name": "bench",
            "implementation": kind,
            "parameters": {"uri": str(self._model)},
        }
        folder = self._folder / "bench"
        folder.mkdir()
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps(model))
        env = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
        command = [str(programs / "mlserver"), "start", str(folder)]
        return self._start("MLServer", command, port, env)

    def bentoml(self, tag: str, store: Path) -> Door:
        """Start `bentoml serve` on the Bento that our replica answers from."""
        port = free_port()
        program = Path(sys.executable).parent / "bentoml"
        command = [str(program), "serve", tag, "--host", "127.0.0.1", "--port", str(port)]
        env = os.environ | {"BENTOML_HOME": str(store), "BENTOML_DO_NOT_TRACK": "true"}
        process = self._process(command, env, "bentoml")
        wait_until_ready(f"http://127.0.0.1:{port}/readyz", process)
        body = {"rows": [row("bench")["inputs"][0]["data"]]}
        url = f"http://127.0.0.1:{port}/predict"
        return Door("bentoml serve", url, body, pids=(process.pid,))

    def _script(
        self, name: str, script: str, python: Path, env: dict[str, str] | None = None
    ) -> Door:
        port = free_port()
        command = [str(python), str(SCRIPTS / script), str(port), str(self._model)]
        return self._start(name, command, port, dict(os.environ) if env is None else env)

    def _start(self, name: str, command: list[str], port: int, env: dict[str, str]) -> Door:
        process = self._process(command, env, name.replace(" ", "-"))
        wait_until_ready(f"http://127.0.0.1:{port}/v2/health/ready", process)
        url = f"http://127.0.0.1:{port}/v2/models/bench/infer"
        return Door(name, url, row("bench"), pids=(process.pid,))

    def _process(
        self, command: list[str], env: dict[str, str], name: str
    ) -> subprocess.Popen[bytes]:
        return self._stack.enter_context(running(command, env, self._folder / f"{name}.log"))


@contextmanager
def running(
    command: list[str], env: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program, and end it and what it started."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers 200."""
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own server
                if answer.status == 200:
                    return
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.1)
    raise SystemExit(f"nothing answers at {url}: {process.args!r} ended with {process.poll()}")


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
