# SPDX-License-Identifier: Apache-2.0
"""Node plan: what a machine runs that works for an installation elsewhere, or beside it: its worker and its agent.

Everything of it stands in `nodes/<name>` of the installation's folder on this machine; several may stand side by side.
"""

from __future__ import annotations

import configparser
import io
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from mlops.cli.errors import InputError, NotRunningError
from mlops.cli.home import Home, read_json, write_json
from mlops.cli.supervisor import ports
from mlops.cli.supervisor.component import Component, Gate
from mlops.cli.supervisor.node_names import checked
from mlops.cli.supervisor.parts import airflow
from mlops.cli.supervisor.parts.environment import harmless
from mlops.cli.supervisor.parts.site import program

PRIVATE = 0o600
_FILE = "node.json"
_NEEDED = ("airflow", "gateway", "mlflow", "nats")
_SIGNED_WITH = "airflow_jwt_secret"
_FIX = "look at the log; `mlops up --nodes` on the installation's machine lets others work for it"


@dataclass(frozen=True)
class Node:
    """One machine that works. `folders` are those of projects that stand elsewhere here than where they were registered."""

    name: str
    slots: int = 2
    agent: bool = True
    folders: Mapping[str, str] = field(default_factory=dict)


def home_of(installation: Home, name: str) -> Home:
    """Return the folder of a node."""
    return Home(installation.root / "nodes" / checked(name))


def names(installation: Home) -> list[str]:
    """Return the nodes that this machine has, or had."""
    return sorted(file.parent.name for file in installation.root.glob(f"nodes/*/{_FILE}"))


def keep(installation: Home, node: Node) -> Home:
    """Write down what a node is, for this start and those that follow; return its folder."""
    home = home_of(installation, node.name)
    home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(home.root / _FILE, asdict(node))
    return home


def known(home: Home) -> Node:
    """Return what was written down of a node."""
    found = read_json(home.root / _FILE)
    folders = {str(name): str(path) for name, path in dict(found.get("folders") or {}).items()}
    slots, agent = int(found.get("slots", 2)), bool(found.get("agent", True))
    return Node(str(found.get("name", home.root.name)), slots, agent, folders)


@dataclass(frozen=True)
class Way:
    """How a node reaches its installation: addresses and secrets, as the installation wrote them."""

    addresses: Mapping[str, str]
    secrets: Mapping[str, str]

    @classmethod
    def of(cls, installation: Home) -> Way:
        """Return the way that stands in an installation's folder; NotRunningError or InputError say what is missing."""
        addresses, secrets = read_json(installation.endpoints), read_json(installation.credentials)
        if missing := [name for name in _NEEDED if not addresses.get(name)]:
            raise NotRunningError(
                f"{installation.endpoints} names no {', '.join(missing)}",
                "`mlops up --nodes` there, or `mlops node join` with the ticket of another machine",
            )
        if not secrets.get(_SIGNED_WITH):
            raise InputError(
                f"{installation.credentials} has no {_SIGNED_WITH}",
                "join again with a new `mlops node ticket`",
            )
        return cls(addresses, secrets)

    @property
    def hosts(self) -> str:
        """Return the machines that no proxy stands before, for NO_PROXY."""
        found = {urlsplit(str(self.addresses[name])).hostname or "" for name in _NEEDED}
        return ",".join(sorted({*found, "127.0.0.1", "localhost"} - {""}))


def components(installation: Home, home: Home, way: Way) -> tuple[Component, ...]:
    """Return what a node runs: it fetches the DAG files, works, and says how hot it is."""
    node = known(home)
    work = (_files(installation, home), _worker(installation, home, node, way))
    return (*work, _agent(home, node, way)) if node.agent else work


def _files(installation: Home, home: Home) -> Component:
    return Component(
        name="files",
        command=(sys.executable, "-m", "mlops.cli.supervisor.node_files", str(home.root)),
        gate=Gate(file=home.root / "airflow" / "dags" / "mlops_projects.py", within_s=120),
        env={"MLOPS_HOME": str(installation.root)},
        fix=_FIX,
    )


def _worker(installation: Home, home: Home, node: Node, way: Way) -> Component:
    folder = home.root / "airflow"
    pid = folder / "worker.pid"
    return Component(
        name="worker",
        command=(
            *(program("airflow"), "edge", "worker", "--edge-hostname", node.name),
            *("--queues", f"n_{node.name}", "--concurrency", str(node.slots), "--pid", str(pid)),
        ),
        gate=Gate(file=pid, within_s=120),  # written once Airflow has taken it
        env={"AIRFLOW_HOME": str(folder), "MLOPS_HOME": str(installation.root), **_mac()},
        needs=("files",),
        prepare=partial(_prepare, folder, pid, way),
        grace_s=20,
        fix=_FIX,
    )


def _agent(home: Home, node: Node, way: Way) -> Component:
    port = ports.any_free()
    return Component(
        name="telemetry_agent",
        command=(sys.executable, "-m", "mlops.telemetry_agent"),
        gate=Gate(url=f"http://{ports.HOST}:{port}/readyz", within_s=60),
        env={
            "MLOPS_HOME": str(home.root),
            "MLOPS_HTTP_PORT": str(port),
            "TELEMETRY_AGENT_NODE": node.name,
            "NATS_URL": str(way.addresses["nats"]),
            "NATS_TOKEN": str(way.secrets.get("nats_token", "")),
        },
        fix=_FIX,
    )


def environment(caller: Mapping[str, str], way: Way) -> dict[str, str]:
    """Return what all parts of a node inherit."""
    return {**harmless(caller), "NO_PROXY": way.hosts, "no_proxy": way.hosts}


def configuration(folder: Path, way: Way) -> str:
    """Return the worker's `airflow.cfg`: the secret stands in this file, never in a command or an environment."""
    url = str(way.addresses["airflow"]).rstrip("/")
    sections = {
        "core": {
            "dags_folder": str(folder / "dags"),
            "load_examples": "False",
            "execution_api_server_url": f"{url}/execution/",
        },
        "api_auth": {"jwt_secret": str(way.secrets[_SIGNED_WITH])},
        "logging": {"base_log_folder": str(folder / "logs")},
        "usage_data_collection": {"enabled": "False"},
    }
    for name, value in airflow.edge(url).items():
        _, section, option = name.split("__")
        sections.setdefault(section.lower(), {})[option.lower()] = value
    written = configparser.RawConfigParser()
    written.read_dict(
        {s: {k: v.replace("%", "%%") for k, v in o.items()} for s, o in sections.items()}
    )
    text = io.StringIO()
    written.write(text)
    return text.getvalue()


def _prepare(folder: Path, pid: Path, way: Way) -> None:
    # A worker that was killed leaves its file; the gate must not open by it.
    pid.unlink(missing_ok=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "airflow.cfg", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    with os.fdopen(descriptor, "w") as file:
        file.write(configuration(folder, way))


def _mac() -> dict[str, str]:
    return {"OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES"} if sys.platform == "darwin" else {}
