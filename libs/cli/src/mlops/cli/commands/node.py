# SPDX-License-Identifier: Apache-2.0
"""node list|drain|undrain|remove: the machines that run steps, and what each may take."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from mlops.cli import output
from mlops.cli.airflow import Airflow
from mlops.cli.gateway import Gateway
from mlops.cli.nodes import LEVELS
from mlops.cli.options import BY_HAND, HomeOption, JsonOption, WhyOption, home_of

app = typer.Typer(no_args_is_help=True, help="Machines that run steps: this one, and others.")

NodeArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of a machine, as `list` shows it.")
]
_COLUMNS = (
    "machine",
    "heat",
    "work",
    "slots",
    "workflows",
    "steps",
    "seen",
    "takes no work because",
)
_SPARE = ("steps", "seen")
_NONE = "no machine has told anything yet; `mlops status` says whether the telemetry agent runs"
_STYLES = {
    "ready": "green",
    "local": "green",
    "draining": "yellow",
    "drained": "yellow",
    "stopping": "yellow",
    "stopped": "dim",
    "gone": "red",
}


@app.command("list")
def list_(home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Show every machine: heat, slots, what runs there, and why it takes no work."""
    with Gateway(home_of(home)) as gateway:
        found = gateway.query("orchestration_bridge", "nodes")
    if as_json:
        output.print_json(found)
        return
    rows = [row_of(name, one, datetime.now(UTC)) for name, one in found["nodes"].items()]
    output.print_rows(_COLUMNS, rows, _NONE, _SPARE)


@app.command()
def drain(
    node: NodeArgument,
    why: WhyOption = BY_HAND,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Let a machine take nothing new until `undrain`; what runs on it goes on."""
    with Airflow(home_of(home)) as airflow:
        airflow.drain(node, why)
    _done(node, "drains; it takes nothing new until `mlops node undrain`", as_json=as_json)


@app.command()
def undrain(node: NodeArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Let a machine take work again, also one that heat has drained."""
    with Airflow(home_of(home)) as airflow:
        airflow.undrain(node)
    _done(node, "takes work again, unless it is too hot", as_json=as_json)


@app.command()
def remove(node: NodeArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Forget a machine that has ended; it comes back when it is started again."""
    with Airflow(home_of(home)) as airflow:
        airflow.remove(node)
    _done(node, "is forgotten", as_json=as_json)


def row_of(name: str, node: Mapping[str, Any], now: datetime) -> list[object]:
    """Return the cells of one machine."""
    heat, worker = node.get("heat") or {}, node.get("worker") or {}
    work = str(worker.get("work") or ("local" if node.get("local") else "-"))
    return [
        name,
        _heat(heat),
        Text(work, style=_STYLES.get(work, "dim")),
        f"{node.get('slots')}/{heat.get('slots_at_most') or node.get('slots')}",
        node.get("running", 0),
        worker.get("jobs"),
        _ago(worker.get("seen_at") or heat.get("seen_at"), now),
        node.get("closed"),
    ]


def _heat(heat: Mapping[str, Any]) -> Text:
    level = heat.get("level")
    if heat.get("unknown") or not isinstance(level, int) or not 0 <= level < len(LEVELS):
        return Text("unknown", style="dim")
    return Text(f"{level} {LEVELS[level]}", style="green" if level == 0 else "red")


def _ago(at: object, now: datetime) -> str | None:
    if not isinstance(at, str):
        return None
    seen = datetime.fromisoformat(at)
    return f"{max(0.0, (now - seen).total_seconds()):.0f} s ago"


def _done(node: str, what: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"node": node, "done": what})
    else:
        output.say(f"{node} {what}")
