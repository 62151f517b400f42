# SPDX-License-Identifier: Apache-2.0
"""up, down, status, logs: the platform's processes on this machine."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Self

import typer
from rich.live import Live
from rich.text import Text

from mlops.cli import output
from mlops.cli.commands.views import progress_view, status_rows
from mlops.cli.errors import CliError, InputError, NotRunningError
from mlops.cli.home import Home, read_json
from mlops.cli.options import HomeOption, JsonOption, home_of
from mlops.cli.reading import follow, last_of
from mlops.cli.supervisor import launch, node_plan, wanted
from mlops.cli.supervisor import state as told
from mlops.cli.supervisor.disk import require_space
from mlops.cli.supervisor.state import Told

_NAMES = Annotated[
    list[str] | None,
    typer.Option(help="Components, or a group such as `airflow`; comma or repeat."),
]
_LEFT_OUT = Annotated[
    list[str] | None,
    typer.Option(
        help="Components, or a group such as `airflow`; comma or repeat. What needs them is left out too."
    ),
]


def up(
    home: HomeOption = None,
    only: _NAMES = None,
    without: _LEFT_OUT = None,
    mqtt: Annotated[
        bool | None,
        typer.Option(
            "--mqtt/--no-mqtt", help="Whether the bus speaks MQTT too; kept for later starts."
        ),
    ] = None,
    nodes: Annotated[
        bool | None,
        typer.Option(
            "--nodes/--no-nodes",
            help="Whether other machines may run steps; kept for later starts.",
        ),
    ] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Start the platform; what runs already keeps running."""
    place = home_of(home)
    place.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted.keep(place, mqtt=mqtt, nodes=nodes)
    started = time.monotonic()
    joined = launch.supervisor_pid(place) is not None
    if joined:
        _say(f"the platform in {place.root} runs already", quiet=as_json)
        if only or without or mqtt is not None or nodes is not None:
            _say("options count at a start: `mlops down` first", quiet=as_json)
    else:
        require_space(place.root)
        _say(f"starting the platform in {place.root}", quiet=as_json)
        launch.start(place, _split(only), _split(without))
    found = _watch_until_up(place, quiet=as_json)
    _report_up(place, found, time.monotonic() - started, as_json=as_json)


def down(home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Stop the platform, and this machine's work for it; no process stays, not even of one that was killed."""
    place = home_of(home)
    started = time.monotonic()
    with _Progress(quiet=as_json, known=told.read(place)) as progress:
        for name in node_plan.names(place):
            launch.stop(node_plan.home_of(place, name))
        found = launch.stop(place, progress.show)
    seconds = round(time.monotonic() - started, 1)
    if as_json:
        output.print_json(
            {"was_running": found.was_running, "swept": found.swept, "seconds": seconds}
        )
        return
    left = f", {found.swept} leftover processes ended" if found.swept else ""
    output.say(
        f"stopped in {seconds} s{left}" if found.was_running else f"nothing was running{left}"
    )


def status(home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Show every component: state, process, restarts, address, memory."""
    from mlops.cli.supervisor import figures  # noqa: PLC0415 - slow to import; help does without

    place = home_of(home)
    running = launch.supervisor_pid(place) is not None
    found = told.read(place)
    rows = figures.measure(place, found) if running else []
    if as_json:
        output.print_json(
            {
                "running": running,
                "phase": found.phase if running else "stopped",
                "home": str(place.root),
                "supervisor": figures.supervisor(found) if running else None,
                "components": [row.as_json() for row in rows],
                "endpoints": read_json(place.endpoints) if running else {},
            }
        )
    if not running:
        raise NotRunningError(f"no platform runs in {place.root}", "start it with `mlops up`")
    if not as_json:
        status_rows(found, rows)


def logs(
    component: Annotated[str, typer.Argument(help="Component; none for all of them.")] = "",
    home: HomeOption = None,
    follow_on: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,  # noqa: FBT002 - an option
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Lines to begin with.")] = 50,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show log files."""
    place = home_of(home)
    known = sorted(path.stem for path in place.logs.glob("*.log"))
    if component and component not in known:
        names = ", ".join(known) or "none yet"
        raise InputError(f"no log of {component!r} in {place.logs}", f"there are: {names}")
    chosen = [component] if component else known
    paths = {name: place.log(name) for name in chosen}
    for name, line in last_of(paths, lines):
        _print_line(name, line, len(paths), as_json=as_json)
    if follow_on:
        for name, line in follow(paths):
            _print_line(name, line, len(paths), as_json=as_json)


def _print_line(name: str, line: str, files: int, *, as_json: bool) -> None:
    if as_json:
        output.print_json_line({"component": name, "line": line})
        return
    label = f"{name:22} " if files > 1 else ""
    output.console().print(Text(f"{label}{line}"), soft_wrap=True)


def _watch_until_up(place: Home, *, quiet: bool) -> Told:
    with _Progress(quiet=quiet) as progress:
        try:
            return launch.wait_until_up(place, progress.show)
        except KeyboardInterrupt:
            raise CliError(
                "left; the platform goes on starting in the background",
                "`mlops status` tells how far it is, `mlops down` stops it",
            ) from None


def _report_up(place: Home, found: Told, seconds: float, *, as_json: bool) -> None:
    endpoints = read_json(place.endpoints)
    if as_json:
        output.print_json(
            {
                "home": str(place.root),
                "seconds": round(seconds, 1),
                "endpoints": endpoints,
                "components": {status.name: status.state for status in found.components},
            }
        )
        return
    output.say(f"ready after {seconds:.1f} s")
    output.print_rows(("", ""), endpoints.items(), "")
    waiting = [status.name for status in found.components if status.optional and not status.up]
    if waiting:
        output.say(f"still starting, not needed for work: {', '.join(waiting)}")


def _split(names: list[str] | None) -> list[str]:
    return [name.strip() for text in names or () for name in text.split(",") if name.strip()]


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        output.say(text)


class _Progress:
    """A live table in a terminal, a line per change in a pipe, nothing when quiet."""

    def __init__(self, *, quiet: bool, known: Told | None = None) -> None:
        self._quiet = quiet
        self._live = Live(console=output.errors(), refresh_per_second=8, transient=False)
        self._is_live = sys.stderr.isatty() and not quiet
        self._seen = {one.name: one.state for one in known.components} if known else {}

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_live:
            self._live.stop()

    def show(self, found: Told) -> None:
        """Show how far everything is."""
        if self._is_live:
            self._live.update(progress_view(found, time.time()))
        elif not self._quiet:
            self._print_changes(found)

    def _print_changes(self, found: Told) -> None:
        for one in found.components:
            if self._seen.get(one.name) != one.state:
                self._seen[one.name] = one.state
                took = f" after {one.took_s} s" if one.up and one.took_s else ""
                why = f": {one.error}" if one.state == told.BACKOFF else ""
                output.errors().print(Text(f"  {one.name} {one.state}{took}{why}"))
