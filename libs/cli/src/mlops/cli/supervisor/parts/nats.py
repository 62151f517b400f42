# SPDX-License-Identifier: Apache-2.0
"""The bus: nats-server with JetStream on files, a token, loopback only, and MQTT where it is wanted."""

from __future__ import annotations

import json
import os
from functools import partial

from mlops.cli.supervisor.component import Component, Gate
from mlops.cli.supervisor.parts.site import HOST, Site, program


def nats(site: Site) -> Component:
    """Return the component of the bus."""
    config = site.home.root / "nats" / "nats.conf"
    return Component(
        name="nats",
        command=(program("nats-server"), "-c", str(config)),
        # After a full disk it refuses to store, also when there is room again, until it is started anew.
        gate=Gate(
            url=f"http://{HOST}:{site.ports['nats_monitor']}/healthz", within_s=30, shut_s=60
        ),
        address=site.nats,
        prepare=partial(_write_config, site),
        fix="look at the log; a full disk or a damaged folder `nats` in MLOPS_HOME are the usual causes",
    )


def config_text(site: Site) -> str:
    """Return the server's configuration.

    The store's limit is above what all streams reserve; it is no promise that the disk has it.
    """
    mqtt = f'mqtt {{ listen: "{HOST}:{site.ports["mqtt"]}" }}\n' if site.mqtt else ""
    store = json.dumps(str(site.home.root / "nats" / "store"))
    return (
        "server_name: mlops\n"
        f'listen: "{HOST}:{site.ports["nats"]}"\n'
        f'http: "{HOST}:{site.ports["nats_monitor"]}"\n'
        f"authorization {{ token: {json.dumps(site.secrets['nats_token'])} }}\n"
        f"jetstream {{ store_dir: {store}, max_file_store: 64G, max_memory_store: 64M }}\n"
        f"{mqtt}"
    )


def _write_config(site: Site) -> None:
    path = site.home.root / "nats" / "nats.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(config_text(site))
