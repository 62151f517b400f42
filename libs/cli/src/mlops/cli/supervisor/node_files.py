# SPDX-License-Identifier: Apache-2.0
"""Keeps the DAG files of a node fresh: `python -m mlops.cli.supervisor.node_files FOLDER`.

A worker reads them at the start of each step, so they must be there before, and follow what is registered. They come
through the gateway; what differs on this machine (the python, the folders of projects) is put in on the way.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlops.cli.errors import CliError
from mlops.cli.gateway import Gateway
from mlops.cli.home import Home
from mlops.cli.supervisor import node_plan

REGISTRY = "registry.json"
_LOOK_S = 2.0
_AWAY_S = 5.0


def main(folder: Path, pause: Callable[[float], None] = time.sleep) -> None:
    """Fetch the files whenever they change, until this process is ended."""
    node, installation = node_plan.known(Home(folder)), Home(Path(os.environ["MLOPS_HOME"]))
    have, said = "", ""
    while True:
        try:
            with Gateway(installation) as gateway:
                have = refreshed(gateway, folder / "airflow" / "dags", node, installation, have)
        except (CliError, OSError) as error:
            if said != str(error):
                said = str(error)
                sys.stderr.write(f"files: {said}\n")
            pause(_AWAY_S)
            continue
        said = ""
        pause(_LOOK_S)


def refreshed(
    gateway: Gateway, dags: Path, node: node_plan.Node, installation: Home, have: str
) -> str:
    """Write the files if they are not those of the sum *have*; return the sum of those that are there now."""
    found = gateway.query("orchestration_bridge", "files", known=have)
    files = found.get("files")
    if isinstance(files, Mapping):
        dags.mkdir(parents=True, exist_ok=True)
        # The registry first: the DAG file makes of it what it finds.
        for name in sorted(files, key=lambda one: one != REGISTRY):
            text = str(files[name])
            own = adapted(text, node, installation) if name == REGISTRY else text
            _replace(dags / Path(name).name, own)
        sys.stderr.write(f"files: {', '.join(sorted(files))} of {found['sha256'][:12]}\n")
    return str(found.get("sha256", ""))


def adapted(registry: str, node: node_plan.Node, installation: Home) -> str:
    """Return the registry as it is true on this machine."""
    found: dict[str, Any] = json.loads(registry)
    here = {"home": str(installation.root), "python": sys.executable, "folders": dict(node.folders)}
    return json.dumps({**found, **here, "node_pool": ""}, indent=1) + "\n"


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    beside.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
