# SPDX-License-Identifier: Apache-2.0
"""node start|stop|ticket|join: this machine works for an installation, its own or one elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from mlops.cli import output
from mlops.cli.airflow import Airflow
from mlops.cli.errors import CliError, InputError
from mlops.cli.home import Home, read_json, write_json
from mlops.cli.options import HomeOption, JsonOption, home_of
from mlops.cli.progress import Progress
from mlops.cli.supervisor import launch, node_names, node_plan
from mlops.cli.supervisor.node_plan import Node
from mlops.cli.supervisor.state import Told

_PRIVATE = 0o600
_ADDRESSES = ("nats", "gateway", "mlflow", "airflow", "serve")
_SECRETS = ("nats_token", "gateway_token", "airflow_password", "airflow_jwt_secret")
_LOOK_S = 1.0
_OptionalName = Annotated[
    str, typer.Argument(metavar="[NAME]", help="Name of the machine; default: its agent's.")
]


def start(
    node: _OptionalName = "",
    slots: Annotated[int, typer.Option(min=1, max=64, help="Steps that run here at once.")] = 2,
    folder: Annotated[
        list[str] | None,
        typer.Option(help="PROJECT=PATH: where a project stands here, if elsewhere; repeat."),
    ] = None,
    agent: Annotated[bool, typer.Option(help="Whether its telemetry agent runs, too.")] = True,  # noqa: FBT002 - an option
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Let this machine run steps for the installation; it goes on in the background."""
    place = home_of(home)
    node_plan.Way.of(place)  # says what is missing, before anything is started
    name = node_names.checked(node) if node else node_names.own_name(place, {})
    if place.ports.exists() and name == node_names.own_name(place, {}):
        raise InputError(
            f"{name} is the installation's own machine: it runs steps without a worker",
            "give a second one here another name: `mlops node start NAME`",
        )
    own = node_plan.keep(place, Node(name, slots, agent, _folders(folder or [])))
    if launch.supervisor_pid(own) is None:
        launch.start(own, installation=place)
        with Progress(f"starting {name}", quiet=as_json) as progress:
            launch.wait_until_up(own, lambda told: progress.tell(_how_far(told)))
        said = f"{name} works for {place.root}"
    else:
        said = f"{name} works already; `mlops node stop {name}` first, for other options to count"
    _say({"node": name, "home": str(own.root), "slots": slots}, said, as_json=as_json)


def stop(
    node: _OptionalName = "",
    finish: Annotated[bool, typer.Option("--finish", help="First let what runs here end.")] = False,  # noqa: FBT002 - an option
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1, help="With --finish: seconds at most.")
    ] = 6 * 3600.0,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """End this machine's work for the installation; no process of it stays."""
    place = home_of(home)
    name = node or _only(place)
    own = node_plan.home_of(place, name)
    finishing = finish and launch.supervisor_pid(own) is not None
    if finishing:
        _finish(place, name, timeout_s)
    found = launch.stop(own)
    if finishing:
        _forget(place, name)
    said = f"{name} has ended" if found.was_running else f"{name} was not running"
    _say({"node": name, "was_running": found.was_running}, said, as_json=as_json)


def ticket(
    file: Annotated[Path, typer.Argument(help="File to write; it holds secrets.")],
    host: Annotated[
        str,
        typer.Option(help="Address of this machine for others; default: as here, for a tunnel."),
    ] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Write what another machine needs to work for this installation: addresses and secrets."""
    place = home_of(home)
    way = node_plan.Way.of(place)
    addresses = {
        n: _seen_from(str(way.addresses[n]), host) for n in _ADDRESSES if n in way.addresses
    }
    secrets = {name: way.secrets[name] for name in _SECRETS if way.secrets.get(name)}
    write_json(file, {"endpoints": addresses, "credentials": secrets}, _PRIVATE)
    forwards = " ".join(f"-L {port}:127.0.0.1:{port}" for port in _ports(addresses))
    said = f"{file} is written; take it to the other machine, `mlops node join` it there, and remove it"
    tunnel = "" if host else f"\nthere, this makes the way: ssh -N {forwards} USER@THIS-MACHINE"
    _say(
        {"file": str(file), "endpoints": addresses, "forwards": forwards},
        said + tunnel,
        as_json=as_json,
    )


def join(
    file: Annotated[Path, typer.Argument(help="The ticket.")],
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Let this machine belong to the installation that wrote the ticket; `mlops node start` then works for it."""
    place, found = home_of(home), read_json(file)
    endpoints, credentials = found.get("endpoints"), found.get("credentials")
    if not isinstance(endpoints, dict) or not isinstance(credentials, dict):
        raise InputError(
            f"{file} is no ticket", "write one with `mlops node ticket FILE` over there"
        )
    if place.ports.exists():
        raise InputError(
            f"{place.root} holds an installation of its own", "name another folder: --home FOLDER"
        )
    place.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(place.credentials, credentials, _PRIVATE)
    write_json(place.endpoints, endpoints)
    said = f"{place.root} belongs to {endpoints.get('gateway')}; `mlops node start` works for it"
    _say({"home": str(place.root), "endpoints": endpoints}, said, as_json=as_json)


def _how_far(told: Told) -> str:
    return ", ".join(f"{one.name} {one.state}" for one in told.components)


def _finish(place: Home, name: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    with Airflow(place) as airflow:
        airflow.drain(name, "it is to be stopped")
        while airflow.workers().get(name, {}).get("state") != "maintenance mode":
            if time.monotonic() > deadline:
                raise CliError(
                    f"{name} still runs steps after {timeout_s:g} s",
                    "wait longer, or stop it without --finish: its steps are tried again elsewhere",
                )
            time.sleep(_LOOK_S)


def _forget(place: Home, name: str) -> None:
    # Airflow remembers that it ended in maintenance, and would begin there again.
    with Airflow(place) as airflow:
        airflow.remove(name)


def _folders(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        project, _, path = one.partition("=")
        if not project or not Path(path).expanduser().is_dir():
            raise InputError(f"--folder {one!r} names no folder", "write --folder PROJECT=PATH")
        found[project] = str(Path(path).expanduser().resolve())
    return found


def _only(place: Home) -> str:
    known = node_plan.names(place)
    if len(known) == 1:
        return known[0]
    there = ", ".join(known) or "none"
    raise InputError("which of the machine's workers?", f"name one; there are: {there}")


def _seen_from(address: str, host: str) -> str:
    parts = urlsplit(address)
    return address if not host else parts._replace(netloc=f"{host}:{parts.port}").geturl()


def _ports(addresses: dict[str, str]) -> list[int]:
    found = {urlsplit(addresses[name]).port for name in _ADDRESSES if name in addresses}
    return sorted(port for port in found if port)


def _say(told: dict[str, Any], said: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json(told)
    else:
        output.say(said)
