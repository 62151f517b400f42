# SPDX-License-Identifier: Apache-2.0
"""simulate: the scheduler's own decisions on machines that are not there."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import output
from mlops.cli.errors import CliError, InputError
from mlops.cli.options import JsonOption
from mlops.cli.progress import Progress
from mlops.cli.simulation import words
from mlops.cli.simulation.found import Found, found_of

app = typer.Typer(
    help="Try the scheduler on simulated machines; needs no running platform.", no_args_is_help=True
)
_MODULE = "mlops.orchestration_bridge.simulation"
_WRONG = 2
_TOLD = ("completion_mean_s", "slowed_s")


@app.callback()
def _several() -> None:
    """Keep the word after `simulate`, although there is one only."""


@app.command()
def thermal(
    seeds: Annotated[int, typer.Option(min=1, help="Traces for each load.")] = 30,
    loads: Annotated[
        str,
        typer.Option(
            help="Work that comes, as a part of what all machines could do unslowed; by commas."
        ),
    ] = "0.3,0.5,0.7,0.9,1.1",
    fleet: Annotated[
        str, typer.Option(help="`mixed`, `fanless` (all get hot), or `fans` (none does).")
    ] = "mixed",
    jobs: Annotated[
        str, typer.Option(help="Lengths: `heavy-tailed`, or `short`.")
    ] = "heavy-tailed",
    policy: Annotated[
        str,
        typer.Option(
            help="Policies by commas: ours, its variants blind, closed, penalising, resting and draining, round-robin, "
            "least-loaded, cooldown, coolest, oracle. Default: ours, blind, and all that are not ours."
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.md, its figures and results.json.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes; 0 is one for each core. They change no result.")
    ] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Two loads, four seeds.")] = False,  # noqa: FBT002 - an option
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Compare the scheduler with simpler ones and an oracle, on machines that get hot; the same seeds give the same result."""
    asked = ["--seeds", str(seeds), "--loads", loads, "--fleet", fleet, "--jobs", jobs]
    asked += ["--policies", policy] if policy else []
    asked += ["--quick"] if quick else []
    if out is not None:
        _prepare(out)
    with Progress("simulating", quiet=as_json) as progress:
        result = _result(asked + (["--workers", str(workers)] if workers else []), progress)
    found = found_of(result)
    if out is not None:
        said = [("--policy" if word == "--policies" else word) for word in asked]
        _write(out, result, found, shlex.join(["mlops", "simulate", "thermal", *said]))
    if as_json:
        output.print_json(result)
        return
    _show(found, out)


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {folder}: {error.strerror}", "change --out") from error


def _result(asked: list[str], progress: Progress) -> dict[str, Any]:
    # The bridge's own policy, in a process of its own: the command line imports no service.
    command = [sys.executable, "-m", _MODULE, *asked]
    result: dict[str, Any] = {}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        for line in child.stdout or ():
            said = json.loads(line)
            result = said.get("result", result)
            if "done" in said:
                progress.tell(f"{said['done']} of {said['of']} runs")
        complaint = child.stderr.read() if child.stderr else ""
    if child.returncode == _WRONG:
        raise InputError(complaint.strip().rpartition("error: ")[2], "see --help")
    if child.returncode or not result:
        last = complaint.strip().splitlines()[-1:] or [f"it ended with code {child.returncode}"]
        raise CliError(f"the simulation failed: {last[0]}", "run it again with --workers 1")
    return result


def _write(folder: Path, result: dict[str, Any], found: Found, command: str) -> None:
    from mlops.cli.simulation import figures  # noqa: PLC0415 - matplotlib, for this only

    images = figures.draw(folder, found)
    (folder / "report.md").write_text(words.report(found, command, images))
    (folder / "results.json").write_text(json.dumps(result, indent=1) + "\n")


def _show(found: Found, out: Path | None) -> None:
    for key in _TOLD:
        output.say(words.title(found, key))
        rows = [
            (name, *(f"{found.means[name, load, key].mean:.4g}" for load in found.loads))
            for name in found.policies
        ]
        output.print_rows(("policy", *(f"load {load:g}" for load in found.loads)), rows, "nothing")
        output.say("")
    for line in words.readings(found):
        output.say(line.replace("`", "").replace("**", ""))
    if out is not None:
        output.say(f"{out / 'report.md'} has everything, with intervals and figures")
