# SPDX-License-Identifier: Apache-2.0
"""Ports: the one kept from last time if it is free, else the one people expect, else any free one."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

PREFERRED = {
    "nats": 4222,
    "nats_monitor": 8222,
    "mlflow": 5000,
    "airflow": 8080,
    "gateway": 8090,
    "grpc": 8001,
    "evidently": 8000,
    "serve": 8300,
    "ray": 6379,
    "ray_client": 10001,
    "ray_agent": 52365,
    "haproxy_stats": 8404,
    "haproxy_metrics": 9101,
    "serve_fallback": 8500,
    "workspaces": 8101,
    "versioning": 8102,
    "orchestration_bridge": 8103,
    "serving": 8104,
    "monitoring": 8105,
    "telemetry_agent": 8106,
}
ON_WISH = {"mqtt": 1883}
HOST = "127.0.0.1"
_BLOCKS = 20


def assign(
    preferred: Mapping[str, int],
    kept: Mapping[str, int],
    is_free: Callable[[int], bool],
    any_free: Callable[[], int],
) -> dict[str, int]:
    """Return a port for each name, no port twice."""
    found: dict[str, int] = {}
    for name, wish in preferred.items():
        candidates = [port for port in (kept.get(name), wish) if port]
        found[name] = next(
            (port for port in candidates if port not in found.values() and is_free(port)), 0
        )
        while not found[name]:
            port = any_free()
            found[name] = port if port not in found.values() and is_free(port) else 0
    return found


def blocks(seed: int) -> dict[str, tuple[int, int]]:
    """Return the ranges Ray may take: below the ports that Linux hands out, apart for most installations."""
    place = seed % _BLOCKS
    worker, http, grpc = 20000 + 400 * place, 28000 + 100 * place, 30000 + 100 * place
    return {
        "worker": (worker, worker + 399),
        "ingress_http": (http, http + 99),
        "ingress_grpc": (grpc, grpc + 99),
    }


def is_free(port: int) -> bool:
    """Return whether nobody listens on the port, on this or on every address of the machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.2)
        # macOS lets one bind a loopback port that another program holds for every address: ask first.
        if probe.connect_ex((HOST, port)) == 0:
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def any_free() -> int:
    """Return a port nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
