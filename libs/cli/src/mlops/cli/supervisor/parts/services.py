# SPDX-License-Identifier: Apache-2.0
"""The eight services: each a Python module, ready when its own /readyz says so."""

from __future__ import annotations

import sys

from mlops.cli.supervisor.component import Component, Gate
from mlops.cli.supervisor.parts.site import Site

# What must be ready before; a service also survives its needs going away later.
_NEEDS: dict[str, tuple[str, ...]] = {
    "workspaces": ("nats",),
    "tracking": ("nats",),
    "versioning": ("nats",),
    "telemetry_agent": ("nats",),
    "monitoring": ("nats",),
    "orchestration_bridge": ("nats", "airflow-api"),
    "serving": ("nats", "ray", "tracking"),
    "gateway": ("nats",),
}
_PORT = {"tracking": "mlflow"}
# glibc keeps up to eight heaps a core, one for each busy thread; with two, a busy MLflow holds 10 MB less.
_LEAN = {"MALLOC_ARENA_MAX": "2"}
_FIX = "look at the log; `mlops doctor` checks the environment"


def services(site: Site) -> list[Component]:
    """Return the components of our own services."""
    # A cluster that runs already is nobody's child: serving waits for it by itself.
    elsewhere = {"ray"} if site.cluster else set()
    return [
        _service(site, name, tuple(need for need in needs if need not in elsewhere))
        for name, needs in _NEEDS.items()
    ]


def _own(site: Site, name: str) -> dict[str, str]:
    """Return what only this service is told: the gateway's second port."""
    return {"GATEWAY_GRPC_PORT": str(site.ports["grpc"])} if name == "gateway" else {}


def _several(site: Site, name: str) -> dict[str, str]:
    """Return what a service must know where other machines run steps, too: above all which one this is."""
    if not site.nodes:
        return {}
    if name == "telemetry_agent":
        return {"TELEMETRY_AGENT_NODE": site.node}
    if name == "orchestration_bridge":
        return {"ORCHESTRATION_BRIDGE_NODE": site.node, "ORCHESTRATION_BRIDGE_EDGE": "true"}
    return {}


def _service(site: Site, name: str, needs: tuple[str, ...]) -> Component:
    port = _PORT.get(name, name)
    return Component(
        name=name,
        command=(sys.executable, "-m", f"mlops.{name}"),
        gate=Gate(url=f"{site.http(port)}/readyz", within_s=180),
        env={
            "MLOPS_HTTP_PORT": str(site.ports[port]),
            **_LEAN,
            **_own(site, name),
            **_several(site, name),
        },
        needs=needs,
        address=site.http(port),
        fix=_FIX,
    )
