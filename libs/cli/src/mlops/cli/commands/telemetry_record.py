# SPDX-License-Identifier: Apache-2.0
"""telemetry record: a capture of this machine's readings, raw and scrubbed, that its owner can give away."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import output
from mlops.cli.errors import CliError, InputError
from mlops.cli.options import JsonOption
from mlops.cli.progress import Progress

_STEP_S = 5.0
_SCRIPT = (
    (60, "leave the machine alone"),
    (600, "keep its GPU busy: train, generate, render"),
    (300, "leave it alone again, until it is cool"),
)


def record(
    seconds: Annotated[
        float, typer.Option(min=1, max=86400, help="How long; the suggested loads take 960 s.")
    ] = 60.0,
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: telemetry-<time>.jsonl here.")
    ] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Record what every probe reads on this machine; needs no running platform.

    Serial numbers, ids, and the names of the user and the host are taken out before anything is written.
    """
    file = out or Path(time.strftime("telemetry-%Y%m%d-%H%M%S.jsonl"))
    if file.exists():
        raise InputError(f"{file} is there already", "choose another name with --out")
    if not file.absolute().parent.is_dir():
        raise InputError(f"there is no folder {file.absolute().parent}", "make it, or change --out")
    if not as_json:
        _suggest(seconds)
    last: Mapping[str, Any] = {}
    with Progress(f"recording to {file}", quiet=as_json) as progress:
        next_s = 0.0
        for said in _told(file, seconds):
            last = said
            if not said.get("done") and float(said["seconds"]) >= next_s:
                next_s = float(said["seconds"]) + _STEP_S
                progress.tell(_line(said))
    _report(file, last, as_json=as_json)


def _suggest(seconds: float) -> None:
    output.say("a capture is worth most with a machine that gets hot and cools down:")
    for length, what in _SCRIPT:
        output.say(f"  {length:4} s  {what}")
    whole = sum(length for length, _ in _SCRIPT)
    if seconds < whole:
        output.say(f"(that takes --seconds {whole}; this recording takes {seconds:g} s)")


def _told(file: Path, seconds: float) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "mlops.telemetry_agent", "record", str(file), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            for line in child.stdout or ():
                yield json.loads(line)
        except KeyboardInterrupt:
            # The recorder got the same signal: what it has written so far is whole.
            child.wait(10)
            return
        if child.wait() != 0:
            raise CliError(
                f"the recorder ended with code {child.returncode}", "see the lines above"
            )


def _line(said: Mapping[str, Any]) -> str:
    values = ", ".join(
        f"{name.rpartition('.')[2]} {output.words(v)}" for name, v in said["values"].items()
    )
    return f"{said['lines']} readings; {values or 'nothing that can be shown yet'}"


def _report(file: Path, last: Mapping[str, Any], *, as_json: bool) -> None:
    lines, fields = last.get("lines", {}), last.get("fields", {})
    size = file.stat().st_size if file.exists() else 0
    if as_json:
        output.print_json({"file": str(file), "bytes": size, "lines": lines, "fields": fields})
        return
    rows = [
        (name, count, ", ".join(fields.get(name, ())) or "nothing here")
        for name, count in lines.items()
    ]
    output.print_rows(("probe", "readings", "gave"), rows, "no probe works here")
    output.say(f"{file}: {size} bytes. Look through it, then send it; replay it with")
    output.say(f"  TELEMETRY_AGENT_REPLAY={file} python -m mlops.telemetry_agent")
