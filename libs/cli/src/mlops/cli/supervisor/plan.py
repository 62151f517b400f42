# SPDX-License-Identifier: Apache-2.0
"""Plan: the whole platform on this machine as components, with ports, secrets and addresses settled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops.cli.checkout import find_checkout
from mlops.cli.home import Home, read_json, write_json
from mlops.cli.supervisor import claims, credentials, ports, wanted
from mlops.cli.supervisor.component import Component, selected
from mlops.cli.supervisor.node_names import own_name
from mlops.cli.supervisor.parts.airflow import airflow
from mlops.cli.supervisor.parts.cluster import cluster_of, serve_of
from mlops.cli.supervisor.parts.environment import inherited
from mlops.cli.supervisor.parts.evidently import evidently
from mlops.cli.supervisor.parts.nats import nats
from mlops.cli.supervisor.parts.ray import ray
from mlops.cli.supervisor.parts.services import services
from mlops.cli.supervisor.parts.site import Site


@dataclass(frozen=True)
class Plan:
    """What to run, and in which environment."""

    site: Site
    components: tuple[Component, ...]
    environment: Mapping[str, str]


def everything(site: Site) -> list[Component]:
    """Return all components, in the order in which they are worth starting: the slowest chains first."""
    own_ray = [] if site.cluster else [ray(site)]
    most = [nats(site), *airflow(site), *own_ray, *services(site)]
    names = tuple(component.name for component in most)
    return [*most, evidently(site, after=names)]


def settle(
    home: Home, caller: Mapping[str, str], only: Sequence[str], without: Sequence[str]
) -> Plan:
    """Choose ports, make secrets, write both and the addresses; raises OSError or a ValueError with the fix."""
    home.logs.mkdir(parents=True, exist_ok=True)
    kept = {name: int(port) for name, port in read_json(home.ports).items()}
    others = claims.claimed_by_others(home)
    found = ports.assign(
        {**ports.PREFERRED, **_wished(home)},
        kept,
        lambda port: port not in others and ports.is_free(port),
        ports.any_free,
    )
    claims.claim(home, found)
    wishes = wanted.read(home)
    cluster = cluster_of(caller)
    seed = int(hashlib.sha256(str(home.root).encode()).hexdigest()[:8], 16)
    site = Site(
        home=home,
        ports=found,
        ranges=ports.blocks(seed),
        secrets=credentials.ensure(home),
        checkout=find_checkout(),
        nodes=wishes.nodes,
        node=own_name(home, caller) if wishes.nodes else "",
        cluster=cluster,
        serve=serve_of(caller, cluster, found["serve"]),
    )
    components = tuple(selected(everything(site), only, without))
    write_json(home.ports, found)
    write_json(home.endpoints, endpoints_of(site, components))
    return Plan(site, components, inherited(caller, site))


def _wished(home: Home) -> dict[str, int]:
    wishes = wanted.read(home)
    return {name: port for name, port in ports.ON_WISH.items() if getattr(wishes, name)}


def endpoints_of(site: Site, components: Sequence[Component]) -> dict[str, str]:
    """Return the addresses of a plan; Evidently's only when it is part of it."""
    running = {component.name for component in components}
    return {
        name: address
        for name, address in site.endpoints.items()
        if name != "evidently" or "evidently" in running
    }
