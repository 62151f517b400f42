# SPDX-License-Identifier: Apache-2.0
"""A Ray head of our own: private folder, free ports, everything on the loopback address, ended by process id.

Its ingress is HAProxy, or `direct` as on macOS: each replica's own port.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
WRAPPER = ROOT / "deploy" / "ray" / "haproxy-loopback.sh"
DIRECT = {"RAY_SERVE_ENABLE_DIRECT_INGRESS": "1"}
# A released port rests for 150 s: replicas of many short tests follow each other on one head.
_WORKERS, _INGRESS = 30, 105
_BLOCK = _WORKERS + 2 * _INGRESS


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def free_block() -> int:
    """Return the first of a row of free ports, below those that the system hands out by itself."""
    for start in range(11000 + (os.getpid() % 80) * _BLOCK, 32000, _BLOCK):
        if all(_is_free(port) for port in range(start, start + _BLOCK)):
            return start
    raise RuntimeError(f"no {_BLOCK} free ports in a row")


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) != 0


@dataclass
class RayHead:
    """The addresses of a head; it keeps them over `kill` and `start`, as an installation does.

    *has_writer*: a serving runs on it, which writes Ray's whole set of applications and is the only one who may.
    """

    home: Path
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="ray-")))
    extra_env: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=lambda: free_ports(8))
    block: int = field(default_factory=free_block)
    ingress: str = "haproxy"
    has_writer: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def http_port(self) -> int:
        return self.ports[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def environment(self) -> dict[str, str]:
        http, grpc = self.block + _WORKERS, self.block + _WORKERS + _INGRESS
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return env | {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
            "BENTOML_DO_NOT_TRACK": "true",
            "RAY_worker_niceness": "0",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(http),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(grpc - 1),
            "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(grpc),
            "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(grpc + _INGRESS - 1),
            "MLOPS_PYTHON": sys.executable,
            "MLOPS_HOME": str(self.home),
            **(self._haproxy() if self.ingress == "haproxy" else DIRECT),
            **self.extra_env,
        }

    def _haproxy(self) -> dict[str, str]:
        private = self.folder / "haproxy"
        private.mkdir(mode=0o700, exist_ok=True)
        return {
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_HAPROXY_STATS_PORT": str(self.ports[2]),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(self.ports[3]),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(self.ports[7]),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(private / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(private / "admin.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(private),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(private / "server-state"),
            "RAY_SERVE_HAPROXY_BINARY_PATH": str(WRAPPER),
        }

    def start(self) -> None:
        ray = Path(sys.executable).parent / "ray"
        command = [str(ray), *self._arguments()]
        with (self.folder / "ray.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        self._wait()

    def _arguments(self) -> list[str]:
        return [
            *("start", "--head", "--block", "--node-ip-address", "127.0.0.1"),
            *("--port", str(self.ports[0]), "--num-cpus", "2"),
            *("--object-store-memory", "80000000", "--disable-usage-stats"),
            *("--include-log-monitor=false", "--include-dashboard=false", "--no-monitor"),
            *("--ray-client-server-port", str(self.ports[4])),
            *(
                "--min-worker-port",
                str(self.block),
                "--max-worker-port",
                str(self.block + _WORKERS - 1),
            ),
            *("--dashboard-port", str(self.ports[5])),
            *("--dashboard-agent-listen-port", str(self.ports[6])),
            *("--temp-dir", str(self.folder)),
        ]

    def _wait(self) -> None:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            text = (self.folder / "ray.log").read_text()
            if "Ray runtime started" in text and not _is_free(self.ports[0]):
                return
            if self.process is not None and self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"ray start: {(self.folder / 'ray.log').read_text()[-3000:]}")

    def processes(self) -> list[psutil.Process]:
        """Return every process of this head: its children, and what names its folder."""
        found: dict[int, psutil.Process] = {}
        for one in psutil.process_iter(["pid", "cmdline"]):
            words = " ".join(one.info["cmdline"] or [])
            if str(self.folder) in words and one.pid != os.getpid():
                found[one.pid] = one
        if self.process is not None and psutil.pid_exists(self.process.pid):
            found[self.process.pid] = psutil.Process(self.process.pid)
        for one in list(found.values()):
            try:
                found.update({child.pid: child for child in one.children(recursive=True)})
            except psutil.NoSuchProcess:
                continue
        return list(found.values())

    def stop(self) -> None:
        """End everything, by process id."""
        mine = self.processes()
        for one in mine:
            _tell(one, "terminate")
        _, alive = psutil.wait_procs(mine, timeout=5)
        for one in [*alive, *self.processes()]:
            _tell(one, "kill")
        psutil.wait_procs(alive, timeout=5)
        if self.process is not None:
            self.process.wait(10)
            self.process = None
        (self.folder / "ray.log").write_text("")

    def kill(self) -> None:
        """Kill the head at once, as when memory runs out: what it started is left to notice that."""
        heart = [one for one in self.processes() if _name(one) in ("gcs_server", "raylet")]
        if self.process is not None:
            heart.append(psutil.Process(self.process.pid))
        for one in heart:
            _tell(one, "kill")
        psutil.wait_procs(heart, timeout=5)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _name(one: psutil.Process) -> str:
    try:
        return one.name()
    except psutil.NoSuchProcess:
        return ""


def _tell(one: psutil.Process, verb: str) -> None:
    try:
        getattr(one, verb)()
    except psutil.NoSuchProcess:
        return
