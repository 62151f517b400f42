# SPDX-License-Identifier: Apache-2.0
"""Site: what every part must know of the installation: folders, ports, addresses, secrets."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops.cli.home import Home

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Site:
    """One installation on one machine; `nodes` where others run steps for it, and then `node` is this one's name.

    `cluster` is the head of a Ray cluster that runs already, `serve` where Ray Serve answers there; empty for our own.
    """

    home: Home
    ports: Mapping[str, int]
    ranges: Mapping[str, tuple[int, int]]
    secrets: Mapping[str, str]
    checkout: Path | None = None
    nodes: bool = False
    node: str = ""
    cluster: str = ""
    serve: str = ""

    def http(self, name: str) -> str:
        """Return the address of a part that speaks HTTP."""
        return f"http://{HOST}:{self.ports[name]}"

    @property
    def nats(self) -> str:
        """Return the address of the bus."""
        return f"nats://{HOST}:{self.ports['nats']}"

    @property
    def mqtt(self) -> str | None:
        """Return where the bus speaks MQTT, None when nobody wants it."""
        port = self.ports.get("mqtt")
        return f"mqtt://{HOST}:{port}" if port else None

    @property
    def grpc(self) -> str:
        """Return where the gateway speaks gRPC, as its clients want it told."""
        return f"{HOST}:{self.ports['grpc']}"

    @property
    def ray(self) -> str:
        """Return where Ray's head answers."""
        return self.cluster or f"{HOST}:{self.ports['ray']}"

    @property
    def endpoints(self) -> dict[str, str]:
        """Return what clients and services read."""
        return {
            "nats": self.nats,
            "gateway": self.http("gateway"),
            "grpc": self.grpc,
            "mlflow": self.http("mlflow"),
            "airflow": self.http("airflow"),
            "serve": self.serve or self.http("serve"),
            "evidently": self.http("evidently"),
            "ray": self.ray,
            **({"mqtt": self.mqtt} if self.mqtt else {}),
        }


def program(name: str) -> str:
    """Return a program of the platform's own environment."""
    return str(Path(sys.executable).parent / name)
